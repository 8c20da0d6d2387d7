"""From a checkpoint into a model: every weight, or one error that names all that do not fit."""

from __future__ import annotations

import difflib
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import nn

from d2deploy.checkpoint.formats import load_checkpoint
from d2deploy.errors import InvalidModel

_LOGGER = logging.getLogger(__name__)
SHOWN = 6  # names, or modules, per kind of fault

# What old checkpoints have and models compute themselves, or training alone needs.
_IGNORED_ENDS = (".num_batches_tracked", ".n_averaged", ".pixel_mean", ".pixel_std", ".fed_loss_cls_weights")
_IGNORED_PARTS = (".anchor_generator.cell_anchors.",)
# What torch.compile, FSDP and activation checkpointing put into the names of what they wrap.
_WRAPPERS = re.compile(r"\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")


def load_weights(model: nn.Module, address: str | Path) -> None:
    """Loads a checkpoint into a model, each weight cast to the type it has there.

    Args:
        model: Its parameters and persistent buffers are set; on an error none is.
        address: As `load_checkpoint` takes it.

    Raises:
        InvalidModel: Weights are missing, unexpected or of another shape or kind; all are named.
        InvalidArgument, Unsupported: see `load_checkpoint`.
    """
    wanted = {n: value for n, value in model.state_dict(keep_vars=True).items() if not _is_ignored(n)}
    tensors = {_WRAPPERS.sub("", n): value for n, value in load_checkpoint(address).items() if not _is_ignored(n)}
    found = _with_new_names(_without_prefix(tensors, set(wanted), str(address)), wanted)
    found.update(_statistics_of_old_checkpoints(model, found))
    missing = [name for name in wanted if name not in found]
    unexpected = [name for name in found if name not in wanted]
    wrong = [name for name in wanted if name in found and _misfit(found[name], wanted[name])]
    if missing or unexpected or wrong:
        lines = [
            *_listed(missing, "missing in the file", _by_module(missing)),
            *_listed(unexpected, "not in the model", _by_module(unexpected)),
            *_listed(wrong, "of another shape or type", [f"{n} {_misfit(found[n], wanted[n])}" for n in wrong]),
            *_hints(missing, unexpected, wrong, found),
        ]
        raise InvalidModel(f"{address} does not fit the model:" + "".join(f"\n  {line}" for line in lines))
    if strange := [n for n in wanted if found[n].is_floating_point() and not found[n].isfinite().all()]:
        shown = ", ".join(_by_module(strange)[:SHOWN])
        _LOGGER.warning("%s: numbers that are not finite in %s; did its training diverge?", address, shown)
    with torch.no_grad():
        for name, target in wanted.items():
            target.copy_(found[name])


def _without_prefix(tensors: dict[str, torch.Tensor], wanted: set[str], address: str) -> dict[str, torch.Tensor]:
    """The weights by the model's names, where one prefix stands before them: `module.` of DistributedDataParallel,
    `modelTeacher.` or the like of two models in one file, of which a teacher is taken, or an average, or the first."""
    counts = Counter(prefix for name in tensors for prefix in _prefixes(name, wanted))
    plain = sum(name in wanted for name in tensors)
    most = max(counts.values(), default=0)
    if most <= plain or 2 * most <= len(wanted):
        return tensors
    models = [prefix for prefix, count in counts.items() if 2 * count > most]
    best = next((p for p in models if re.search("teacher|ema|average", p, re.IGNORECASE)), models[0])
    others = [prefix for prefix in models if prefix != best]
    if best != "module.":
        beside = f"; those of {', '.join(map(repr, others))} are left out" if others else ""
        _LOGGER.warning("%s: the weights are those whose names begin with %r%s", address, best, beside)
    kept = {name: value for name, value in tensors.items() if not name.startswith(tuple(others))}
    return {name.removeprefix(best): value for name, value in kept.items()}


def _prefixes(name: str, wanted: set[str]) -> Iterator[str]:
    """What may stand before one of the wanted names, up to three words."""
    parts = name.split(".")
    for cut in range(1, min(4, len(parts))):
        if ".".join(parts[cut:]) in wanted:
            yield ".".join(parts[:cut]) + "."


