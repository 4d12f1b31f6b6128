"""What a trained model says of recordings: the part of the house that its users meet."""
