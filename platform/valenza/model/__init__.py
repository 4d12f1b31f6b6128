"""6. What thinks: pre-trained speech encoders and the heads on them."""
