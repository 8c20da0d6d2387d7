"""Detectron2's model zoo: its configurations as sums of a few parts, and the addresses of their trained weights.

Source of the facts: detectron2/configs, detectron2/model_zoo/model_zoo.py, and detectron2/projects/PointRend.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from d2deploy.errors import InvalidArgument, Unsupported

_IMAGENET = "detectron2://ImageNetPretrained/"
_PROPOSALS = "detectron2://COCO-Detection/rpn_R_50_FPN_1x/137258492/"
_LEVELS = ["p2", "p3", "p4", "p5", "p6"]
_STAGES = ["res2", "res3", "res4", "res5"]
_IMAGENET_STD = [57.375, 57.120, 58.395]

_COCO: dict[str, Any] = {
    "DATASETS.TRAIN": ("coco_2017_train",),
    "DATASETS.TEST": ("coco_2017_val",),
    "SOLVER.BASE_LR": 0.02,
    "SOLVER.STEPS": (60000, 80000),
    "SOLVER.MAX_ITER": 90000,
    "INPUT.MIN_SIZE_TRAIN": (640, 672, 704, 736, 768, 800),
}
_CITYSCAPES: dict[str, Any] = {
    "MODEL.ROI_HEADS.NUM_CLASSES": 8,
    "INPUT.MIN_SIZE_TRAIN": tuple(range(800, 1025, 32)),
    "INPUT.MIN_SIZE_TEST": 1024,
    "INPUT.MAX_SIZE_TRAIN": 2048,
    "INPUT.MAX_SIZE_TEST": 2048,
    "DATASETS.TRAIN": ("cityscapes_fine_instance_seg_train",),
    "DATASETS.TEST": ("cityscapes_fine_instance_seg_val",),
    "SOLVER.BASE_LR": 0.01,
    "SOLVER.STEPS": (18000,),
    "SOLVER.MAX_ITER": 24000,
    "SOLVER.IMS_PER_BATCH": 8,
}
_TWO_FC_AND_FOUR_CONV: dict[str, Any] = {
    "MODEL.ROI_HEADS.NAME": "StandardROIHeads",
    "MODEL.ROI_BOX_HEAD.NAME": "FastRCNNConvFCHead",
    "MODEL.ROI_BOX_HEAD.NUM_FC": 2,
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_MASK_HEAD.NUM_CONV": 4,
}
# Full names of keys and the values that differ from the defaults; later parts of a sum win.
_PARTS: dict[str, dict[str, Any]] = {
    "c4": _COCO,
    "dc5": {
        **_COCO,
        **_TWO_FC_AND_FOUR_CONV,
        "MODEL.RESNETS.OUT_FEATURES": ["res5"],
        "MODEL.RESNETS.RES5_DILATION": 2,
        "MODEL.RPN.IN_FEATURES": ["res5"],
        "MODEL.ROI_HEADS.IN_FEATURES": ["res5"],
    },
    "fpn": {
        **_COCO,
        **_TWO_FC_AND_FOUR_CONV,
        "MODEL.BACKBONE.NAME": "build_resnet_fpn_backbone",
        "MODEL.RESNETS.OUT_FEATURES": _STAGES,
        "MODEL.FPN.IN_FEATURES": _STAGES,
        "MODEL.ANCHOR_GENERATOR.SIZES": [[32], [64], [128], [256], [512]],
        "MODEL.RPN.IN_FEATURES": _LEVELS,
        "MODEL.RPN.PRE_NMS_TOPK_TRAIN": 2000,
        "MODEL.RPN.PRE_NMS_TOPK_TEST": 1000,
        "MODEL.RPN.POST_NMS_TOPK_TRAIN": 1000,
        "MODEL.ROI_HEADS.IN_FEATURES": _LEVELS[:4],
    },
    "retinanet": {
        **_COCO,
        "SOLVER.BASE_LR": 0.01,
        "MODEL.META_ARCHITECTURE": "RetinaNet",
        "MODEL.BACKBONE.NAME": "build_retinanet_resnet_fpn_backbone",
        "MODEL.RESNETS.OUT_FEATURES": _STAGES[1:],
        "MODEL.FPN.IN_FEATURES": _STAGES[1:],
        # Three sizes per octave.
        "MODEL.ANCHOR_GENERATOR.SIZES": [[s, s * 2 ** (1.0 / 3), s * 2 ** (2.0 / 3)] for s in (32, 64, 128, 256, 512)],
        "MODEL.RETINANET.SMOOTH_L1_LOSS_BETA": 0.0,
    },
    # A lazy configuration; the head is described by RetinaNet's keys.
    "fcos": {
        "MODEL.META_ARCHITECTURE": "FCOS",
        "MODEL.BACKBONE.NAME": "build_fcos_resnet_fpn_backbone",
        "MODEL.RETINANET.NORM": "GN",
        "MODEL.RETINANET.SCORE_THRESH_TEST": 0.2,
        "MODEL.RETINANET.NMS_THRESH_TEST": 0.6,
    },
    "r50": {"MODEL.WEIGHTS": _IMAGENET + "MSRA/R-50.pkl"},
    "r101": {"MODEL.WEIGHTS": _IMAGENET + "MSRA/R-101.pkl", "MODEL.RESNETS.DEPTH": 101},
    "x101": {
        "MODEL.WEIGHTS": _IMAGENET + "FAIR/X-101-32x8d.pkl",
        "MODEL.PIXEL_STD": _IMAGENET_STD,
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
        "MODEL.RESNETS.NUM_GROUPS": 32,
        "MODEL.RESNETS.WIDTH_PER_GROUP": 8,
        "MODEL.RESNETS.DEPTH": 101,
    },
    "3x": {"SOLVER.STEPS": (210000, 250000), "SOLVER.MAX_ITER": 270000},
    "rpn": {"MODEL.META_ARCHITECTURE": "ProposalNetwork", "MODEL.RPN.POST_NMS_TOPK_TEST": 2000},
    "many-proposals": {"MODEL.RPN.PRE_NMS_TOPK_TEST": 12000},
    "mask": {"MODEL.MASK_ON": True},
    "cascade": {
        "MODEL.ROI_HEADS.NAME": "CascadeROIHeads",
        "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": True,
        "MODEL.RPN.POST_NMS_TOPK_TRAIN": 2000,
    },
    "fast": {
        "MODEL.LOAD_PROPOSALS": True,
        "MODEL.PROPOSAL_GENERATOR.NAME": "PrecomputedProposals",
        "DATASETS.PROPOSAL_FILES_TRAIN": (_PROPOSALS + "coco_2017_train_box_proposals_21bc3a.pkl",),
        "DATASETS.PROPOSAL_FILES_TEST": (_PROPOSALS + "coco_2017_val_box_proposals_ee0dad.pkl",),
        "DATALOADER.NUM_WORKERS": 2,
    },
    "semantic": {
        "MODEL.META_ARCHITECTURE": "SemanticSegmentor",
        "DATASETS.TRAIN": ("coco_2017_train_panoptic_stuffonly",),
        "DATASETS.TEST": ("coco_2017_val_panoptic_stuffonly",),
    },
    "giou": {
        "MODEL.RPN.BBOX_REG_LOSS_TYPE": "giou",
        "MODEL.RPN.BBOX_REG_LOSS_WEIGHT": 2.0,
        "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE": "giou",
        "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_WEIGHT": 10.0,
    },
    "keypoint": {
        "MODEL.KEYPOINT_ON": True,
        "MODEL.ROI_HEADS.NUM_CLASSES": 1,
        "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA": 0.5,
        "MODEL.RPN.POST_NMS_TOPK_TRAIN": 1500,
        "DATASETS.TRAIN": ("keypoints_coco_2017_train",),
        "DATASETS.TEST": ("keypoints_coco_2017_val",),
    },
    "panoptic": {
        "MODEL.META_ARCHITECTURE": "PanopticFPN",
        "MODEL.MASK_ON": True,
        "MODEL.SEM_SEG_HEAD.LOSS_WEIGHT": 0.5,
        "DATASETS.TRAIN": ("coco_2017_train_panoptic_separated",),
        "DATASETS.TEST": ("coco_2017_val_panoptic_separated",),
        "DATALOADER.FILTER_EMPTY_ANNOTATIONS": False,
    },
    "lvis": {
        "MODEL.MASK_ON": True,
        "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.0001,
        "TEST.DETECTIONS_PER_IMAGE": 300,
        "DATALOADER.SAMPLER_TRAIN": "RepeatFactorTrainingSampler",
        "DATALOADER.REPEAT_THRESHOLD": 0.001,
    },
    "v0.5": {
        "MODEL.ROI_HEADS.NUM_CLASSES": 1230,
        "DATASETS.TRAIN": ("lvis_v0.5_train",),
        "DATASETS.TEST": ("lvis_v0.5_val",),
    },
    "v1": {
        "MODEL.ROI_HEADS.NUM_CLASSES": 1203,
        "DATASETS.TRAIN": ("lvis_v1_train",),
        "DATASETS.TEST": ("lvis_v1_val",),
        "SOLVER.STEPS": (120000, 160000),
        "SOLVER.MAX_ITER": 180000,
    },
    "cityscapes": {
        "MODEL.WEIGHTS": "detectron2://COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x/137849600/model_final_f10217.pkl",
        **_CITYSCAPES,
        "TEST.EVAL_PERIOD": 8000,
    },
    "voc": {
        "MODEL.ROI_HEADS.NUM_CLASSES": 20,
        "INPUT.MIN_SIZE_TRAIN": tuple(range(480, 801, 32)),
        "DATASETS.TRAIN": ("voc_2007_trainval", "voc_2012_trainval"),
        "DATASETS.TEST": ("voc_2007_test",),
        "SOLVER.STEPS": (12000, 16000),
        "SOLVER.MAX_ITER": 18000,
        "SOLVER.WARMUP_ITERS": 100,
    },
    "agnostic": {"MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": True, "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK": True},
    "gn": {
        **{f"MODEL.{section}.NORM": "GN" for section in ("RESNETS", "FPN", "ROI_BOX_HEAD", "ROI_MASK_HEAD")},
        "MODEL.WEIGHTS": "catalog://ImageNetPretrained/FAIR/R-50-GN",
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
    },
    "syncbn": {
        **{f"MODEL.{section}.NORM": "SyncBN" for section in ("RESNETS", "FPN", "ROI_BOX_HEAD", "ROI_MASK_HEAD")},
        "TEST.PRECISE_BN.ENABLED": True,
    },
    "dconv": {"MODEL.RESNETS.DEFORM_ON_PER_STAGE": [False, True, True, True]},
    "x152": {
        "MODEL.WEIGHTS": "catalog://ImageNetPretrained/FAIR/X-152-32x8d-IN5k",
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
        "MODEL.RESNETS.NUM_GROUPS": 32,
        "MODEL.RESNETS.WIDTH_PER_GROUP": 8,
        "MODEL.RESNETS.DEPTH": 152,
        "MODEL.ROI_BOX_HEAD.NORM": "GN",
        "MODEL.ROI_MASK_HEAD.NUM_CONV": 8,
        "MODEL.ROI_MASK_HEAD.NORM": "GN",
        "SOLVER.IMS_PER_BATCH": 128,
        "SOLVER.STEPS": (35000, 45000),
        "SOLVER.MAX_ITER": 50000,
        "SOLVER.BASE_LR": 0.16,
        "INPUT.MIN_SIZE_TRAIN": (640, 864),
        "INPUT.MIN_SIZE_TRAIN_SAMPLING": "range",
        "INPUT.MAX_SIZE_TRAIN": 1440,
        "INPUT.CROP.ENABLED": True,
        "TEST.EVAL_PERIOD": 2500,
    },
    "r101-gn": {
        **{f"MODEL.{section}.NORM": "GN" for section in ("RESNETS", "FPN", "ROI_MASK_HEAD")},
        "MODEL.WEIGHTS": "catalog://ImageNetPretrained/FAIR/R-101-GN",
        "MODEL.RESNETS.DEPTH": 101,
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
        "SOLVER.STEPS": (105000, 125000),
        "SOLVER.MAX_ITER": 135000,
        "SOLVER.IMS_PER_BATCH": 32,
        "SOLVER.BASE_LR": 0.04,
    },
    "4conv1fc": {"MODEL.ROI_BOX_HEAD.NUM_CONV": 4, "MODEL.ROI_BOX_HEAD.NUM_FC": 1},
    "scratch": {"MODEL.WEIGHTS": "", "MODEL.BACKBONE.FREEZE_AT": 0},
    "9x": {
        "MODEL.PIXEL_STD": _IMAGENET_STD,
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
        "SOLVER.IMS_PER_BATCH": 64,
        "SOLVER.STEPS": (187500, 197500),
        "SOLVER.MAX_ITER": 202500,
        "SOLVER.BASE_LR": 0.08,
        "TEST.EVAL_PERIOD": 2500,
    },
    # The settings of the predecessor, Detectron: RoIAlign without the half pixel.
    "detectron1": {
        "MODEL.RPN.SMOOTH_L1_BETA": 0.1111,
        "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA": 1.0,
        "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": 2,
        "MODEL.ROI_BOX_HEAD.POOLER_TYPE": "ROIAlign",
    },
    "detectron1-mask": {
        "MODEL.MASK_ON": True,
        "MODEL.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO": 2,
        "MODEL.ROI_MASK_HEAD.POOLER_TYPE": "ROIAlign",
    },
    "detectron1-keypoint": {
        "MODEL.ROI_KEYPOINT_HEAD.POOLER_SAMPLING_RATIO": 2,
        "MODEL.ROI_KEYPOINT_HEAD.POOLER_TYPE": "ROIAlign",
    },
    "noaug": {"INPUT.MIN_SIZE_TRAIN": (800,)},
    # Detectron2's project PointRend.
    "pointrend": {
        "MODEL.MASK_ON": True,
        "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES": True,
        "MODEL.ROI_MASK_HEAD.NAME": "PointRendMaskHead",
        "MODEL.ROI_MASK_HEAD.POOLER_TYPE": "",
        "MODEL.ROI_MASK_HEAD.POINT_HEAD_ON": True,
        "INPUT.MASK_FORMAT": "bitmask",
    },
    "pointrend-implicit": {
        "MODEL.MASK_ON": True,
        "MODEL.ROI_MASK_HEAD.NAME": "ImplicitPointRendMaskHead",
        "MODEL.ROI_MASK_HEAD.POOLER_TYPE": "",
        "MODEL.POINT_HEAD.NAME": "ImplicitPointHead",
        "MODEL.POINT_HEAD.SUBDIVISION_STEPS": 3,
        "INPUT.MASK_FORMAT": "bitmask",
    },
    "pointrend-cityscapes": {
        "MODEL.POINT_HEAD.NUM_CLASSES": 8,
        **_CITYSCAPES,
    },
    "pointrend-stuff": {
        "MODEL.META_ARCHITECTURE": "SemanticSegmentor",
        "MODEL.BACKBONE.FREEZE_AT": 0,
        "MODEL.SEM_SEG_HEAD.NAME": "PointRendSemSegHead",
        "MODEL.POINT_HEAD.NUM_CLASSES": 54,
        "MODEL.POINT_HEAD.TRAIN_NUM_POINTS": 1024,
        "MODEL.POINT_HEAD.SUBDIVISION_STEPS": 2,
        "MODEL.POINT_HEAD.SUBDIVISION_NUM_POINTS": 8192,
        "MODEL.POINT_HEAD.COARSE_PRED_EACH_LAYER": False,
        "DATASETS.TRAIN": ("coco_2017_train_panoptic_stuffonly",),
        "DATASETS.TEST": ("coco_2017_val_panoptic_stuffonly",),
    },
    "pointrend-streets": {
        "MODEL.SEM_SEG_HEAD.NUM_CLASSES": 19,
        "MODEL.POINT_HEAD.NUM_CLASSES": 19,
        "MODEL.POINT_HEAD.TRAIN_NUM_POINTS": 2048,
        "INPUT.MIN_SIZE_TRAIN": tuple(range(512, 2049, 256)),
        "INPUT.MIN_SIZE_TEST": 1024,
        "INPUT.MAX_SIZE_TRAIN": 4096,
        "INPUT.MAX_SIZE_TEST": 2048,
        "INPUT.CROP.ENABLED": True,
        "INPUT.CROP.TYPE": "absolute",
        "INPUT.CROP.SIZE": (512, 1024),
        "INPUT.CROP.SINGLE_CATEGORY_MAX_AREA": 0.75,
        "INPUT.COLOR_AUG_SSD": True,
        "DATASETS.TRAIN": ("cityscapes_fine_sem_seg_train",),
        "DATASETS.TEST": ("cityscapes_fine_sem_seg_val",),
        "DATALOADER.NUM_WORKERS": 10,
        "SOLVER.BASE_LR": 0.01,
        "SOLVER.STEPS": (40000, 55000),
        "SOLVER.MAX_ITER": 65000,
        "SOLVER.IMS_PER_BATCH": 32,
    },
}

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
        for name, value in _PARTS[part].items():
            *sections, last = name.split(".")
            node = config
            for section in sections:
                node = node.setdefault(section, {})
            node[last] = value
    return config
