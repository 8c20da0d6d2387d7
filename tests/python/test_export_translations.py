"""Each ONNX operator that has a translation: the written files give what ONNX's own reference evaluator gives.

What PyTorch's modules become is tested in test_export_modules.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir
import pytest
from onnx.reference import ReferenceEvaluator

from d2deploy.errors import InternalError, Unsupported
from d2deploy.export.netdef import Nets, NetWriter
from d2deploy.export.onnx_domain import LAYERS
from d2deploy.export.operators import OPERATORS
from d2deploy.export.translations import TRANSLATIONS

if TYPE_CHECKING:
    from d2deploy import runtime
else:
    pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
    from d2deploy import runtime

Array = npt.NDArray[Any]


def numbers(*shape: int, seed: int = 0) -> Array:
    """Both signs, none of them special."""
    return np.random.default_rng(seed).uniform(-2, 2, shape).astype(np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def scalar(value: float) -> Array:
    return np.array(value, np.float32)


@dataclass(frozen=True)
class Case:
    """Nodes in ONNX's text form from `data` to `y`, and the Caffe2 operators that they become, in order."""

    nodes: str
    operators: str
    constants: dict[str, Array] = field(default_factory=dict)
    shape: tuple[int, ...] = (2, 4, 6, 8)
    positive: bool = False


def operator(call: str, becomes: str, **constants: Array) -> Case:
    return Case(f"y = {call}", becomes, constants)


W = numbers(6, 4, 3, 3)
RESIZE = 'Resize<mode="{}", coordinate_transformation_mode="{}", nearest_mode="floor">(data, , scales)'
NEAREST, BILINEAR = RESIZE.format("nearest", "asymmetric"), RESIZE.format("linear", "half_pixel")
FEW = (3, 4, 1, 1)
BY_SIZE = RESIZE.replace("scales", ", sizes")

