"""Detectron2's model zoo: its configurations as sums of a few parts, and the addresses of their trained weights.

Source of the facts: detectron2/configs, detectron2/model_zoo/model_zoo.py, and detectron2/projects/PointRend.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from d2deploy.config.zoo_parts import PARTS
from d2deploy.errors import InvalidArgument, Unsupported

# Per folder: name, parts, and the trained weights below the folder of that name ("-": none were published).
_TABLE = """
COCO-Detection
  fast_rcnn_R_50_FPN_1x             fpn,r50,fast             137635226/model_final_e5f7ce
  faster_rcnn_R_50_C4_1x            c4,r50                   137257644/model_final_721ade
  faster_rcnn_R_50_C4_3x            c4,r50,3x                137849393/model_final_f97cb7
  faster_rcnn_R_101_C4_3x           c4,r101,3x               138204752/model_final_298dad
  faster_rcnn_R_50_DC5_1x           dc5,r50                  137847829/model_final_51d356
  faster_rcnn_R_50_DC5_3x           dc5,r50,3x               137849425/model_final_68d202
  faster_rcnn_R_101_DC5_3x          dc5,r101,3x              138204841/model_final_3e0943
  faster_rcnn_R_50_FPN_1x           fpn,r50                  137257794/model_final_b275ba
  faster_rcnn_R_50_FPN_3x           fpn,r50,3x               137849458/model_final_280758
  faster_rcnn_R_101_FPN_3x          fpn,r101,3x              137851257/model_final_f6e8b1
  faster_rcnn_X_101_32x8d_FPN_3x    fpn,x101,3x              139173657/model_final_68b088
  fcos_R_50_FPN_1x                  retinanet,fcos,r50       -
  retinanet_R_50_FPN_1x             retinanet,r50            190397773/model_final_bfca0b
  retinanet_R_50_FPN_3x             retinanet,r50,3x         190397829/model_final_5bd44e
  retinanet_R_101_FPN_3x            retinanet,r101,3x        190397697/model_final_971ab9
  rpn_R_50_C4_1x                    c4,r50,rpn,many-proposals 137258005/model_final_450694
  rpn_R_50_FPN_1x                   fpn,r50,rpn              137258492/model_final_02ce48
COCO-InstanceSegmentation
  mask_rcnn_R_50_C4_1x              c4,r50,mask              137259246/model_final_9243eb
  mask_rcnn_R_50_C4_3x              c4,r50,mask,3x           137849525/model_final_4ce675
  mask_rcnn_R_101_C4_3x             c4,r101,mask,3x          138363239/model_final_a2914c
  mask_rcnn_R_50_DC5_1x             dc5,r50,mask             137260150/model_final_4f86c3
  mask_rcnn_R_50_DC5_3x             dc5,r50,mask,3x          137849551/model_final_84107b
  mask_rcnn_R_101_DC5_3x            dc5,r101,mask,3x         138363294/model_final_0464b7
  mask_rcnn_R_50_FPN_1x             fpn,r50,mask             137260431/model_final_a54504
  mask_rcnn_R_50_FPN_1x_giou        fpn,r50,mask,giou        -
  mask_rcnn_R_50_FPN_3x             fpn,r50,mask,3x          137849600/model_final_f10217
  mask_rcnn_R_101_FPN_3x            fpn,r101,mask,3x         138205316/model_final_a3ec72
  mask_rcnn_X_101_32x8d_FPN_3x      fpn,x101,mask,3x         139653917/model_final_2d9806
COCO-Keypoints
  keypoint_rcnn_R_50_FPN_1x         fpn,keypoint,r50         137261548/model_final_04e291
  keypoint_rcnn_R_50_FPN_3x         fpn,keypoint,r50,3x      137849621/model_final_a6e10b
  keypoint_rcnn_R_101_FPN_3x        fpn,keypoint,r101,3x     138363331/model_final_997cc7
  keypoint_rcnn_X_101_32x8d_FPN_3x  fpn,keypoint,x101,3x     139686956/model_final_5ad38f
COCO-PanopticSegmentation
  panoptic_fpn_R_50_1x              fpn,panoptic,r50         139514544/model_final_dbfeb4
  panoptic_fpn_R_50_3x              fpn,panoptic,r50,3x      139514569/model_final_c10459
  panoptic_fpn_R_101_3x             fpn,panoptic,r101,3x     139514519/model_final_cafdb1
