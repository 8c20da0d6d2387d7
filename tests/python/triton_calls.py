"""Calls a server by NVIDIA's client, over HTTP and gRPC, and prints what it says as JSON.

Not a test: test_serving_triton runs it, by the Python of the client's own environment, whose packages are others than
those of the project.

Usage: triton_calls.py HTTP_ADDRESS GRPC_ADDRESS MODEL PICTURE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException


def failure(call: Any) -> list[str]:
    """Status and message of a call that fails."""
    try:
        call()
    except InferenceServerException as error:
        return [str(error.status()), str(error.message())]
    return ["", ""]


def plain(result: Any, *names: str) -> dict[str, Any]:
    """Outputs, with the types of numbers; texts are bytes, or what they were in JSON."""
    arrays = {name: result.as_numpy(name) for name in names}
    return {
        name: [element if isinstance(element, str) else element.decode() for element in array]
        if array.dtype == object
        else [array.tolist(), str(array.dtype)]
        for name, array in arrays.items()
    }


def data_of(mod: Any) -> list[Any]:
    data = mod.InferInput("data", [1, 3, 64, 96], "FP32")
    data.set_data_from_numpy(np.arange(3 * 64 * 96, dtype=np.float32).reshape(1, 3, 64, 96) % 251)
    info = mod.InferInput("im_info", [1, 3], "FP32")
    info.set_data_from_numpy(np.array([[64, 96, 1]], np.float32))
    return [data, info]


def calls(mod: Any, address: str, model: str, picture: bytes) -> dict[str, Any]:
    """What a client of either protocol sees."""
    client = mod.InferenceServerClient(address)
    as_dict = {"as_json": True} if mod is tritonclient.grpc else {}
    image = mod.InferInput("image", [1], "BYTES")
    image.set_data_from_numpy(np.array([picture], dtype=object))
    said: dict[str, Any] = {
        "health": [client.is_server_live(), client.is_server_ready(), client.is_model_ready(model)],
        "unknown ready": client.is_model_ready("unknown"),
        "server": client.get_server_metadata(**as_dict),
        "model": client.get_model_metadata(model, **as_dict),
        "index": client.get_model_repository_index(**as_dict),
    }
    outputs = ("image_size", "boxes", "scores", "classes", "masks")
    said["picture"] = plain(client.infer(model, [image], request_id="7"), *outputs)
    wanted = [mod.InferRequestedOutput(name) for name in ("scores", "masks")]
    some = client.infer(model, [image], model_version="1", outputs=wanted, parameters={"threshold": 0.3})
    said["some"] = plain(some, "scores", "masks")
    said["left out"] = some.as_numpy("boxes") is None
    said["tensors"] = plain(client.infer(model, data_of(mod)), "bbox_nms", "mask_fcn_probs")
    if mod is tritonclient.http:
        texts = [mod.InferRequestedOutput(name, binary_data=False) for name in ("classes", "masks")]
        said["in JSON"] = plain(client.infer(model, [image], outputs=texts), "classes", "masks")
        flat = mod.InferInput("im_info", [1, 3], "FP32")
        flat.set_data_from_numpy(np.array([[64, 96, 1]], np.float32), binary_data=False)
        said["from JSON"] = plain(client.infer(model, [data_of(mod)[0], flat]), "bbox_nms")
    said["no model"] = failure(lambda: client.infer("unknown", [image]))
    said["no inputs"] = failure(lambda: client.infer(model, [data_of(mod)[1]]))
    client.unload_model(model)
    said["unloaded"] = [client.is_model_ready(model), *failure(lambda: client.infer(model, [image]))]
    client.load_model(model)
    said["loaded"] = client.is_model_ready(model)
    if mod is tritonclient.http:
        pending = [client.async_infer(model, [image]) for _ in range(3)]
        said["at the same time"] = [plain(p.get_result(), "classes") for p in pending]
    client.close()
    return said


def main() -> None:
    http, grpc, model, file = sys.argv[1:]
    picture = Path(file).read_bytes()
    print(
        json.dumps(
            {
                "http": calls(tritonclient.http, http, model, picture),
                "grpc": calls(tritonclient.grpc, grpc, model, picture),
            }
        )
    )


if __name__ == "__main__":
    main()