CASES: dict[str, list[Case]] = {
    "Abs": [operator("Abs(data)", "Abs")],
    "Add": [
        operator("Add(data, w)", "Add", w=numbers(4, 1, 1)),
        operator("Add(w, data)", "Add", w=numbers(1, 4, 1, 8)),
    ],
    "AveragePool": [
        operator("AveragePool<kernel_shape=[2, 3], strides=[2, 1]>(data)", "AveragePool"),
        operator("AveragePool<kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]>(data)", "AveragePool"),
        operator("AveragePool<kernel_shape=[3, 3], pads=[1, 0, 1, 0], count_include_pad=1>(data)", "AveragePool"),
    ],
    "BatchNormalization": [
        operator(
            "BatchNormalization<epsilon=0.01>(data, gamma, beta, mean, variance)",
            "SpatialBN",
            gamma=numbers(4),
            beta=numbers(4, seed=1),
            mean=numbers(4, seed=2),
            variance=np.abs(numbers(4, seed=3)),
        )
    ],
    "Cast": [operator("Cast<to=1>(data)", "Cast")],
    "Celu": [operator("Celu<alpha=0.5>(data)", "Div Elu Mul"), operator("Celu(data)", "Div Elu Mul")],
    "Clip": [
        operator("Clip(data, low, high)", "Clip", low=scalar(-0.5), high=scalar(1)),
        operator("Clip(data, low)", "Clip", low=np.array([-0.5], np.float32)),
        operator("Clip(data, , high)", "Clip", high=scalar(0.25)),
    ],
    "Concat": [
        operator("Concat<axis=1>(data, w, data)", "Concat", w=numbers(2, 3, 6, 8)),
        operator("Concat<axis=-1>(data, data)", "Concat"),
        Case("z = Relu(data)\ny = Concat<axis=0>(z)", "Relu Copy"),
    ],
    "Conv": [
        operator("Conv(data, w, b)", "Conv", w=W, b=numbers(6)),
        operator("Conv<strides=[2, 1], pads=[1, 0, 2, 1]>(data, w)", "Conv", w=W),
        operator("Conv<dilations=[2, 2], pads=[2, 2, 2, 2], group=2>(data, w)", "Conv", w=W[:, :2]),
        operator("Conv<kernel_shape=[3, 3], group=4>(data, w)", "Conv", w=numbers(4, 1, 3, 3)),
    ],
    "ConvTranspose": [
        operator("ConvTranspose<strides=[2, 2]>(data, w, b)", "ConvTranspose", w=numbers(4, 3, 2, 2), b=numbers(3)),
        operator(
            "ConvTranspose<strides=[3, 2], pads=[1, 0, 1, 1], output_padding=[1, 1]>(data, w)",
            "ConvTranspose",
            w=numbers(4, 3, 4, 3),
        ),
    ],
    "DepthToSpace": [operator('DepthToSpace<blocksize=2, mode="CRD">(data)', "ConvTranspose")],
    "Div": [operator("Div(data, w)", "Div", w=numbers(4, 1, 1)), operator("Div(data, w)", "Div", w=scalar(3))],
    "Dropout": [Case("z = Relu(data)\nu = Dropout(z)\ny = Neg(u)", "Relu Negative")],
    "Elu": [operator("Elu<alpha=0.5>(data)", "Elu"), operator("Elu(data)", "Elu")],
    "Erf": [operator("Erf(data)", "Erf")],
    "Sin": [operator("Sin(data)", "Sin")],
    "Cos": [operator("Cos(data)", "Cos")],
    "Exp": [operator("Exp(data)", "Exp")],
    "Expand": [
        Case("z = Expand(w, shape)\ny = Mul(data, z)", "Mul", {"w": numbers(4, 1, 1), "shape": ints(2, 4, 6, 8)})
    ],
    "Flatten": [operator("Flatten(data)", "Flatten"), operator("Flatten<axis=2>(data)", "Flatten")],
    "Gather": [
        operator("Gather<axis=1>(data, i)", "Slice Squeeze", i=ints(2)[0]),
        operator("Gather<axis=-1>(data, i)", "Slice Squeeze", i=ints(-1)[0]),
        operator("Gather(data, i)", "Slice Squeeze", i=ints(-2)[0]),
    ],
    "Gelu": [operator("Gelu(data)", "Gelu"), operator('Gelu<approximate="tanh">(data)', "Gelu")],
    "Gemm": [
        Case(
            "x = Flatten(data)\ny = Gemm<transB=1>(x, w, b)", "Flatten FC", {"w": numbers(5, 4), "b": numbers(5)}, FEW
        ),
        Case(
            "x = Flatten(data)\ny = Gemm(x, w, b)", "Flatten FCTransposed", {"w": numbers(4, 5), "b": numbers(5)}, FEW
        ),
        Case("x = Flatten(data)\ny = Gemm<transB=1>(x, w)", "Flatten FC", {"w": numbers(5, 4)}, FEW),
    ],
    "GlobalAveragePool": [operator("GlobalAveragePool(data)", "AveragePool")],
    "HardSigmoid": [
        operator("HardSigmoid<alpha=0.3, beta=0.4>(data)", "Mul Add Clip"),
        operator("HardSigmoid(data)", "Mul Add Clip"),
    ],
    "HardSwish": [operator("HardSwish(data)", "Mul Add Clip Mul")],
    "Identity": [
        Case("z = Relu(data)\nu = Identity(z)\ny = Neg(u)", "Relu Negative"),
        Case("z = Relu(data)\ny = Identity(z)", "Relu Copy"),
    ],
    "InstanceNormalization": [
        operator(
            "InstanceNormalization<epsilon=0.01>(data, gamma, beta)",
            "InstanceNorm",
            gamma=numbers(4),
            beta=numbers(4, seed=1),
        )
    ],
    "LayerNormalization": [
        operator("LayerNormalization<epsilon=0.1>(data, w, b)", "LayerNorm", w=numbers(8), b=numbers(8)),
        operator("LayerNormalization<axis=2>(data, w)", "LayerNorm", w=numbers(6, 8)),
    ],
    "LeakyRelu": [operator("LeakyRelu<alpha=0.5>(data)", "LeakyRelu"), operator("LeakyRelu(data)", "LeakyRelu")],
    "Log": [Case("y = Log(data)", "Log", positive=True)],
    "MatMul": [
        Case("x = Flatten(data)\ny = MatMul(x, w)", "Flatten FC", {"w": numbers(4, 5)}, FEW),
        operator("MatMul(data, w)", "Reshape FC Reshape", w=numbers(8, 5)),
        Case("z = Transpose<perm=[0, 1, 3, 2]>(data)\ny = MatMul(data, z)", "Transpose BatchMatMul"),
    ],
    "Max": [
        operator("Max(data, w)", "Sub Relu Add", w=numbers(4, 1, 1)),
        operator("Max(data, w, v)", "Sub Relu Add Sub Relu Add", w=scalar(0.3), v=numbers(2, 4, 6, 8)),
        Case("z = Relu(data)\ny = Max(z)", "Relu Copy"),
    ],
    "MaxPool": [
        operator("MaxPool<kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]>(data)", "MaxPool"),
        operator("MaxPool<kernel_shape=[1, 1], strides=[2, 2]>(data)", "MaxPool"),
        operator("MaxPool<kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0], ceil_mode=1>(data)", "MaxPool"),
    ],
    "Min": [operator("Min(data, w)", "Sub Relu Sub", w=numbers(4, 1, 1))],
    "Mish": [operator("Mish(data)", "Softplus Tanh Mul")],
    "Mul": [operator("Mul(data, data)", "Mul"), operator("Mul(data, w)", "Mul", w=numbers(2, 4, 1, 1))],
    "Neg": [operator("Neg(data)", "Negative")],
    "PRelu": [
        operator("PRelu(data, w)", "Relu Mul Mul Add", w=numbers(4, 1, 1)),
        operator("PRelu(data, w)", "LeakyRelu", w=numbers(1)),
    ],
    "Pad": [
        operator("Pad(data, pads)", "Reshape PadImage Reshape", pads=ints(0, 1, 0, 0, 0, 0, 0, 0)),
        operator("Pad(data, pads)", "PadImage", pads=ints(0, 0, 1, 2, 0, 0, 3, 0)),
        operator("Pad(data, pads, v)", "PadImage", pads=ints(0, 0, 1, 2, 0, 0, 3, 1), v=scalar(-1.5)),
        operator('Pad<mode="edge">(data, pads)', "PadImage", pads=ints(0, 0, 2, 1, 0, 0, 1, 3)),
        operator('Pad<mode="reflect">(data, pads)', "PadImage", pads=ints(0, 0, 2, 1, 0, 0, 1, 3)),
    ],
    "Pow": [
        Case("y = Pow(data, w)", "Pow", {"w": scalar(1.5)}, positive=True),
        operator("Pow(data, w)", "Pow", w=ints(2)[0]),
        operator("Pow(data, w)", "Pow", w=np.array([[3]], np.float32)),
        Case("y = Pow(data, w)", "Pow", {"w": numbers(4, 1, 1)}, positive=True),
        Case("z = Neg(data)\nu = Exp(z)\ny = Pow(u, data)", "Negative Exp Pow"),
    ],
    "Reciprocal": [operator("Reciprocal(data)", "Div")],
    "ReduceL1": [operator("ReduceL1(data, axes)", "Abs ReduceSum", axes=ints(1))],
    "ReduceL2": [operator("ReduceL2<keepdims=0>(data, axes)", "Mul ReduceSum Sqrt", axes=ints(-1, 2))],
    "ReduceMax": [
        operator("ReduceMax<keepdims=0>(data, axes)", "ReduceMax", axes=ints(1, -1)),
        operator("ReduceMax(data)", "ReduceMax"),
    ],
    "ReduceMean": [
        operator("ReduceMean<keepdims=0>(data, axes)", "ReduceMean", axes=ints(2, 3)),
        operator("ReduceMean(data, axes)", "ReduceMean", axes=ints(-1, 1)),
        operator("ReduceMean(data)", "ReduceMean"),
    ],
    "ReduceMin": [operator("ReduceMin<keepdims=0>(data, axes)", "Negative ReduceMax Negative", axes=ints(1, -1))],
    "ReduceSum": [
        operator("ReduceSum<keepdims=0>(data, axes)", "ReduceSum", axes=ints(2)),
        operator("ReduceSum(data)", "ReduceSum"),
    ],
    "Relu": [operator("Relu(data)", "Relu")],
    "Reshape": [
        operator("Reshape(data, shape)", "Reshape", shape=ints(2, 2, 2, 48)),
        operator("Reshape(data, shape)", "Reshape", shape=ints(0, -1, 8)),
        operator("Reshape(data, shape)", "Flatten", shape=ints(2, -1)),
        Case("z = Relu(data)\nu = Reshape(z, shape)\ny = Neg(u)", "Relu Negative", {"shape": ints(2, 4, 6, 8)}),
    ],
    "Resize": [
        *(operator(NEAREST, "ResizeNearest", scales=np.array([1, 1, h, w], np.float32)) for h, w in [(2, 2), (3, 1.5)]),
        *(
            operator(BILINEAR, "PadImage ConvTranspose", scales=np.array([1, 1, f, f], np.float32))
            for f in (2, 3, 4, 5, 8)
        ),
        *(
            operator(BILINEAR, "Interpolate", scales=np.array([1, 1, h, w], np.float32))
            for h, w in [(0.5, 0.5), (1.5, 1.5), (2, 3)]
        ),
        Case(
            f"y = {BILINEAR}", "Interpolate", {"scales": np.array([1, 1, 2, 2], np.float32)}, (2, 1, 6, 8)
        ),  # a channel
        operator(RESIZE.format("linear", "align_corners"), "Interpolate", scales=np.array([1, 1, 2, 2], np.float32)),
        operator(BY_SIZE.format("linear", "half_pixel"), "Interpolate", sizes=ints(2, 4, 9, 7)),
        operator(BY_SIZE.format("nearest", "asymmetric"), "Interpolate", sizes=ints(2, 4, 9, 7)),
    ],
    "Selu": [operator("Selu<alpha=0.5, gamma=2.0>(data)", "Elu Mul"), operator("Selu(data)", "Elu Mul")],
    "Sigmoid": [operator("Sigmoid(data)", "Sigmoid")],
    "Slice": [
        operator("Slice(data, first, last, axes)", "Slice", first=ints(1), last=ints(3), axes=ints(1)),
        operator(
            "Slice(data, first, last, axes)",
            "Slice Slice",
            first=ints(-4, 1),
            last=ints(-1, 2**63 - 1),
            axes=ints(-2, 3),
        ),
        operator(
            "Slice(data, first, last, axes, steps)",
            "Reshape Slice Squeeze",
            first=ints(0),
            last=ints(6),
            axes=ints(2),
            steps=ints(2),
        ),
        operator("Slice(data, first, last)", "Slice Slice", first=ints(1, 0), last=ints(2, -2)),
        operator("Slice(data, first, last, axes)", "Slice", first=ints(-100), last=ints(100), axes=ints(2)),
        operator("Slice(data, first, last, axes)", "Slice", first=ints(0), last=ints(-100), axes=ints(3)),
    ],
    "Softmax": [
        operator("Softmax(data)", "Softmax"),
        operator("Softmax<axis=1>(data)", "Transpose Softmax Transpose"),
        Case("x = Flatten(data)\ny = Softmax<axis=1>(x)", "Flatten Softmax", shape=FEW),
    ],
    "Softplus": [operator("Softplus(data)", "Softplus")],
    "Split": [
        Case("a, b = Split<axis=1>(data, sizes)\ny = Concat<axis=1>(b, a)", "Split Concat", {"sizes": ints(1, 3)}),
        Case("a, b = Split<axis=-1, num_outputs=2>(data)\ny = Sub(a, b)", "Split Sub"),
    ],
    "Sqrt": [Case("y = Sqrt(data)", "Sqrt", positive=True)],
    "Squeeze": [Case("y = Squeeze(data, axes)", "Squeeze", {"axes": ints(-2, 0)}, (1, 4, 1, 8))],
    "Sub": [operator("Sub(data, w)", "Sub", w=numbers(4, 1, 1)), operator("Sub(w, data)", "Sub", w=scalar(1))],
    "Sum": [operator("Sum(data, w, data)", "Sum", w=numbers(2, 4, 6, 8))],
    "Tanh": [operator("Tanh(data)", "Tanh")],
    "Transpose": [
        operator("Transpose<perm=[0, 2, 3, 1]>(data)", "Transpose"),
        operator("Transpose(data)", "Transpose"),
    ],
    "Unsqueeze": [operator("Unsqueeze(data, axes)", "ExpandDims", axes=ints(-1, 1))],
}
# Operators of our own domain, which ONNX's evaluator does not know: test_export_modules.py, test_export_models.py.
OWN = {o.type for o in OPERATORS} | set(LAYERS)


