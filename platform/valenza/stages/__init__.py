"""9. Order of work: what each stage trains on and towards."""
