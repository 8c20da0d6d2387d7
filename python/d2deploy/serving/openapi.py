"""The description of all addresses for programs (OpenAPI 3.1), and of the same as a page for people."""

from __future__ import annotations

from html import escape
from typing import Any

import d2deploy

__all__ = ["document", "page"]

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def _object(required: dict[str, Schema], **optional: Schema) -> Schema:
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


def _named(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _segments(**more: Schema) -> Schema:
    segment = _object({"id": INTEGER, "class_id": INTEGER, "class_name": TEXT}, **more)
    png = {
        "type": "string",
        "contentEncoding": "base64",
        "description": "PNG of the picture's size; the number of a pixel is red + 256 green + 65536 blue.",
    }
    return _object({"size": _list(INTEGER), "png": png, "segments": _list(segment)})


SCHEMAS: dict[str, Schema] = {
    "Error": _object({"error": TEXT, "request_id": TEXT}),
    "Model": _object(
        {
            "name": TEXT,
            "versions": _list(TEXT),
            "default_version": TEXT,
            "kind": {**TEXT, "description": "Detectron2's name of the architecture."},
            "class_names": _list(TEXT, description="Of the objects, by class; empty where the files do not tell them."),
            "stuff_class_names": _list(TEXT),
            "input_format": TEXT,
            "precision": TEXT,
            "takes_proposals": FLAG,
            "outputs": _list(TEXT),
        },
        keypoint_names=_list(TEXT, description="Where they are known."),
    ),
    "Prediction": _object(
        {
            "model": TEXT,
            "version": TEXT,
            "width": INTEGER,
            "height": INTEGER,
            "instances": _list(_named("Instance")),
            "milliseconds": _object(dict.fromkeys(("decode", "queue", "predict", "encode"), NUMBER)),
        },
        sem_seg=_segments(pixels=INTEGER),
        panoptic=_segments(isthing=FLAG, score=NUMBER, pixels=INTEGER),
    ),
    "Instance": _object(
        {
            "class_id": {"type": ["integer", "null"], "description": "null: a proposal, which has no class."},
            "class_name": TEXT,
            "score": NUMBER,
            "box": _list(NUMBER, description="x1 y1 x2 y2 in pixels; of rotated boxes cx cy width height degrees."),
        },
        mask=_object({"size": _list(INTEGER), "counts": {**TEXT, "description": "COCO's run lengths."}}),
        keypoints=_list(_list(NUMBER), description="x, y and probability of each."),
    ),
    "ServerMetadata": _object({"name": TEXT, "version": TEXT, "extensions": _list(TEXT)}),
    "ModelMetadata": _object(
        {
            "name": TEXT,
            "versions": _list(TEXT),
            "platform": TEXT,
            "inputs": _list(_named("TensorMetadata")),
            "outputs": _list(_named("TensorMetadata")),
        }
    ),
    "TensorMetadata": _object({"name": TEXT, "datatype": TEXT, "shape": _list(INTEGER)}),
    "InferRequest": _object(
        {
            "inputs": _list(
                _object(
                    {"name": TEXT, "datatype": TEXT, "shape": _list(INTEGER)},
                    parameters={"type": "object"},
                    data={"type": "array"},
                )
            )
        },
        id=TEXT,
        parameters={"type": "object"},
        outputs=_list(_object({"name": TEXT}, parameters={"type": "object"})),
    ),
    "InferResponse": _object(
        {
            "model_name": TEXT,
            "model_version": TEXT,
            "outputs": _list(
                _object(
                    {"name": TEXT, "datatype": TEXT, "shape": _list(INTEGER)},
                    parameters={"type": "object"},
                    data={"type": "array"},
                )
            ),
        },
        id=TEXT,
    ),
    "ModelReady": _object({"name": TEXT, "ready": FLAG}),
    "Live": _object({"live": FLAG}),
    "Ready": _object({"ready": FLAG}),
    "Index": _list(_object(dict.fromkeys(("name", "version", "state", "reason"), TEXT))),
    "Models": _list(_named("Model")),
    "Empty": {"type": "object"},
}
ERRORS = {
    "400": "The request is wrong; the message says what is.",
    "401": "The token is missing or wrong.",
    "403": "The request comes from a page of another site, or is for another host.",
    "404": "There is no such model or version.",
    "408": "The body did not arrive in time.",
    "413": "More bytes, pixels or elements than the server takes.",
    "415": "The body is of a kind that is not read.",
    "429": "The queue is full; Retry-After says when to try again.",
    "500": "A fault of the server; its log has more under the request id.",
    "501": "What is asked for is not available.",
    "503": "The server ends, or the model is not loaded.",
    "504": "There was no answer in time.",
}
WORK = ("400", "401", "403", "404", "408", "413", "415", "429", "500", "501", "503", "504")
PICTURE = {"schema": {"type": "string", "format": "binary"}}
FORM = {"schema": _object({"image": {"type": "string", "format": "binary"}})}


def _query(name: str, text: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "required": False, "description": text, "schema": schema}


TIMEOUT: Schema = {
    "name": "timeout",
    "in": "header",
    "required": False,
    "description": "Seconds until an answer is wanted; no more than the server allows.",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}
PREDICT = [
    _query("model", "Its name; may be left out where there is one model.", TEXT),
    _query("version", "By default the highest.", TEXT),
    _query("threshold", "Least score of what is told.", {"type": "number", "minimum": 0, "maximum": 1, "default": 0.5}),
    _query("format", "png: the picture with what was found drawn on it.", {"enum": ["json", "png"], "default": "json"}),
    TIMEOUT,
]


def _json(schema: str) -> Schema:
    return {"application/json": {"schema": _named(schema)}}


def _operation(
    summary: str,
    content: Schema,
    errors: tuple[str, ...] = ("401", "403", "503"),
    parameters: list[Schema] | None = None,
    body: Schema | None = None,
) -> Schema:
    failed = {code: {"description": ERRORS[code], "content": _json("Error")} for code in errors}
    operation: Schema = {
        "summary": summary,
        "responses": {"200": {"description": "All went well.", "content": content}, **failed},
    }
    if parameters:
        operation["parameters"] = parameters
    if body:
        operation["requestBody"] = {"content": body}
    return operation


def _paths() -> dict[str, dict[str, Schema]]:
    text = {"text/plain": {"schema": TEXT}}
    html = {"text/html": {"schema": TEXT}}
    tensors = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    of_model = ("401", "403", "404", "503")
    changing = ("400", "401", "403", "404", "413", "415", "500", "501", "503")
    paths: dict[str, dict[str, Schema]] = {
        "/v1/models": {"get": _operation("The models, and what they tell apart.", _json("Models"))},
        "/v1/predict": {
            "post": _operation(
                "What is in a picture.",
                {**_json("Prediction"), "image/png": PICTURE},
                WORK,
                PREDICT,
                {"image/*": PICTURE, "application/octet-stream": PICTURE, "multipart/form-data": FORM},
            )
        },
        "/v2": {"get": _operation("The server's name, version and extensions.", _json("ServerMetadata"))},
        "/v2/health/live": {"get": _operation("Whether the server lives.", _json("Live"), ("403",))},
        "/v2/health/ready": {"get": _operation("Whether it takes requests.", _json("Ready"), ("403", "503"))},
        "/v2/repository/index": {
            "post": _operation("The models and their states.", _json("Index"), ("400", "401", "403", "413", "503"))
        },
        "/v2/repository/models/{model}/load": {
            "post": _operation("Loads a model anew, from its folder.", _json("Empty"), changing)
        },
        "/v2/repository/models/{model}/unload": {"post": _operation("Lets a model go.", _json("Empty"), changing)},
        "/metrics": {"get": _operation("Counters, for Prometheus.", text, ("401", "403"))},
        "/openapi.json": {
            "get": _operation("This document.", {"application/json": {"schema": {"type": "object"}}}, ("403", "503"))
        },
        "/docs": {"get": _operation("The same as a page.", html, ("403", "503"))},
    }
    for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        paths[path] = {"get": _operation("Inputs and outputs of a model.", _json("ModelMetadata"), of_model)}
        paths[f"{path}/ready"] = {"get": _operation("Whether a model takes requests.", _json("ModelReady"), of_model)}
        paths[f"{path}/infer"] = {
            "post": _operation(
                "The Open Inference Protocol: the picture as one BYTES element 'image', or tensors of the net. Binary "
                "tensors stand behind the JSON, whose bytes the header Inference-Header-Content-Length tells.",
                {**_json("InferResponse"), **tensors},
                WORK,
                [TIMEOUT],
                {**_json("InferRequest"), **tensors},
            )
        }
    for path, operations in paths.items():
        for operation in operations.values():
            for name in ("model", "version"):
                if f"{{{name}}}" in path:
                    parameter = {"name": name, "in": "path", "required": True, "schema": TEXT}
                    operation.setdefault("parameters", []).append(parameter)
    return paths


def document() -> dict[str, Any]:
    """The description as OpenAPI has it."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "d2deploy", "version": d2deploy.__version__},
        "paths": _paths(),
        "components": {"schemas": SCHEMAS},
    }


def page() -> str:
    """The description as a page of HTML, which needs nothing from elsewhere."""
    rows = []
    for path, operations in _paths().items():
        for method, operation in operations.items():
            items = "".join(
                f"<li><code>{escape(p['name'])}</code> ({escape(p['in'])}) {escape(p.get('description', ''))}</li>"
                for p in operation.get("parameters", [])
            )
            kinds = ", ".join(operation.get("requestBody", {}).get("content", {}))
            body = f"<p>Body: {escape(kinds)}</p>" if kinds else ""
            answers = ", ".join(operation["responses"]["200"]["content"])
            codes = " ".join(operation["responses"])
            rows.append(
                f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation['summary'])}</p>"
                f"<ul>{items}</ul>{body}<p>Answer: {escape(answers)}; codes: {codes}</p>"
            )
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        "<title>d2deploy</title><style>body{font:16px/1.5 system-ui,sans-serif;max-width:50em;margin:2em auto;"
        "padding:0 1em}h2{font-size:1.1em;margin-top:2em}</style><h1>d2deploy</h1>"
        f"<p>For programs: <a href='/openapi.json'>openapi.json</a></p>{''.join(rows)}</html>"
    )
