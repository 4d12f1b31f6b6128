"""13. What people prefer: pairs shown to annotators, their votes, and what the votes say."""