def _with_new_names(tensors: dict[str, torch.Tensor], wanted: Iterable[str]) -> dict[str, torch.Tensor]:
    """The weights, those of PointRend's older checkpoints under the names that the model has.

    Source: detectron2/projects/PointRend/point_rend, mask_head.py and roi_heads.py, versions before 2.
    """
    known, result = set(wanted), {}
    for name, value in tensors.items():
        new = re.sub(r"\bmask_(point|coarse)_head\.", r"mask_head.\1_head.", name).replace(".coarse_mask_fc", ".fc")
        result[new if new in known else name] = value
    return result


def _statistics_of_old_checkpoints(
    model: nn.Module, found: dict[str, torch.Tensor]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Mean 0 and variance 1 for frozen BatchNorms whose checkpoint has scale and bias alone, as old ones do.

    Source: detectron2/layers/batch_norm.py, versions before 2.
    """
    for path, module in model.named_modules():
        buffers = dict(module.named_buffers(path, recurse=False))
        weight, mean, variance = (f"{path}.{name}" for name in ("weight", "running_mean", "running_var"))
        if {weight, mean, variance} <= buffers.keys() and weight in found:
            if mean not in found:
                yield mean, torch.zeros_like(buffers[mean])
            if variance not in found:
                yield variance, torch.ones_like(buffers[variance])


def _is_ignored(name: str) -> bool:
    dotted = f".{name}"
    return dotted.endswith(_IGNORED_ENDS) or any(part in dotted for part in _IGNORED_PARTS)


def _misfit(found: torch.Tensor, wanted: torch.Tensor) -> str:
    """Why a tensor cannot take the place of a weight; empty where it can."""
    if found.layout != torch.strided or found.is_quantized or found.is_complex() or found.is_meta:
        return f"is not a plain tensor of real numbers ({found.layout}, {found.dtype}, {found.device})"
    if found.is_floating_point() != wanted.is_floating_point():
        return f"is of {found.dtype}, the model's of {wanted.dtype}"
    if found.shape != wanted.shape:
        return f"is {tuple(found.shape)}, the model's {tuple(wanted.shape)}"
    return ""


def _listed(names: list[str], what: str, texts: list[str]) -> Iterator[str]:
    if names:
        more = f", and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
        yield f"{len(names)} {what}: {', '.join(texts[:SHOWN])}{more}"


def _by_module(names: list[str]) -> list[str]:
    """The names; many of them as the innermost modules that hold them all and are few."""
    depth = max((name.count(".") for name in names), default=0)
    while len(names) > SHOWN and depth > 0:
        modules = Counter(".".join(name.split(".")[:depth]) for name in names)
        if len(modules) <= SHOWN:
            return [f"{module}{'.*' if module not in names else ''} ({count})" for module, count in modules.items()]
        depth -= 1
    return names


def _hints(
    missing: list[str], unexpected: list[str], wrong: list[str], found: dict[str, torch.Tensor]
) -> Iterator[str]:
    if prefix := _common_prefix(missing, unexpected):
        yield f"the file's names begin with {prefix!r}, the model's do not: remove it from the names"
    elif prefix := _common_prefix(unexpected, missing):
        yield f"the model's names begin with {prefix!r}, the file's do not: add it to the names"
    elif missing and unexpected:
        for name in unexpected[:SHOWN]:
            if near := difflib.get_close_matches(name, missing, n=1, cutoff=0.8):
                yield f"{name} may be what the model calls {near[0]}"
    for name in wrong:
        if "box_predictor." in name and name.endswith(".cls_score.weight"):
            yield f"the file's MODEL.ROI_HEADS.NUM_CLASSES is {found[name].shape[0] - 1}"
    yield "give the configuration that the checkpoint was trained with"


def _common_prefix(short: Iterable[str], long: list[str]) -> str:
    """What stands before the names of `short` in those of `long`, where it does before most of them."""
    known = set(short)
    counts: dict[str, int] = {}
    for name in long:
        parts = name.split(".")
        for cut in range(1, len(parts)):
            if ".".join(parts[cut:]) in known:
                prefix = ".".join(parts[:cut]) + "."
                counts[prefix] = counts.get(prefix, 0) + 1
                break
    best = max(counts, key=lambda prefix: counts[prefix], default="")
    return best if best and counts[best] * 2 > len(long) else ""
