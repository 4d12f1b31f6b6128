"""8. How it learns: one loop for every stage, and checkpoints that are whole or absent."""
