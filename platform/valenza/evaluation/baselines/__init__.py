"""What a model must beat, from a random head to a linear probe of the encoder and openSMILE features."""
