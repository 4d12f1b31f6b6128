"""Emotion over time: what a model says of a recording, shaped, cut into segments, drawn and written for other tools."""
