"""3. What it means: native labels and votes become scores over one emotion space."""
