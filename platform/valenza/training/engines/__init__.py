"""Who holds the weights: every process all of them, or each a part; the launch chooses, never a recipe."""
