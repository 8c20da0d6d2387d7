"""Netron opens what is written: by its own code, where Node.js is installed, and by the rules in that code."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from exported import Exported

# Netron's own detection, and its reader, on the files in a folder; prints types of nodes and names of the graph's ends.
SCRIPT = """
const [netron, folder] = process.argv.slice(1);
const fs = await import('fs');
const base = await import(`${netron}/base.js`);
const protobuf = await import(`${netron}/protobuf.js`);
const caffe2 = await import(`${netron}/caffe2.js`);
const context = (name) => {
    const bytes = new Uint8Array(fs.readFileSync(`${folder}/${name}`));
    const self = {
        identifier: name,
        stream: new base.BinaryStream(bytes),
        tags: async () => protobuf.BinaryReader.open(new base.BinaryStream(bytes)).signature(),
        set: (type) => { self.type = type; return type; },
        require: (id) => import(`${netron}/${id}.js`),
        metadata: async () => ({ type: (name) => ({ name, inputs: [], outputs: [], attributes: [] }),
                                 attribute: () => null }),
        read: async () => protobuf.BinaryReader.open(new base.BinaryStream(bytes)),
        fetch: async (other) => context(other),
    };
    return self;
};
const found = {};
for (const name of ['model.pb', 'model_init.pb']) {
    const self = context(name);
    const factory = new caffe2.ModelFactory();
    await factory.match(self);
    found[name] = { type: self.type };
    if (name === 'model.pb' && self.type) {
        const graph = (await factory.open(self)).modules[0];
        found.nodes = graph.nodes.map((node) => node.type.name);
        found.inputs = graph.inputs.map((value) => value.name);
        found.outputs = graph.outputs.map((value) => value.name);
    }
}
console.log(JSON.stringify(found));
"""


@pytest.fixture(params=["faster_r18"])
def files(request: pytest.FixtureRequest, exported: Callable[[str], Exported]) -> Exported:
    return exported(request.param)


def read_tags(data: bytes) -> list[tuple[int, int]]:
    """(number, wire type) of each top-level field."""
    at, tags = 0, []

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        tags.append((key >> 3, key & 7))
        assert key & 7 == 2, "only strings and messages stand at the top"
        length = varint()
        at += length
    return tags


@pytest.mark.parametrize("name", ["model.pb", "model_init.pb"])
def test_files_follow_the_rules_of_detection(files: Exported, name: str) -> None:
    data = (files.folder / name).read_bytes()
    tags = read_tags(data)
    numbers = [number for number, _ in tags]
    assert set(numbers) <= set(range(1, 10))
    assert numbers == sorted(numbers)
    # It begins with a name of less than 64 printable characters, which the first operator follows.
    assert data[0] == 0x0A
    assert data[1] < 64
    assert all(32 <= c <= 127 for c in data[2 : 2 + data[1]])
    assert data[2 + data[1]] == 0x12


def test_text_follows_the_rules_of_detection(files: Exported) -> None:
    lines = (files.folder / "model.pbtxt").read_text().splitlines()
    tags = {line.split()[0].rstrip(":{") for line in lines if line[:1] not in (" ", "}")}
    assert "op" in tags
    assert tags <= {"name", "op", "device_option", "arg", "external_input", "external_output"}


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_netron_reads_the_files(files: Exported) -> None:
    spec = importlib.util.find_spec("netron")
    if spec is None or spec.origin is None:
        pytest.skip("netron is not installed")
    netron = Path(spec.origin).parent
    command = ["node", "--input-type=module", "-e", SCRIPT, "--", str(netron), str(files.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["model.pb"] == found["model_init.pb"] == {"type": "caffe2.pb"}
    assert found["nodes"] == [op.type for op in files.nets.predict_net.op]
    assert found["inputs"] == ["data"]  # im_info is never a first input, so Netron shows it beside the nodes
    assert found["outputs"] == ["bbox_nms", "score_nms", "class_nms"]
