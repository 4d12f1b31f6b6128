"""Scores of emotion over time, with intervals over speakers, as tables and as a page."""