LVISv0.5-InstanceSegmentation
  mask_rcnn_R_50_FPN_1x             fpn,r50,lvis,v0.5        144219072/model_final_571f7c
  mask_rcnn_R_101_FPN_1x            fpn,r101,lvis,v0.5       144219035/model_final_824ab5
  mask_rcnn_X_101_32x8d_FPN_1x      fpn,x101,lvis,v0.5       144219108/model_final_5e3439
LVISv1-InstanceSegmentation
  mask_rcnn_R_50_FPN_1x             fpn,r50,lvis,v1          -
  mask_rcnn_R_101_FPN_1x            fpn,r101,lvis,v1         -
  mask_rcnn_X_101_32x8d_FPN_1x      fpn,x101,lvis,v1         -
Cityscapes
  mask_rcnn_R_50_FPN                fpn,mask,cityscapes      142423278/model_final_af9cf5
PascalVOC-Detection
  faster_rcnn_R_50_C4               c4,r50,voc               142202221/model_final_b1acc2
  faster_rcnn_R_50_FPN              fpn,r50,voc              -
Misc
  cascade_mask_rcnn_R_50_FPN_1x     fpn,r50,mask,cascade     138602847/model_final_e9d89b
  cascade_mask_rcnn_R_50_FPN_3x     fpn,r50,mask,cascade,3x  144998488/model_final_480dd8
  cascade_mask_rcnn_X_152_32x8d_FPN_IN5k_gn_dconv fpn,mask,x152,4conv1fc,cascade,dconv 18131413/model_0039999_e76410
  mask_rcnn_R_50_FPN_1x_cls_agnostic fpn,r50,mask,agnostic   -
  mask_rcnn_R_50_FPN_1x_dconv_c3-c5 fpn,r50,mask,dconv       138602867/model_final_65c703
  mask_rcnn_R_50_FPN_3x_dconv_c3-c5 fpn,r50,mask,dconv,3x    144998336/model_final_821d0b
  mask_rcnn_R_50_FPN_3x_gn          fpn,mask,gn,4conv1fc,3x  138602888/model_final_dc5d9e
  mask_rcnn_R_50_FPN_3x_syncbn      fpn,r50,mask,syncbn,4conv1fc,3x    169527823/model_final_3b3c51
  semantic_R_50_FPN_1x              fpn,r50,semantic         -
  panoptic_fpn_R_101_dconv_cascade_gn_3x fpn,panoptic,r101-gn,cascade,dconv 139797668/model_final_be35db
  scratch_mask_rcnn_R_50_FPN_3x_gn  fpn,mask,gn,4conv1fc,3x,scratch    138602908/model_final_01ca85
  scratch_mask_rcnn_R_50_FPN_9x_gn  fpn,mask,gn,4conv1fc,scratch,9x    183808979/model_final_da7b4c
  scratch_mask_rcnn_R_50_FPN_9x_syncbn fpn,mask,syncbn,4conv1fc,scratch,9x  184226666/model_final_5ce33e
Detectron1-Comparisons
  faster_rcnn_R_50_FPN_noaug_1x     fpn,r50,detectron1,noaug                     137781054/model_final_7ab50c
  mask_rcnn_R_50_FPN_noaug_1x       fpn,r50,detectron1,detectron1-mask,noaug     137781281/model_final_62ca52
  keypoint_rcnn_R_50_FPN_1x         fpn,keypoint,r50,detectron1,detectron1-keypoint  137781195/model_final_cce136
PointRend/InstanceSegmentation
  pointrend_rcnn_R_50_FPN_1x_coco   fpn,pointrend,r50        164254221/model_final_736f5a
  pointrend_rcnn_R_50_FPN_3x_coco   fpn,pointrend,r50,3x     164955410/model_final_edd263
  pointrend_rcnn_R_101_FPN_3x_coco  fpn,pointrend,r101,3x    28119983/model_final_3f4d2a
  pointrend_rcnn_X_101_32x8d_FPN_3x_coco fpn,pointrend,x101,3x 28119989/model_final_ba17b9
  pointrend_rcnn_R_50_FPN_1x_cityscapes fpn,pointrend,r50,pointrend-cityscapes 164255101/model_final_115bfb
  implicit_pointrend_R_50_FPN_1x_coco fpn,pointrend-implicit,r50 -
  implicit_pointrend_R_50_FPN_3x_coco fpn,pointrend-implicit,r50,3x -
