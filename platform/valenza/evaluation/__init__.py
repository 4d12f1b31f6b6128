"""10. How well: zero-shot scores with baselines and intervals."""
