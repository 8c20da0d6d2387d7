"""Every key that a configuration may hold, with the value it has when nothing says otherwise.

Keys, types and values are those of Detectron2's configuration, version 2, and of its project PointRend, so that their
YAML files mean the same here. Keys that only training reads are there because files set them. EXPORT_CAFFE2 alone is
the exporter's own.
"""

from __future__ import annotations

from typing import Any

VERSION = 2

_ANCHORS: dict[str, Any] = {
    "NAME": "DefaultAnchorGenerator",
    "SIZES": [[32, 64, 128, 256, 512]],  # square root of the area, in pixels of the net's input, per feature map
    "ASPECT_RATIOS": [[0.5, 1.0, 2.0]],  # height by width
    "ANGLES": [[-90, 0, 90]],  # degrees; rotated anchors alone
    "OFFSET": 0.0,  # of the first anchor's centre, in strides
}

_RESNETS: dict[str, Any] = {
    "DEPTH": 50,
    "OUT_FEATURES": ["res4"],
    "NUM_GROUPS": 1,
    "WIDTH_PER_GROUP": 64,
    "NORM": "FrozenBN",
    "STRIDE_IN_1X1": True,
    "RES5_DILATION": 1,
    "RES2_OUT_CHANNELS": 256,
    "STEM_OUT_CHANNELS": 64,
    "DEFORM_ON_PER_STAGE": [False, False, False, False],
    "DEFORM_MODULATED": False,
    "DEFORM_NUM_GROUPS": 1,
}

_RPN: dict[str, Any] = {
    "HEAD_NAME": "StandardRPNHead",
    "IN_FEATURES": ["res4"],
    "CONV_DIMS": [-1],  # -1: as many channels as come in
    "BBOX_REG_WEIGHTS": (1.0, 1.0, 1.0, 1.0),
    "NMS_THRESH": 0.7,
    "PRE_NMS_TOPK_TRAIN": 12000,  # per level
    "PRE_NMS_TOPK_TEST": 6000,
    "POST_NMS_TOPK_TRAIN": 2000,  # per image
    "POST_NMS_TOPK_TEST": 1000,
    "BOUNDARY_THRESH": -1,
    "IOU_THRESHOLDS": [0.3, 0.7],
    "IOU_LABELS": [0, -1, 1],
    "BATCH_SIZE_PER_IMAGE": 256,
    "POSITIVE_FRACTION": 0.5,
    "BBOX_REG_LOSS_TYPE": "smooth_l1",
    "BBOX_REG_LOSS_WEIGHT": 1.0,
    "SMOOTH_L1_BETA": 0.0,
    "LOSS_WEIGHT": 1.0,
}

_ROI_HEADS: dict[str, Any] = {
    "NAME": "Res5ROIHeads",
    "NUM_CLASSES": 80,  # without background
    "IN_FEATURES": ["res4"],
    "SCORE_THRESH_TEST": 0.05,
    "NMS_THRESH_TEST": 0.5,
    "IOU_THRESHOLDS": [0.5],
    "IOU_LABELS": [0, 1],
    "BATCH_SIZE_PER_IMAGE": 512,
    "POSITIVE_FRACTION": 0.25,
    "PROPOSAL_APPEND_GT": True,
}

# What the three heads of a region start with; POOLER_SAMPLING_RATIO 0 adapts to the size of the region.
_POOLER: dict[str, Any] = {"POOLER_TYPE": "ROIAlignV2", "POOLER_RESOLUTION": 14, "POOLER_SAMPLING_RATIO": 0}

_ROI_BOX_HEAD: dict[str, Any] = {
    "NAME": "",
    **_POOLER,
    "NUM_CONV": 0,
    "CONV_DIM": 256,
    "NUM_FC": 0,
    "FC_DIM": 1024,
    "NORM": "",
    "CLS_AGNOSTIC_BBOX_REG": False,
    "BBOX_REG_WEIGHTS": (10.0, 10.0, 5.0, 5.0),
    "BBOX_REG_LOSS_TYPE": "smooth_l1",
    "BBOX_REG_LOSS_WEIGHT": 1.0,
    "SMOOTH_L1_BETA": 0.0,
    "TRAIN_ON_PRED_BOXES": False,
    "USE_SIGMOID_CE": False,
    "USE_FED_LOSS": False,
    "FED_LOSS_FREQ_WEIGHT_POWER": 0.5,
    "FED_LOSS_NUM_CLASSES": 50,
}

_ROI_BOX_CASCADE_HEAD: dict[str, Any] = {
    "BBOX_REG_WEIGHTS": tuple((10.0 * k, 10.0 * k, 5.0 * k, 5.0 * k) for k in (1, 2, 3)),
    "IOUS": (0.5, 0.6, 0.7),
}

