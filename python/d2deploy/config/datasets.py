"""The names of the classes of the data sets that the zoo was trained on.

Sources: the panoptic categories of COCO, Cityscapes, Pascal VOC 2007. The names of LVIS (1203 of them) are not kept.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from d2deploy.config.node import Config


class ClassNames(NamedTuple):
    """Names by class number; `stuff` is what the pixels of `sem_seg` count. Empty where they are not known."""

    things: tuple[str, ...] = ()
    stuff: tuple[str, ...] = ()


def _names(text: str) -> tuple[str, ...]:
    return tuple(" ".join(name.split()) for name in text.split(","))


_COCO_THINGS = _names(
    """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
    parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack,
    umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball
    glove, skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana,
    apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed,
    dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink,
    refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush"""
)
# Class 0 stands for all things together; words that only tell merged categories apart are left out, as in Detectron2.
_COCO_STUFF = _names(
    """things, banner, blanket, bridge, cardboard, counter, curtain, door-stuff, floor-wood, flower, fruit, gravel,
    house, light, mirror-stuff, net, pillow, platform, playingfield, railroad, river, road, roof, sand, sea,
    shelf, snow, stairs, tent, towel, wall-brick, wall-stone, wall-tile, wall-wood, water, window-blind,
    window, tree, fence, ceiling, sky, cabinet, table, floor, pavement, mountain, grass, dirt, paper, food,
    building, rock, wall, rug"""
)
_CITYSCAPES_THINGS = _names("person, rider, car, truck, bus, train, motorcycle, bicycle")
_VOC_THINGS = _names(
    """aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse, motorbike, person,
    pottedplant, sheep, sofa, train, tvmonitor"""
)

# Patterns of names in DATASETS.TEST.
_DATASETS = (
    (r"coco_201\d_.*_panoptic_separated", ClassNames(_COCO_THINGS, _COCO_STUFF)),
    (r"coco_201\d_.*_panoptic_stuffonly", ClassNames((), _COCO_STUFF)),
    (r"coco_201\d_(?!.*panoptic).*", ClassNames(_COCO_THINGS)),
    (r"keypoints_coco_201\d_.*", ClassNames(("person",))),
    (r"cityscapes_fine_instance_seg_.*", ClassNames(_CITYSCAPES_THINGS)),
    (r"voc_20\d\d_.*", ClassNames(_VOC_THINGS)),
)


def class_names(cfg: Config) -> ClassNames:
    """The names of the classes that a model predicts, from the first data set in DATASETS.TEST.

    They are left empty where the data set is not one of the zoo's, or where the model has another number of classes
    than it: it was then trained on something else.
    """
    datasets = cfg.DATASETS.TEST
    known = next((names for pattern, names in _DATASETS if datasets and re.fullmatch(pattern, str(datasets[0]))), None)
    if known is None:
        return ClassNames()
    things = number_of_things(cfg)
    tells_stuff = cfg.MODEL.META_ARCHITECTURE == "SemanticSegmentor" or (known.things and things)
    return ClassNames(
        known.things if len(known.things) == things else (),
        known.stuff if tells_stuff and len(known.stuff) == cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES else (),
    )


def number_of_things(cfg: Config) -> int:
    """How many classes of objects a model tells apart; 0 where it gives proposals or classes of pixels alone."""
    model = cfg.MODEL
    if model.META_ARCHITECTURE in ("ProposalNetwork", "SemanticSegmentor"):
        return 0
    dense = model.META_ARCHITECTURE in ("RetinaNet", "FCOS")
    return int(model.RETINANET.NUM_CLASSES if dense else model.ROI_HEADS.NUM_CLASSES)
