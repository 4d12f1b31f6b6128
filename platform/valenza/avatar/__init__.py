"""12. How it looks: a face moved by the 52 ARKit weights that an emotion mixture and a voice ask for."""
