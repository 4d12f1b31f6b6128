"""Folders that Transformers loads, and their model cards."""