def build(nodes: str, constants: dict[str, Array], shape: tuple[int | str, ...]) -> onnx.ModelProto:
    graph = onnx.helper.make_graph(
        [onnx.parser.parse_node(line) for line in nodes.splitlines()],
        "graph",
        [onnx.helper.make_tensor_value_info("data", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)])
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def reference(model: onnx.ModelProto, data: Array) -> Array:
    outputs: Any = ReferenceEvaluator(model).run(None, {"data": data})
    return np.asarray(outputs[0])


def write(model: onnx.ModelProto) -> Nets:
    return NetWriter(onnx_ir.from_proto(model), TRANSLATIONS).write()


def run(nets: Nets, folder: Path, **inputs: Array) -> dict[str, Array]:
    if not nets.init.op:  # a file without any weight is not a model to the runtime
        nets.init.op.add(type="ConstantFill", output=["unused"])
    (folder / "model.pb").write_bytes(nets.predict.SerializeToString())
    (folder / "model_init.pb").write_bytes(nets.init.SerializeToString())
    found: dict[str, Array] = runtime.load(folder, threads=1).run(inputs)
    return found


def test_every_translation_has_a_case() -> None:
    assert set(CASES) | OWN == set(TRANSLATIONS)


@pytest.mark.parametrize(
    ("kind", "case"), [pytest.param(k, c, id=f"{k}-{i}") for k, cases in CASES.items() for i, c in enumerate(cases)]
)
def test_files_give_what_onnx_means(kind: str, case: Case, tmp_path: Path) -> None:
    data = numbers(*case.shape, seed=7)
    data = np.abs(data) + np.float32(0.1) if case.positive else data
    model = build(case.nodes, case.constants, case.shape)
    assert kind in [node.op_type for node in model.graph.node]
    wanted = reference(model, data)
    nets = write(model)
    assert " ".join(op.type for op in nets.predict.op) == case.operators
    found = run(nets, tmp_path, data=data)["y"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5, strict=True)


