"""Detectron2's models in plain PyTorch: built from a configuration, with the parameter names of its checkpoints.

Importing a part registers it, so all parts are imported here.
"""

from d2deploy.modeling.anchors import DefaultAnchorGenerator, RotatedAnchorGenerator
from d2deploy.modeling.box_head import FastRCNNConvFCHead, FastRCNNOutputLayers
from d2deploy.modeling.build import build_model
from d2deploy.modeling.cascade import CascadeROIHeads
from d2deploy.modeling.deform_conv import DeformConv
from d2deploy.modeling.fcos import FCOS, FCOSHead
from d2deploy.modeling.fpn import FPN
from d2deploy.modeling.layers import ShapeSpec
from d2deploy.modeling.mask_head import KRCNNConvDeconvUpsampleHead, MaskRCNNConvUpsampleHead
from d2deploy.modeling.meta_arch import GeneralizedRCNN, PanopticFPN, ProposalNetwork, SemanticSegmentor
from d2deploy.modeling.point_rend import (
    ImplicitPointHead,
    ImplicitPointRendMaskHead,
    PointRendMaskHead,
    PointRendSemSegHead,
    StandardPointHead,
)
from d2deploy.modeling.pooler import ROIPooler
from d2deploy.modeling.registry import (
    ANCHOR_GENERATORS,
    BACKBONES,
    META_ARCHS,
    POINT_HEADS,
    PROPOSAL_GENERATORS,
    ROI_BOX_HEADS,
    ROI_HEADS,
    ROI_KEYPOINT_HEADS,
    ROI_MASK_HEADS,
    RPN_HEADS,
    SEM_SEG_HEADS,
    Registry,
)
from d2deploy.modeling.resnet import ResNet
from d2deploy.modeling.retinanet import RetinaNet, RetinaNetHead
from d2deploy.modeling.roi_heads import Res5ROIHeads, RROIHeads, StandardROIHeads
from d2deploy.modeling.rpn import RPN, RRPN, StandardRPNHead
from d2deploy.modeling.semantic_seg import SemSegFPNHead

__all__ = [
    "ANCHOR_GENERATORS",
    "BACKBONES",
    "FCOS",
    "FPN",
    "META_ARCHS",
    "POINT_HEADS",
    "PROPOSAL_GENERATORS",
    "ROI_BOX_HEADS",
    "ROI_HEADS",
    "ROI_KEYPOINT_HEADS",
    "ROI_MASK_HEADS",
    "RPN",
    "RPN_HEADS",
    "RRPN",
    "SEM_SEG_HEADS",
    "CascadeROIHeads",
    "DefaultAnchorGenerator",
    "DeformConv",
    "FCOSHead",
    "FastRCNNConvFCHead",
    "FastRCNNOutputLayers",
    "GeneralizedRCNN",
    "ImplicitPointHead",
    "ImplicitPointRendMaskHead",
    "KRCNNConvDeconvUpsampleHead",
    "MaskRCNNConvUpsampleHead",
    "PanopticFPN",
    "PointRendMaskHead",
    "PointRendSemSegHead",
    "ProposalNetwork",
    "ROIPooler",
    "RROIHeads",
    "Registry",
    "Res5ROIHeads",
    "ResNet",
    "RetinaNet",
    "RetinaNetHead",
    "RotatedAnchorGenerator",
    "SemSegFPNHead",
    "SemanticSegmentor",
    "ShapeSpec",
    "StandardPointHead",
    "StandardROIHeads",
    "StandardRPNHead",
    "build_model",
]
