"""What the configurations of Detectron2's model zoo are sums of; `zoo` says which of what.

Source of the facts: detectron2/configs, and detectron2/projects/PointRend.
"""

from __future__ import annotations

from typing import Any

__all__ = ["PARTS"]

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
PARTS: dict[str, dict[str, Any]] = {
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