@pytest.mark.parametrize("size", [(6, 8), (3, 5)])
@pytest.mark.parametrize(
    ("nodes", "constants", "operators"),
    [
        ("y = Reshape(data, shape)", {"shape": ints(0, 0, -1)}, "Reshape"),
        ("y = Slice(data, first, last, axes)", {"first": ints(1), "last": ints(-1), "axes": ints(3)}, "Slice"),
        (f"y = {BILINEAR}", {"scales": np.array([1, 1, 2, 2], np.float32)}, "PadImage ConvTranspose"),
    ],
)
def test_height_and_width_may_be_unknown(
    nodes: str, constants: dict[str, Array], operators: str, size: tuple[int, int], tmp_path: Path
) -> None:
    data = numbers(1, 4, *size)
    model = build(nodes, constants, (1, 4, "H", "W"))
    wanted = reference(model, data)
    nets = write(model)
    assert " ".join(op.type for op in nets.predict.op) == operators
    np.testing.assert_allclose(run(nets, tmp_path, data=data)["y"], wanted, rtol=2e-5, atol=2e-5, strict=True)


# What an operator says that cannot be written.
REFUSED: list[tuple[str, dict[str, Array], str]] = [
    ('y = Conv<auto_pad="SAME_UPPER", kernel_shape=[3, 3]>(data, w)', {"w": W}, "Conv with auto_pad"),
    (
        "z = Reshape(data, shape)\ny = MaxPool<kernel_shape=[2]>(z)",
        {"shape": ints(2, 4, 48)},
        "MaxPool over 1 dimensions",
    ),
    ("y = ConvTranspose<dilations=[2, 2], kernel_shape=[2, 2]>(data, w)", {"w": numbers(4, 3, 2, 2)}, "with dilation"),
    (
        "y = MaxPool<kernel_shape=[2, 2], strides=[3, 3], ceil_mode=1>(data)",
        {},
        "MaxPool with ceil_mode and a window of",
    ),
    ("y = MaxPool<kernel_shape=[2, 2], dilations=[2, 2]>(data)", {}, "MaxPool with dilation"),
    (
        "z = Flatten(data)\ny = Gemm<alpha=2.0>(z, w, b)",
        {"w": numbers(192, 3), "b": numbers(3)},
        "a matrix product with scaling",
    ),
    (
        "z = Flatten(data)\nu = Transpose(z)\ny = Gemm(z, u)",
        {},
        "a matrix product whose factors are both computed cannot be written; use matmul",
    ),
    ("y = Gather<axis=1>(data, i)", {"i": ints(1, 0)}, "indexing by a tensor cannot be written"),
    (
        f"y = {RESIZE.format('cubic', 'half_pixel')}",
        {"scales": np.array([1, 1, 2, 2], np.float32)},
        "resizing with mode 'cubic', coordinates 'half_pixel', cannot be written; nearest and bilinear can",
    ),
    (f"y = {BILINEAR}", {"scales": np.array([1, 2, 2, 3], np.float32)}, "other dimensions than height and width"),
    ("y = DepthToSpace<blocksize=2>(data)", {}, "DepthToSpace whose blocks come first"),
    ("y = Expand(w, shape)", {"w": numbers(4, 1, 1), "shape": ints(2, 4, 6, 8)}, "expand cannot be written but before"),
    ("y = Clip(data, low)", {"low": numbers(2)}, "min of Clip must be one number, is 2 of them"),
    (
        "y = Slice(data, first, last, axes, steps)",
        {"first": ints(0), "last": ints(6), "axes": ints(2), "steps": ints(-1)},
        "a slice of 6 cells from 0 to 5 in steps of -1 cannot be written",
    ),
    (
        'y = Pad<mode="edge">(data, pads)',
        {"pads": ints(0, 1, 0, 0, 0, 0, 0, 0)},
        "by edge other than of height and width",
    ),
    (
        'y = Pad<mode="wrap">(data, pads)',
        {"pads": ints(0, 0, 1, 0, 0, 0, 0, 0)},
        "around the border, cannot be written",
    ),
    ("z = Cast<to=7>(data)\ny = Cast<to=1>(z)", {}, "casts to other types than float32"),
    (
        "z = Asin(data)\nu = Tan(z)\ny = Asin(u)",
        {},
        "the files have no operators for Asin in the model; Tan in the model",
    ),
]


