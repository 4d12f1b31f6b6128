"""4. What is seen: which clips form which window, as a pure function of the index."""
