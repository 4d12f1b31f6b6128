"""2. How it is stored: WebDataset shards beside an index that is trusted instead of the tar."""
