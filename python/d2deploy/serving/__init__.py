"""Models behind HTTP and gRPC: the Open Inference Protocol v2, and predictions of pictures as JSON.

A request is read by `http` or `grpc_service`, waits in `engine`, and is answered by `inference` in one of its threads,
from what `protocol` and `tensors` make of its bytes. `server` holds all of it together. Needs the packages of
d2deploy[serve].
"""