_ROI_MASK_HEAD: dict[str, Any] = {
    "NAME": "MaskRCNNConvUpsampleHead",
    **_POOLER,
    "NUM_CONV": 0,
    "CONV_DIM": 256,
    "NORM": "",
    "CLS_AGNOSTIC_MASK": False,
    # PointRend's.
    "IN_FEATURES": ("p2",),
    "FC_DIM": 1024,
    "NUM_FC": 2,
    "OUTPUT_SIDE_RESOLUTION": 7,
    "POINT_HEAD_ON": False,
}

_POINT_HEAD: dict[str, Any] = {
    "NAME": "StandardPointHead",
    "NUM_CLASSES": 80,
    "IN_FEATURES": ("p2",),
    "TRAIN_NUM_POINTS": 196,
    "OVERSAMPLE_RATIO": 3,
    "IMPORTANCE_SAMPLE_RATIO": 0.75,
    "SUBDIVISION_STEPS": 5,
    "SUBDIVISION_NUM_POINTS": 784,
    "FC_DIM": 256,
    "NUM_FC": 3,
    "CLS_AGNOSTIC_MASK": False,
    "COARSE_PRED_EACH_LAYER": True,
    "COARSE_SEM_SEG_HEAD_NAME": "SemSegFPNHead",
}

_ROI_KEYPOINT_HEAD: dict[str, Any] = {
    "NAME": "KRCNNConvDeconvUpsampleHead",
    **_POOLER,
    "CONV_DIMS": (512,) * 8,
    "NUM_KEYPOINTS": 17,
    "MIN_KEYPOINTS_PER_IMAGE": 1,
    "NORMALIZE_LOSS_BY_VISIBLE_KEYPOINTS": True,
    "LOSS_WEIGHT": 1.0,
}

_SEM_SEG_HEAD: dict[str, Any] = {
    "NAME": "SemSegFPNHead",
    "IN_FEATURES": ["p2", "p3", "p4", "p5"],
    "NUM_CLASSES": 54,
    "CONVS_DIM": 128,
    "COMMON_STRIDE": 4,
    "NORM": "GN",
    "IGNORE_VALUE": 255,
    "LOSS_WEIGHT": 1.0,
}

_PANOPTIC_FPN: dict[str, Any] = {
    "INSTANCE_LOSS_WEIGHT": 1.0,
    "COMBINE": {
        "ENABLED": True,
        "OVERLAP_THRESH": 0.5,
        "STUFF_AREA_LIMIT": 4096,  # pixels
        "INSTANCES_CONFIDENCE_THRESH": 0.5,
    },
}

_RETINANET: dict[str, Any] = {
    "NUM_CLASSES": 80,
    "IN_FEATURES": ["p3", "p4", "p5", "p6", "p7"],
    "NUM_CONVS": 4,
    "NORM": "",
    "BBOX_REG_WEIGHTS": (1.0, 1.0, 1.0, 1.0),
    "SCORE_THRESH_TEST": 0.05,
    "TOPK_CANDIDATES_TEST": 1000,
    "NMS_THRESH_TEST": 0.5,
    "PRIOR_PROB": 0.01,
    "IOU_THRESHOLDS": [0.4, 0.5],
    "IOU_LABELS": [0, -1, 1],
    "FOCAL_LOSS_GAMMA": 2.0,
    "FOCAL_LOSS_ALPHA": 0.25,
    "SMOOTH_L1_LOSS_BETA": 0.1,
    "BBOX_REG_LOSS_TYPE": "smooth_l1",
}

_MODEL: dict[str, Any] = {
    "META_ARCHITECTURE": "GeneralizedRCNN",
    "WEIGHTS": "",
    "DEVICE": "cuda",
    "PIXEL_MEAN": [103.530, 116.280, 123.675],  # in the order of INPUT.FORMAT
    "PIXEL_STD": [1.0, 1.0, 1.0],
    "MASK_ON": False,
    "KEYPOINT_ON": False,
    "LOAD_PROPOSALS": False,
    "BACKBONE": {"NAME": "build_resnet_backbone", "FREEZE_AT": 2},
    "RESNETS": _RESNETS,
    "FPN": {"IN_FEATURES": [], "OUT_CHANNELS": 256, "NORM": "", "FUSE_TYPE": "sum"},
    "ANCHOR_GENERATOR": _ANCHORS,
    "PROPOSAL_GENERATOR": {"NAME": "RPN", "MIN_SIZE": 0},
    "RPN": _RPN,
    "ROI_HEADS": _ROI_HEADS,
    "ROI_BOX_HEAD": _ROI_BOX_HEAD,
    "ROI_BOX_CASCADE_HEAD": _ROI_BOX_CASCADE_HEAD,
    "ROI_MASK_HEAD": _ROI_MASK_HEAD,
    "ROI_KEYPOINT_HEAD": _ROI_KEYPOINT_HEAD,
    "POINT_HEAD": _POINT_HEAD,
    "IMPLICIT_POINTREND": {
        "IMAGE_FEATURE_ENABLED": True,
        "POS_ENC_ENABLED": True,
        "PARAMS_L2_REGULARIZER": 0.00001,
    },
    "SEM_SEG_HEAD": _SEM_SEG_HEAD,
    "PANOPTIC_FPN": _PANOPTIC_FPN,
    "RETINANET": _RETINANET,
}