@pytest.mark.parametrize(("nodes", "constants", "message"), REFUSED)
def test_what_cannot_be_written_is_refused(nodes: str, constants: dict[str, Array], message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        write(build(nodes, constants, (2, 4, 6, 8)))


def test_dimensions_that_may_be_one_cannot_be_dropped() -> None:
    with pytest.raises(Unsupported, match="squeeze needs the dimensions to drop"):
        write(build("y = Squeeze(data)", {}, (1, 4, "H", "W")))


def test_a_reshape_by_several_unknown_sizes_is_refused() -> None:
    model = onnx_ir.from_proto(build("y = Reshape(data, shape)", {"shape": ints(1, -1, 4, 16)}, (1, 4, "H", "W")))
    model.graph[0].outputs[0].shape = onnx_ir.Shape([1, "H/2", "W/2", 16])
    with pytest.raises(Unsupported, match=r"a reshape of .* to \[1, 'H/2', 'W/2', 16\] depends on the image's size"):
        NetWriter(model, TRANSLATIONS).write()


def test_parameters_of_integers_and_other_types(tmp_path: Path) -> None:
    model = build("y = Mul(data, w)", {"w": np.full((1,), 3, np.float32)}, (1, 2))
    nets = write(model)
    assert nets.init.op[0].type == "GivenTensorFill"
    wrong = build("y = Cast<to=1>(w)", {"w": np.array([True])}, (1, 2))
    with pytest.raises(Unsupported, match="parameter 'w' is bool, must be of floats or integers"):
        write(wrong)


def test_graphs_that_tracing_cannot_give_are_our_fault() -> None:
    nameless = onnx_ir.from_proto(build("y = Identity(data)", {}, (1, 2)))
    nameless.graph[0].replace_input_with(0, None)
    with pytest.raises(InternalError, match="the model: Identity came out of tracing without its first input"):
        NetWriter(nameless, TRANSLATIONS).write()
    with pytest.raises(InternalError, match="value 'nobody' came out of tracing neither computed nor constant"):
        write(build("y = Add(data, nobody)", {}, (1, 2)))
