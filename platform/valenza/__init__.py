"""Speech emotion recognition on many corpora in many languages."""

__version__ = "0.1.0"
