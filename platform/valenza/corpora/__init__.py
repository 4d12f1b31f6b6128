"""1. What we have: corpora described by manifests."""
