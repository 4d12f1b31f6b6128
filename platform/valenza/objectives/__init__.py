"""7. What is wanted: losses, one value per frame or clip."""
