"""A module of networks and Caffe2's operators -> torch.export -> ONNX, for any image size and number of boxes."""

from __future__ import annotations

import contextlib
import logging
import re
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import onnx_ir
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass
from torch import Tensor, nn

from d2deploy.errors import InternalError, Unsupported
from d2deploy.export import onnx_domain, standard_onnx, whole
from d2deploy.export.constants import fold_constants
from d2deploy.export.folding import fold_batch_norms, fold_transposes, fold_unsqueezed
from d2deploy.export.netdef import without_root
from d2deploy.export.sizes import SizeWatch, sample_size
from d2deploy.padding import Padding

# Sides in pixels. From the smaller on, maps of stride 128 have more than one cell; where they have one, tracing cares.
MIN_SIDE, MAX_SIDE = 256, 65536


def to_onnx(
    module: nn.Module,
    inputs: dict[str, Tensor],
    outputs: Sequence[str],
    padding: Padding,
    standard_ops: bool = False,
) -> onnx_ir.Model:
    """Traces a module without running it.

    Args:
        module: takes `data` (1, C, H, W), `im_info` (1, 3) and, where they are given, `proposals` (R, 5), gives a tuple
            of tensors.
        inputs: tensors of the right ranks and types; their values and their H and W do not matter.
        outputs: names of the outputs.
        padding: what H and W of `data` become. Those of a square are the sample's for good.
        standard_ops: the detection operators are written with ONNX's standard ones, not as Caffe2's.

    Raises:
        Unsupported: where the module's Python code depends on the values of tensors, or uses an operator that ONNX
            lacks; the message names the submodule.
    """
    with _quiet():
        program = _trace(module, inputs, padding)
        if standard_ops:
            program = _folded(program).run_decompositions(standard_onnx.decompositions())
        elif not whole.keep_whole(program):
            program = _folded(program)
        domain = standard_onnx if standard_ops else onnx_domain
        try:
            result = torch.onnx.export(
                program,
                dynamo=True,
                optimize=True,
                verbose=False,
                output_names=outputs,
                custom_translation_table={**domain.translations(), **({} if standard_ops else whole.translations())},
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise Unsupported(_conversion_message(program, error)) from error
    if result is None:
        raise InternalError("torch.onnx.export gave no model")
    _spread_lists(result.model)
    fold_unsqueezed(result.model.graph)
    fold_batch_norms(result.model.graph)
    fold_transposes(result.model.graph)
    RemoveUnusedNodesPass()(result.model)
    return result.model


def _trace(module: nn.Module, inputs: dict[str, Tensor], padding: Padding) -> torch.export.ExportedProgram:
    multiple = max(padding.size_divisibility, 1)

    def side(name: str) -> Any:
        dim = torch.export.Dim(name, min=max(2, -(-MIN_SIDE // multiple)), max=MAX_SIDE // multiple)
        return dim * multiple if multiple > 1 else dim

    # At least two proposals, for what `_unknown_rows` of operators.py tells.
    sides: dict[str, dict[int, Any]] = {"proposals": {0: torch.export.Dim("proposals", min=2)}}
    if not padding.square_size:
        sides["data"] = {2: side("height"), 3: side("width")}
        data = inputs["data"]
        inputs = {**inputs, "data": data.new_zeros(*data.shape[:2], *sample_size(multiple))}
    shapes = {name: sides.get(name, {}) for name in inputs}
    watch = SizeWatch(multiple)
    try:
        with watch.of(module):
            program = torch.export.export(
                module,
                (),
                inputs,
                dynamic_shapes=shapes,
                strict=False,
                prefer_deferred_runtime_asserts_over_guards=True,
            )
    except Exception as error:
        if not watch.condition:
            raise Unsupported(_tracing_message(module, error)) from error
    if watch.condition:
        raise Unsupported(_size_message(module, watch))
    return program


def _size_message(module: nn.Module, watch: SizeWatch) -> str:
    path = next((without_root(name) for name, m in module.named_modules() if m is watch.module), "")
    where = f"module '{path}' ({type(watch.module).__name__})" if path else "the model"
    return (
        f"{where} goes by the picture's size: what was traced holds only where {watch.condition}. Its forward must not "
        "branch on sizes nor make numbers of them: pool by adaptive_avg_pool2d or mean, resize to the size of a map, "
        "or keep the module out of the exported model"
    )


def _tracing_message(module: nn.Module, error: Exception) -> str:
    """Names the innermost submodule whose code was running, and the reason in one line."""
    names = {id(m): without_root(name) for name, m in module.named_modules()}
    where = "the model"
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if running := names.get(id(frame.f_locals.get("self"))):
            where = f"module '{running}' ({type(frame.f_locals['self']).__name__})"
    lines = (str(error).strip() or type(error).__name__).splitlines()
    # Of sizes that the code bounds, the first line says that they are; the next tells which.
    reason = next((line.strip(" -") for line in lines if "satisfy the generated guard" in line), lines[0])
    return (
        f"{where} cannot be traced: {reason}. Its forward must not branch on the values of tensors, nor on sizes; "
        "replace such code by tensor operators, or keep the module out of the exported model"
    )


def _folded(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    nodes = {node.name: node for node in program.graph.nodes}
    try:
        return fold_constants(program)
    except Unsupported as error:  # with PyTorch's own words behind it
        reason, _, where = str(error).partition("\n")
        found = re.search(r"While executing %(\w+)", where)
        raise Unsupported(f"{module_of(nodes[found[1]].meta) if found else 'the model'}: {reason}") from error


def _conversion_message(program: torch.export.ExportedProgram, error: Exception) -> str:
    reasons = [str(e) for e in _causes(error)]
    # torch.onnx may name a part of the operator, prims.bessel_j0 of aten.special_bessel_j0, or what PyTorch made of it.
    unknown = {name for reason in reasons for name in re.findall(r"OpOverload\(op='\w+\.(\w+)'", reason)}
    failed = {name for reason in reasons for name in re.findall(r"translating node %(\w+)", reason)}
    alike: dict[int, torch.fx.Node] = {}  # by how many characters of a name are the same: the most of them count
    for node in program.graph.nodes:
        kind = str(getattr(node.target, "overloadpacket", "")).rpartition(".")[2]
        same = [min(len(kind), len(name)) for name in unknown if kind and (kind in name or name in kind)]
        if same or node.name in failed:
            alike.setdefault(max(same, default=0), node)
    if alike:
        node = alike[max(alike)]
        return (
            f"{module_of(node.meta)} uses {node.target}, which has no translation to ONNX in this form. "
            "Write it with other operators of PyTorch, or keep the module out of the exported model"
        )
    return f"the model cannot be converted to ONNX: {reasons[-1].splitlines()[0] if reasons else error}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def module_of(meta: dict[str, Any]) -> str:
    """Names the submodule that a node of a traced program comes from."""
    stack = list((meta.get("nn_module_stack") or {}).values())
    path, kind = stack[-1] if stack else ("", "")
    return f"module '{name}' ({str(kind).rsplit('.', 1)[-1]})" if (name := without_root(path)) else "the model"


def _spread_lists(model: onnx_ir.Model) -> None:
    """A list of outputs, which torch.onnx takes apart by index, becomes that many outputs."""
    for node in list(model.graph):
        takers = [u.node for u in node.outputs[0].uses()] if len(node.outputs) == 1 else []
        places = {taker: place for taker in takers if (place := _place(taker)) is not None}
        if node.domain != onnx_domain.DOMAIN or not takers or len(places) < len(takers):
            continue
        spread = onnx_ir.Node(
            node.domain,
            node.op_type,
            node.inputs,
            list(node.attributes.values()),
            num_outputs=onnx_domain.output_count(node),
            metadata_props=dict(node.metadata_props),
        )
        node.append(spread)
        for taker, place in places.items():
            old, new = taker.outputs[0], spread.outputs[place]
            new.name, new.shape, new.type = old.name, old.shape, old.type
            old.replace_all_uses_with(new, replace_graph_outputs=True)
            model.graph.remove(taker, safe=True)
        model.graph.remove(node, safe=True)


def _place(taker: onnx_ir.Node) -> int | None:
    """Which element of a list a node takes; None for a node that does something else with it."""
    index = taker.inputs[1] if taker.op_type == "SequenceAt" else None
    return None if index is None or index.const_value is None else int(index.const_value.numpy())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch.export and torch.onnx warn about their own internals; what concerns the user is an error here."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
