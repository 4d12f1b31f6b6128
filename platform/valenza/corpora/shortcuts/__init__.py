"""What gives a corpus's labels away without listening: shortcuts, copies, and recordings that were cut in pieces."""
