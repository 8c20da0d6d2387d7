#!/usr/bin/env python3
"""Converts every configuration of Detectron2's model zoo, small and with random weights, and tells what became of it.

  scripts/in_venv scripts/census.py detectron2/configs --lazy --project detectron2/projects/PointRend/configs \\
    --commit 02b5c4e --output docs/coverage.md
  scripts/in_venv scripts/census.py detectron2/configs --only cascade

Each configuration is loaded from its YAML file; the model is built with random weights, converted, run in the C++
runtime, and compared with PyTorch as `d2deploy verify` compares. Configurations that differ in nothing but training,
depth and weights are converted once. With --lazy the configurations in Python come behind, whose models Detectron2
builds: it must be installed. Exit status: 0 where every configuration is converted or refused for a reason, 1 where one
disagrees or breaks, 2 where the call is wrong.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarking.models import draw_weights
from d2deploy.config import load_config
from d2deploy.errors import Error, Unsupported
from d2deploy.export import Caffe2Tracer, config_of_lazy
from d2deploy.export.verify import Report, verify
from d2deploy.modeling import build_model, resnet

# What makes models small; nothing here changes which operators a model has.
SMALL: list[Any] = [
    *("MODEL.DEVICE", "cpu", "MODEL.PIXEL_STD", [60.0, 60.0, 60.0]),
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", 32, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64, "MODEL.FPN.OUT_CHANNELS", 32),
    *("MODEL.ROI_HEADS.NUM_CLASSES", 3, "MODEL.ROI_BOX_HEAD.FC_DIM", 48, "MODEL.ROI_BOX_HEAD.CONV_DIM", 32),
    *("MODEL.ROI_MASK_HEAD.CONV_DIM", 32, "MODEL.ROI_MASK_HEAD.FC_DIM", 48, "MODEL.POINT_HEAD.FC_DIM", 32),
    *("MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS", [16, 16]),
    *("MODEL.RETINANET.NUM_CLASSES", 3, "MODEL.SEM_SEG_HEAD.CONVS_DIM", 32, "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 4),
    *("MODEL.RPN.PRE_NMS_TOPK_TEST", 60, "MODEL.RPN.POST_NMS_TOPK_TEST", 30, "TEST.DETECTIONS_PER_IMAGE", 8),
]
WIDTH = 32  # of a bottleneck of all groups together
# How far a layer's outputs spread, times its inputs': scores differ, boxes stay near their anchors, blocks add little.
GAINS = {
    **dict.fromkeys(["objectness_logits", "cls_score", "predictor", "score_lowres"], 1.5),
    **dict.fromkeys(["anchor_deltas", "bbox_pred"], 0.3),
    "conv3": 0.3,
}
# The same, but not times the inputs'.
SPREADS = {
    **dict.fromkeys(["objectness_logits", "cls_score", "predictor", "score_lowres", "ctrness"], 1.5),
    **dict.fromkeys(["anchor_deltas", "bbox_pred"], 0.3),
}
# Keys of MODEL that no converted model depends on.
_OF_TRAINING = (
    "LOSS",
    "WEIGHTS",
    "TRAIN",
    "IOU",
    "BATCH_SIZE",
    "POSITIVE_FRACTION",
    "FREEZE_AT",
    "SMOOTH_L1",
    "APPEND",
)
SIZE = (96, 128)
# Lazy configurations of whole models, and what makes these small: layers of a head, and how many boxes there are. All
# else is named in several places of a configuration, which must agree.
LAZY = ("COCO-*/*.py", "new_baselines/*.py")
NARROW = ("head", "sem_seg_head", "roi_heads.box_head", "roi_heads.mask_head", "roi_heads.keypoint_head")
CHANNELS = 64  # of such a layer: two in each group of GroupNorm, which one value alone cannot have
COUNTS: dict[str, dict[str, Any]] = {
    "": {"num_classes": 3},
    "proposal_generator": {"pre_nms_topk": (60, 60), "post_nms_topk": (30, 30)},
    "roi_heads": {"num_classes": 3},
    "sem_seg_head": {"num_classes": 4},
    "roi_heads.box_predictor": {"test_topk_per_image": 8},
}


@dataclass(frozen=True)
class Verdict:
    """What became of a configuration: "agrees", "refused", "disagrees" or "breaks", and what there is to say."""

    kind: str
    text: str


Judge = Callable[[Path, dict[str, Verdict]], Verdict]


def census(folder: Path, files: list[Path], judge: Judge | None = None) -> dict[str, Verdict]:
    """The verdict on each file, by its path in the folder."""
    judge = judge or _verdict
    verdicts: dict[str, Verdict] = {}
    done: dict[str, Verdict] = {}
    for file in files:
        start = time.process_time()
        name = str(file.relative_to(folder))
        verdicts[name] = judge(file, done)
        print(f"{name}: {verdicts[name].kind}: {verdicts[name].text} ({time.process_time() - start:.0f} s)", flush=True)
    return verdicts


def _verdict(file: Path, done: dict[str, Verdict]) -> Verdict:
    try:
        cfg = load_config(str(file))
        classes = 4 if cfg.MODEL.META_ARCHITECTURE == "SemanticSegmentor" else 3
        own = ["MODEL.RESNETS.WIDTH_PER_GROUP", WIDTH // cfg.MODEL.RESNETS.NUM_GROUPS]
        cfg = load_config(str(file), [*SMALL, *own, "MODEL.POINT_HEAD.NUM_CLASSES", classes])
        key = _architecture(cfg)
        if key not in done:
            done[key] = _converted(cfg)
        return done[key]
    except Unsupported as error:
        return Verdict("refused", " ".join(str(error).split()))
    except Error as error:
        return Verdict("breaks", " ".join(str(error).split()))


def _architecture(cfg: Any) -> str:
    """The same text for configurations whose models have the same kinds of layers."""

    def plain(node: Any) -> Any:
        if not isinstance(node, Mapping):
            return node
        return {k: plain(v) for k, v in node.items() if not any(word in k for word in _OF_TRAINING)}

    model = plain(cfg.MODEL)
    model["RESNETS"]["DEPTH"] = cfg.MODEL.RESNETS.DEPTH >= 50
    return json.dumps([model, cfg.INPUT.FORMAT, cfg.TEST.DETECTIONS_PER_IMAGE], sort_keys=True, default=str)


def _lazy_verdict(file: Path, done: dict[str, Verdict]) -> Verdict:
    """The same of a lazy configuration; models that print alike are converted once."""
    config = importlib.import_module("detectron2.config")
    try:
        lazy = config.LazyConfig.load(str(file))
        make_small(lazy.model)
        model = config.instantiate(lazy.model)
        key = f"{model} {getattr(model, 'input_format', None)}"
        if key not in done:
            done[key] = _converted(config_of_lazy(lazy, model), model.cpu().eval())
        return done[key]
    except Unsupported as error:
        return Verdict("refused", " ".join(str(error).split()))
    except Exception as error:  # whatever a configuration's code raises
        return Verdict("breaks", " ".join(f"{type(error).__name__}: {error}".split()))


def make_small(model: Any) -> None:
    """Changes the description of a model: a mapping of parts, each a mapping."""
    for path in NARROW:
        part = _part(model, path)
        if part is not None and part.get("conv_dims") is not None:
            dims = part["conv_dims"]
            part["conv_dims"] = CHANNELS if isinstance(dims, int) else [CHANNELS] * len(dims)
    for path, counts in COUNTS.items():
        part = _part(model, path)
        for name, count in counts.items():
            if part is not None and (name in part or name == "test_topk_per_image"):
                part[name] = count


def _part(model: Any, path: str) -> Any:
    """A part of a description; None where it has no such part, or several in its place."""
    for name in path.split(".") if path else ():
        model = model.get(name) if isinstance(model, Mapping) else None
    return model if isinstance(model, Mapping) else None


def spread(model: Any, image: torch.Tensor) -> None:
    """Scales the last layers of a model, so that their outputs for a picture spread as SPREADS says."""

    def scale(layer: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        handles.pop(layer).remove()
        factor = SPREADS[names[layer]] / output.std()
        for value in layer.parameters():
            value.mul_(factor)
        return output * factor

    names = {layer: path.rpartition(".")[2] for path, layer in model.named_modules()}
    handles = {layer: layer.register_forward_hook(scale) for layer, name in names.items() if name in SPREADS}
    with torch.no_grad():
        model([{"image": image}])
    for handle in handles.values():  # of layers that were not reached
        handle.remove()


def _converted(cfg: Any, model: Any = None) -> Verdict:
    """The verdict on a live model, or on that of a configuration; its weights are drawn."""
    with torch.random.fork_rng(), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        live, model = model is not None, model or build_model(cfg)
        draw_weights(model, GAINS)
        if live:  # whose layers GAINS knows too little of
            spread(model, torch.from_numpy(_picture(len(cfg.MODEL.PIXEL_MEAN))))
        tracer = Caffe2Tracer(cfg, model)
        tracer.export_caffe2().save_protobuf(folder)
        report = verify(tracer, folder, _picture(len(cfg.MODEL.PIXEL_MEAN)), threads=1)
    if not report.agrees:
        return Verdict("disagrees", "; ".join(f"{row.output}: {row.fault}" for row in report.rows if row.fault))
    if report.detections == 0:
        return Verdict("breaks", "nothing was detected, so nothing was compared")
    return Verdict("agrees", _differences(report))


def _picture(channels: int) -> np.ndarray[Any, Any]:
    """(C, H, W) float32 of SIZE, whole numbers from 0 to 255, smooth enough that objects have edges."""
    coarse = np.random.default_rng(0).random((channels, SIZE[0] // 8, SIZE[1] // 8), np.float32) * 255
    fine = torch.nn.functional.interpolate(torch.from_numpy(coarse)[None], size=SIZE, mode="bilinear")
    return fine[0].round().numpy()


def _differences(report: Report) -> str:
    """As "bbox_nms 1.2e-05, score_nms 6e-08"; the largest one of the outputs of all levels."""
    largest: dict[str, float] = {}
    for row in report.rows:
        kind = row.output.rstrip("0123456789").rstrip("_")
        largest[kind] = max(largest.get(kind, 0.0), row.difference)
    return ", ".join(f"{kind} {value:.1e}" for kind, value in largest.items())


HEAD = """\
# Which configurations convert

