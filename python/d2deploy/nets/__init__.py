"""Caffe2's nets as messages of protobuf: read and written, and drawn. Needs neither PyTorch nor ONNX."""
