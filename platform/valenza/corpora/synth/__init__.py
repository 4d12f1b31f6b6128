"""Demo corpora, spoken by espeak-ng: enough labelled speech to try everything without downloading anything."""