Written by `{command}`; do not edit.

Each model is built from one of the {count} YAML files of Detectron2's `configs`{commit}, with few channels, one block
per stage and random weights, converted, and run in the C++ runtime on a picture of {width} x {height} pixels. The last
column has the largest differences from PyTorch: boxes in pixels, scores and probabilities from 0 to 1, others in the
unit of the map; or why the configuration is refused.

{summary}

| Configuration | | |
|---|---|---|
{table}
{projects}## Lazy configurations

{lazy}"""
LAZY_HEAD = """\
Configurations in Python are read by Detectron2, which builds their models (`d2deploy convert --detectron2`). So were
these {count}, with their own backbones, narrower heads and fewer boxes; all else is as above.

{summary}

| Configuration | | |
|---|---|---|
{table}"""
NO_LAZY = """\
Configurations in Python are read by Detectron2 alone: where it is installed, `d2deploy convert --detectron2` has it
build their models, and `scripts/census.py --lazy` looks at them.
"""


PROJECT = """\
## {name}

From the {count} YAML files of Detectron2's `projects/{name}/configs`.

{summary}

| Configuration | | |
|---|---|---|
{table}
"""


def page(
    verdicts: dict[str, Verdict],
    commit: str,
    lazy: dict[str, Verdict],
    projects: Mapping[str, dict[str, Verdict]] | None = None,
) -> str:
    """The page of what was found; of projects of Detectron2 by their names."""
    projects = projects or {}
    words = [
        "scripts/in_venv scripts/census.py detectron2/configs",
        *(["--lazy"] if lazy else []),
        *(f"--project detectron2/projects/{name}/configs" for name in projects),
        *([f"--commit {commit}"] if commit else []),
        "--output docs/coverage.md",
    ]
    return HEAD.format(
        command=" ".join(words),
        count=len(verdicts),
        commit=f" (commit {commit[:7]})" if commit else "",
        width=SIZE[1],
        height=SIZE[0],
        summary=_summary(verdicts),
        table=_table(verdicts),
        projects="".join(
            PROJECT.format(name=name, count=len(own), summary=_summary(own), table=_table(own))
            for name, own in projects.items()
        ),
        lazy=LAZY_HEAD.format(count=len(lazy), summary=_summary(lazy), table=_table(lazy)) if lazy else NO_LAZY,
    )


def _summary(verdicts: dict[str, Verdict]) -> str:
    counts = Counter(verdict.kind for verdict in verdicts.values())
    told = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    return textwrap.fill(f"Verdicts: {told}.", 120)


def _table(verdicts: dict[str, Verdict]) -> str:
    return "".join(f"| `{name}` | {v.kind} | {v.text.replace('|', '/')} |\n" for name, v in verdicts.items())


def _files(folder: Path, only: str) -> list[Path]:
    return sorted(file for file in folder.rglob("*.yaml") if only in str(file))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="Detectron2's folder `configs`")
    parser.add_argument("--lazy", action="store_true", help="configurations in Python, too; needs Detectron2")
    parser.add_argument(
        "--project",
        metavar="FOLDER",
        type=Path,
        action="append",
        default=[],
        help="the folder `configs` of one of Detectron2's projects: a section of its own",
    )
    parser.add_argument("--commit", default="", help="of Detectron2, for the page")
    parser.add_argument("--only", metavar="TEXT", default="", help="files whose path has it")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write the page there")
    args = parser.parse_args()
    folders = {folder: _files(folder, args.only) for folder in (args.folder, *args.project)}
    if empty := next((folder for folder, files in folders.items() if not files and not args.only), None):
        print(f"error: {empty}: no YAML file", file=sys.stderr)
        return 2
    lazy = sorted(
        file for pattern in LAZY for file in args.folder.glob(pattern) if args.lazy and args.only in str(file)
    )
    if not any(folders.values()) and not lazy:
        print(f"error: {args.folder}: no YAML file with {args.only!r}", file=sys.stderr)
        return 2
    if args.lazy and not importlib.util.find_spec("detectron2"):
        print("error: --lazy: needs Detectron2, which is not installed; leave it out", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    for depth in resnet.BLOCKS:  # all blocks of a stage are alike, and each takes time to trace
        resnet.BLOCKS[depth] = (1, 1, 1, 1)
    found = {folder: census(folder, files) for folder, files in folders.items()}
    of_lazy = census(args.folder, lazy, _lazy_verdict)
    if args.output:
        projects = {folder.resolve().parent.name: found[folder] for folder in args.project}
        args.output.write_text(page(found[args.folder], args.commit, of_lazy, projects), encoding="utf-8")
    every = [verdict for own in (*found.values(), of_lazy) for verdict in own.values()]
    return int(any(verdict.kind in ("disagrees", "breaks") for verdict in every))


if __name__ == "__main__":
    sys.exit(main())
