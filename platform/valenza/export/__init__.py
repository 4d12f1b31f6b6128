"""Where a trained model goes: Transformers, ONNX, TensorRT and Triton."""
