"""`d2deploy eval`: how good a model is on a data set, without PyTorch."""

from __future__ import annotations

import argparse
from pathlib import Path

from d2deploy.cli.class_counts import class_counts
from d2deploy.cli.shared import (
    Commands,
    add_command,
    add_model,
    add_picture_rule,
    add_runtime,
    load_predictor,
    needs,
    shown_warnings,
)
from d2deploy.errors import InvalidArgument

DESCRIPTION = """\
Evaluates a model on a data set in COCO's format, or in its panoptic one, or on label maps: average precision of boxes,
masks and keypoints, panoptic quality, mean IoU and accuracy of semantic maps, in percent. Annotations are checked
before anything is predicted; what is put right in them, and how the model's classes differ, is shown as warnings.

Needs the packages of d2deploy[eval].
"""
EXAMPLES = """\
  %(prog)s model --dataset-json annotations/instances_val2017.json --image-root val2017
  %(prog)s model --dataset-json val.json --image-root val --tasks bbox segm --json ap.json
  %(prog)s model --dataset-json annotations/panoptic_val2017.json --image-root val2017
  %(prog)s model --sem-seg-root annotations_detectron2/validation --image-root images/validation"""


def add_to(commands: Commands) -> None:
    parser = add_command(commands, "eval", "measure AP and panoptic quality on a data set", DESCRIPTION, EXAMPLES)
    add_model(parser)
    add = parser.add_argument
    add(
        "--dataset-json",
        metavar="FILE",
        type=Path,
        help="annotations in COCO's format, or in its panoptic one with the PNG files\nin a folder of the same name "
        "beside it",
    )
    add(
        "--sem-seg-root",
        metavar="DIR",
        type=Path,
        help="the folder of label maps, for semantic and panoptic models: for each image a PNG\nfile of its name, "
        "whose pixels are classes; alone, or for the images of\n--dataset-json",
    )
    add(
        "--ignore-label",
        metavar="N",
        type=int,
        default=255,
        help="what pixels of label maps have that do not count (255)",
    )
    add("--image-root", metavar="DIR", type=Path, required=True, help="the folder of the images")
    add(
        "--tasks",
        metavar="TASK",
        nargs="+",
        help="some of bbox, segm, keypoints, panoptic, sem_seg (default: all that the model and\nthe annotations have)",
    )
    add(
        "--proposals",
        metavar="FILE",
        type=Path,
        help="for a model that finds no proposals itself: those of each image, a pickle as\nDetectron2 has them",
    )
    add(
        "--proposal-topk",
        metavar="N",
        type=int,
        default=1000,
        help="so many proposals of an image are given, the best (1000)",
    )
    add(
        "--keypoint-sigmas",
        metavar="S",
        nargs="+",
        type=float,
        help="how exactly each keypoint is labelled (default: what the model's file says,\nor COCO's)",
    )
    add(
        "--json",
        metavar="OUT",
        type=Path,
        help="write the metrics to this file: task -> metric -> percent, null where there is\nno number",
    )
    add_picture_rule(parser)
    add_runtime(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    with needs("evaluating", "eval"):
        from d2deploy.evaluation import (
            SemanticDataset,
            evaluate,
            format_table,
            load_dataset,
            missing_numbers,
            write_metrics,
        )
        from d2deploy.evaluation.proposals import ProposalFile, with_proposals
        from d2deploy.images import ImageReader
    if args.json and (args.json.is_dir() or not args.json.parent.is_dir()):
        raise InvalidArgument(f"--json {args.json}: cannot be written, wanted a file in a folder that is there")
    with shown_warnings():
        model = load_predictor(args).model
        if model.detector.takes_proposals != bool(args.proposals):
            wanted = "finds no proposals itself: give --proposals" if not args.proposals else "takes no --proposals"
            raise InvalidArgument(f"{args.model}: the model {wanted}")
        proposals = ProposalFile(args.proposals, args.proposal_topk) if args.proposals else None
        given = load_dataset(args.dataset_json, args.image_root) if args.dataset_json else None
        maps = None
        if args.sem_seg_root:
            images = given.images if given else None
            maps = SemanticDataset(args.sem_seg_root, args.image_root, images, ignore_label=args.ignore_label)
        if (dataset := given or maps) is None:
            raise InvalidArgument("nothing to compare with: give --dataset-json FILE, --sem-seg-root DIR, or both")
        things, stuff = class_counts(args.model)
        rule = model.detector.input
        metrics = evaluate(
            dataset,
            with_proposals(lambda inputs: model([inputs])[0], proposals),
            ImageReader(rule["min_size"], rule["max_size"], rule["input_format"]),
            semantic=maps,
            tasks=[task for tasks in args.tasks for task in tasks.split(",")] if args.tasks else None,
            classes=model.class_names or things,
            stuff_classes=model.stuff_class_names or stuff,
            keypoint_sigmas=args.keypoint_sigmas or model.info.get("keypoint_oks_sigmas", ()),
            progress=(args.dataset_json or args.sem_seg_root).stem,
        )
    print("\n".join([format_table({"percent": metrics}), *missing_numbers(metrics)]))
    if args.json:
        write_metrics(args.json, metrics)
    return 0
