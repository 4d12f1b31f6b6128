"""ONNX files, and what they are made of."""
