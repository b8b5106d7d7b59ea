"""ONNX: programs of other tools as teachers, and models of omni as programs for other tools."""
