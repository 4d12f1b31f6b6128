"""Every corpus or language held out in turn."""
