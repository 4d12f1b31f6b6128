"""5. How it is heard: waveforms and log-mel spectrograms."""
