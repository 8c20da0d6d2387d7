"""`--run-eval` of the converter: the model in PyTorch and its files on a data set."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from d2deploy.cli.convert_checks import image_reader
from d2deploy.cli.shared import shown_warnings
from d2deploy.errors import InvalidArgument

if TYPE_CHECKING:
    from torch import nn

    from d2deploy.evaluation import CocoDataset, Metrics, PanopticDataset, Predictor

__all__ = ["DataSet", "datasets_of", "evaluate_both"]

# The objects or the segments of a data set, and where it has both, the segments too.
DataSet = tuple["CocoDataset | PanopticDataset", "PanopticDataset | None"]


def datasets_of(args: argparse.Namespace, cfg: Any) -> dict[str, DataSet]:
    """The data sets that the command line or the configuration names."""
    from d2deploy.evaluation import load_dataset, load_datasets, load_panoptic

    with shown_warnings():
        if args.dataset_json:
            return {args.dataset_json.stem: (load_dataset(args.dataset_json, args.image_root), None)}
        panoptic = cfg.MODEL.META_ARCHITECTURE == "PanopticFPN"
        datasets = load_datasets(cfg.DATASETS.TEST)
        return {name: (dataset, load_panoptic(name) if panoptic else None) for name, dataset in datasets.items()}


def evaluate_both(args: argparse.Namespace, cfg: Any, model: nn.Module, datasets: dict[str, DataSet]) -> None:
    """Evaluates the model and its files, and prints a table for each data set."""
    from d2deploy.evaluation import format_table
    from d2deploy.evaluation.eager import ModelPredictor
    from d2deploy.evaluation.proposals import with_proposals
    from d2deploy.runtime import Caffe2Model

    files = Caffe2Model.load_protobuf(args.output, threads=args.threads, order="score")
    predictors: dict[str, Predictor] = {
        "PyTorch": ModelPredictor(model),
        "Caffe2 files": lambda inputs: files([inputs])[0],
    }
    for (name, dataset), proposals in zip(datasets.items(), _proposal_files(cfg, len(datasets)), strict=True):
        with shown_warnings():
            answers = {
                who: _metrics(dataset, with_proposals(predictor, proposals), args, cfg, who)
                for who, predictor in predictors.items()
            }
        print(f"\n{name}: in percent")
        print(format_table(answers))


def _proposal_files(cfg: Any, count: int) -> list[Any]:
    """The file of each data set, where the model is given proposals; None where it is not."""
    from d2deploy.checkpoint.addresses import local_file
    from d2deploy.evaluation.proposals import ProposalFile

    if not cfg.MODEL.LOAD_PROPOSALS:
        return [None] * count
    files = cfg.DATASETS.PROPOSAL_FILES_TEST
    if len(files) != count:
        raise InvalidArgument(
            f"DATASETS.PROPOSAL_FILES_TEST has {len(files)} files for {count} data sets; MODEL.LOAD_PROPOSALS wants "
            "one of each"
        )
    return [ProposalFile(local_file(file), cfg.DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TEST) for file in files]


def _metrics(dataset: DataSet, predictor: Any, args: argparse.Namespace, cfg: Any, who: str) -> Metrics:
    from d2deploy.config import class_names
    from d2deploy.evaluation import evaluate

    names = class_names(cfg)
    heads = cfg.MODEL.RETINANET if cfg.MODEL.META_ARCHITECTURE in ("RetinaNet", "FCOS") else cfg.MODEL.ROI_HEADS
    return evaluate(
        dataset[0],
        predictor,
        image_reader(cfg),
        panoptic=dataset[1],
        # The user's own parts of a Detectron2 model may have other numbers of classes than the configuration.
        classes=names.things or (None if args.detectron2 else heads.NUM_CLASSES),
        stuff_classes=names.stuff or (None if args.detectron2 else cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES),
        keypoint_sigmas=cfg.TEST.KEYPOINT_OKS_SIGMAS,
        progress=who,
    )
