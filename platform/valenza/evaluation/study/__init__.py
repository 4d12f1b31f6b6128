"""A study of emotion over time from clips to tables: tracks, four stages for every seed, and what they score."""
