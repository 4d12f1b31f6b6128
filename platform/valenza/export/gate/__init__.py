"""What a model must pass before it is shipped, and what it costs."""