_INPUT: dict[str, Any] = {
    "FORMAT": "BGR",
    "MIN_SIZE_TEST": 800,  # of the shorter side; 0: images stay as they are
    "MAX_SIZE_TEST": 1333,
    "MIN_SIZE_TRAIN": (800,),
    "MIN_SIZE_TRAIN_SAMPLING": "choice",
    "MAX_SIZE_TRAIN": 1333,
    "RANDOM_FLIP": "horizontal",
    "CROP": {"ENABLED": False, "TYPE": "relative_range", "SIZE": [0.9, 0.9], "SINGLE_CATEGORY_MAX_AREA": 1.0},
    "COLOR_AUG_SSD": False,
    "MASK_FORMAT": "polygon",
}

_DATASETS: dict[str, Any] = {
    "TRAIN": (),
    "TEST": (),
    "PROPOSAL_FILES_TRAIN": (),
    "PROPOSAL_FILES_TEST": (),
    "PRECOMPUTED_PROPOSAL_TOPK_TRAIN": 2000,
    "PRECOMPUTED_PROPOSAL_TOPK_TEST": 1000,
}

_DATALOADER: dict[str, Any] = {
    "NUM_WORKERS": 4,
    "ASPECT_RATIO_GROUPING": True,
    "SAMPLER_TRAIN": "TrainingSampler",
    "REPEAT_THRESHOLD": 0.0,
    "REPEAT_SQRT": True,
    "FILTER_EMPTY_ANNOTATIONS": True,
}

_SOLVER: dict[str, Any] = {
    "LR_SCHEDULER_NAME": "WarmupMultiStepLR",
    "MAX_ITER": 40000,
    "STEPS": (30000,),
    "BASE_LR": 0.001,
    "BASE_LR_END": 0.0,
    "GAMMA": 0.1,
    "NUM_DECAYS": 3,
    "RESCALE_INTERVAL": False,
    "MOMENTUM": 0.9,
    "NESTEROV": False,
    "WEIGHT_DECAY": 0.0001,
    "WEIGHT_DECAY_NORM": 0.0,
    "WEIGHT_DECAY_BIAS": None,
    "BIAS_LR_FACTOR": 1.0,
    "WARMUP_FACTOR": 0.001,
    "WARMUP_ITERS": 1000,
    "WARMUP_METHOD": "linear",
    "CHECKPOINT_PERIOD": 5000,
    "IMS_PER_BATCH": 16,
    "REFERENCE_WORLD_SIZE": 0,
    "CLIP_GRADIENTS": {"ENABLED": False, "CLIP_TYPE": "value", "CLIP_VALUE": 1.0, "NORM_TYPE": 2.0},
    "AMP": {"ENABLED": False},
}

_TEST: dict[str, Any] = {
    "DETECTIONS_PER_IMAGE": 100,
    "KEYPOINT_OKS_SIGMAS": [],
    "EXPECTED_RESULTS": [],
    "EVAL_PERIOD": 0,
    "AUG": {"ENABLED": False, "MIN_SIZES": tuple(range(400, 1201, 100)), "MAX_SIZE": 4000, "FLIP": True},
    "PRECISE_BN": {"ENABLED": False, "NUM_ITER": 200},
}

DEFAULTS: dict[str, Any] = {
    "VERSION": VERSION,
    "MODEL": _MODEL,
    "INPUT": _INPUT,
    "DATASETS": _DATASETS,
    "DATALOADER": _DATALOADER,
    "SOLVER": _SOLVER,
    "TEST": _TEST,
    "OUTPUT_DIR": "./output",
    "SEED": -1,
    "CUDNN_BENCHMARK": False,
    "FLOAT32_PRECISION": "",
    "VIS_PERIOD": 0,
    "GLOBAL": {"HACK": 1.0},
    # True: keypoints leave the net as coordinates (HeatmapMaxKeypoint), not as heatmaps.
    "EXPORT_CAFFE2": {"USE_HEATMAP_MAX_KEYPOINT": False},
}