PointRend/SemanticSegmentation
  pointrend_semantic_R_101_FPN_1x_cityscapes fpn,r101,pointrend-stuff,pointrend-streets 202576688/model_final_cf6ac1
"""

# Files that others name as their _BASE_.
_BASES = {
    "Base-RCNN-C4": ["c4"],
    "Base-RCNN-DilatedC5": ["dc5"],
    "Base-RCNN-FPN": ["fpn"],
    "Base-RetinaNet": ["retinanet"],
    "Base-Keypoint-RCNN-FPN": ["fpn", "keypoint"],
    "Base-Panoptic-FPN": ["fpn", "panoptic"],
    "Base-PointRend-RCNN-FPN": ["fpn", "pointrend"],
    "Base-Implicit-PointRend": ["fpn", "pointrend-implicit"],
    "Base-PointRend-Semantic-FPN": ["fpn", "pointrend-stuff"],
}

LAZY = (
    "configurations in Python (lazy ones) are read by Detectron2 alone; where it is installed, `--detectron2` of the "
    "converter has it build their models"
)
_UNSUPPORTED = {
    "Misc/mmdet_mask_rcnn_R_50_FPN_1x": LAZY,
    "Misc/torchvision_imagenet_R_50": LAZY,
    "COCO-InstanceSegmentation/mask_rcnn_regnetx_4gf_dds_fpn_1x": LAZY,
    "COCO-InstanceSegmentation/mask_rcnn_regnety_4gf_dds_fpn_1x": LAZY,
}


def _rows() -> dict[str, tuple[list[str], str]]:
    """Name -> parts, weights."""
    rows: dict[str, tuple[list[str], str]] = {}
    folder = ""
    for line in _TABLE.strip().splitlines():
        if line.startswith(" "):
            name, parts, weights = line.split()
            rows[f"{folder}/{name}"] = (parts.split(","), weights)
        else:
            folder = line
    return rows


def zoo_configs() -> list[str]:
    """The names of the zoo's configurations that can be exported, as `merge_from_file` takes them."""
    return sorted(f"{name}.yaml" for name in _rows())


def zoo_weights(name: str) -> str:
    """The address (detectron2://...) of the weights that were trained with a configuration of the zoo.

    Raises:
        InvalidArgument: No such name, or its weights were not published.
        Unsupported: The configuration cannot be exported.
    """
    plain = _plain(name)
    _check_supported(plain)
    rows = _rows()
    if plain not in rows:
        raise InvalidArgument(f"the zoo has no configuration {name}{suggestion(name)}")
    weights = rows[plain][1]
    if weights == "-":
        raise InvalidArgument(f"no trained weights of {name} were published; set MODEL.WEIGHTS to a file of your own")
    return f"detectron2://{plain}/{weights}.pkl"


def find_config(name: str) -> dict[str, Any] | None:
    """What a configuration of the zoo says, as nested dicts; None where the zoo has no such name.

    Raises:
        Unsupported: The zoo has it, but it cannot be exported.
    """
    plain = _plain(name)
    _check_supported(plain)
    row = _rows().get(plain)
    return _sum(row[0]) if row else None


def find_base(path: Path) -> dict[str, Any] | None:
    """What a file of the zoo says, wherever it was said to be; None where the path does not end in one of its names."""
    plain = _plain("/".join(path.parts[-2:]))
    base = _BASES.get(plain.rpartition("/")[2])
    return _sum(base) if base else find_config(plain)


def suggestion(name: str | Path) -> str:
    """Names of the zoo that may have been meant, as the end of a message; empty where none is near."""
    plain, names = _plain(str(name)), list(_rows())
    near = [known for known in names if known.rpartition("/")[2] == plain.rpartition("/")[2]]
    near = near or difflib.get_close_matches(plain, names, n=3, cutoff=0.8)
    return f", and no configuration of the zoo; did you mean {' or '.join(near)}?" if near else ""


def _plain(name: str) -> str:
    return name[: -len(".yaml")] if name.endswith(".yaml") else name


def _check_supported(plain: str) -> None:
    reason = LAZY if plain.startswith("new_baselines/") else _UNSUPPORTED.get(plain)
    if reason:
        raise Unsupported(f"{plain} cannot be exported: {reason}")


def _sum(parts: list[str]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for part in parts:
        for name, value in PARTS[part].items():
            *sections, last = name.split(".")
            node = config
            for section in sections:
                node = node.setdefault(section, {})
            node[last] = value
    return config
