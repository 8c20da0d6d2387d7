"""What classifies pooled boxes and refines them: the head, the two output layers, and the choice of detections.

Source: Girshick, Fast R-CNN, sections 2 and 3; detectron2/modeling/roi_heads/box_head.py and fast_rcnn.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from d2deploy.config import Config
from d2deploy.errors import InvalidArgument
from d2deploy.modeling.boxes import box2box_transform
from d2deploy.modeling.layers import ShapeSpec, conv3x3
from d2deploy.modeling.nms import batched_nms
from d2deploy.modeling.registry import ROI_BOX_HEADS
from d2deploy.structures import Instances, as_boxes
from d2deploy.structures.geometry import clip

__all__ = ["FastRCNNConvFCHead", "FastRCNNOutputLayers", "detect_boxes", "select_detections"]


@ROI_BOX_HEADS.register()
class FastRCNNConvFCHead(nn.Sequential):
    """3x3 convolutions, then fully connected layers, each with ReLU: (R, C, h, w) -> (R, F), or (R, C', h, w).

    Args:
        input_shape: of the pooled features.
        conv_dims: output channels of each convolution.
        fc_dims: outputs of each fully connected layer.
        conv_norm: norm of the convolutions.

    Raises:
        InvalidArgument: there is no layer at all.
    """

    def __init__(
        self, input_shape: ShapeSpec, *, conv_dims: Sequence[int], fc_dims: Sequence[int], conv_norm: str = ""
    ) -> None:
        super().__init__()
        if not conv_dims and not fc_dims:
            raise InvalidArgument("MODEL.ROI_BOX_HEAD: NUM_CONV and NUM_FC are both 0; it needs at least one layer")
        shape = input_shape
        for index, dim in enumerate(conv_dims, start=1):
            self.add_module(f"conv{index}", conv3x3(shape.channels, dim, conv_norm))
            shape = shape._replace(channels=dim)
        for index, dim in enumerate(fc_dims, start=1):
            if index == 1:
                self.add_module("flatten", nn.Flatten())
            self.add_module(f"fc{index}", nn.Linear(flat(shape), dim))
            self.add_module(f"fc_relu{index}", nn.ReLU())
            shape = ShapeSpec(dim)
        self.output_shape = shape

    @classmethod
    def from_config(cls, cfg: Config, input_shape: ShapeSpec) -> FastRCNNConvFCHead:
        node = cfg.MODEL.ROI_BOX_HEAD
        conv_dims, fc_dims = [node.CONV_DIM] * node.NUM_CONV, [node.FC_DIM] * node.NUM_FC
        return cls(input_shape, conv_dims=conv_dims, fc_dims=fc_dims, conv_norm=node.NORM)


def flat(shape: ShapeSpec) -> int:
    """Numbers per box in features of that shape."""
    return shape.channels * (shape.height or 1) * (shape.width or 1)


def select_detections(
    boxes: Tensor,
    scores: Tensor,
    image_size: tuple[int, int],
    *,
    score_thresh: float,
    nms_thresh: float,
    topk: int,
) -> Instances:
    """The detections of one image: above the threshold, clipped, NMS by class, then the best.

    Args:
        boxes: (R, K D) or, the same for all classes, (R, D); D is 4, xyxy, or 5, rotated.
        scores: (R, K), without the background.
        image_size: height and width.
        score_thresh: detections must be above it.
        nms_thresh: intersection over union that suppresses.
        topk: so many are kept; a negative number keeps all.

    Returns:
        `pred_boxes`, in pixels of the network's input, `scores`, `pred_classes`, by descending score.

    Law: another order of the rows changes nothing, where all scores differ; boxes lie in the image.

    Source: detectron2/modeling/roi_heads/fast_rcnn.py, fast_rcnn_inference_single_image.
    """
    dim = boxes.shape[1] if boxes.shape[1] in (4, 5) else boxes.shape[1] // scores.shape[1]
    valid = boxes.isfinite().all(dim=1) & scores.isfinite().all(dim=1)
    boxes = clip(boxes[valid].view(-1, boxes.shape[1] // dim, dim), image_size)
    scores = scores[valid]
    rows, classes = torch.nonzero(scores > score_thresh, as_tuple=True)
    scores = scores[rows, classes]
    boxes = boxes[rows, classes if boxes.shape[1] > 1 else 0]
    keep = batched_nms(boxes, scores, classes, nms_thresh)
    if topk >= 0:
        keep = keep[:topk]
    return Instances(image_size, pred_boxes=as_boxes(boxes[keep]), scores=scores[keep], pred_classes=classes[keep])


class FastRCNNOutputLayers(nn.Module):
    """Scores and box deltas from the features of each box.

    Args:
        input_shape: of the features.
        box2box_transform: decodes deltas; the number of its weights is the numbers per box.
        num_classes: without the background.
        cls_agnostic_bbox_reg: one box for all classes.
        test_score_thresh: see `select_detections`, as the following ones.
        test_nms_thresh: intersection over union that suppresses.
        test_topk_per_image: so many detections are kept.
        use_sigmoid_ce: a score is the sigmoid of its logit, instead of the softmax over all classes.
    """

    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        box2box_transform: Any,
        num_classes: int,
        cls_agnostic_bbox_reg: bool = False,
        test_score_thresh: float = 0.0,
        test_nms_thresh: float = 0.5,
        test_topk_per_image: int = 100,
        use_sigmoid_ce: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        size = flat(input_shape)
        self.cls_score = nn.Linear(size, num_classes + 1)
        boxes = 1 if cls_agnostic_bbox_reg else num_classes
        self.bbox_pred = nn.Linear(size, boxes * len(box2box_transform.weights))
        self.box2box_transform = box2box_transform
        self.test_score_thresh = test_score_thresh
        self.test_nms_thresh = test_nms_thresh
        self.test_topk_per_image = test_topk_per_image
        self.use_sigmoid_ce = use_sigmoid_ce

    @classmethod
    def from_config(cls, cfg: Config, input_shape: ShapeSpec, *, rotated: bool = False) -> FastRCNNOutputLayers:
        weights = cfg.MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS
        wanted = 5 if rotated else 4
        if len(weights) != wanted:
            raise InvalidArgument(f"MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS: needs {wanted} numbers, got {list(weights)}")
        return cls.with_weights(cfg, input_shape, weights)

    @classmethod
    def with_weights(cls, cfg: Config, input_shape: ShapeSpec, weights: Sequence[float]) -> FastRCNNOutputLayers:
        """As the configuration says, but with these weights of the box deltas."""
        head, roi = cfg.MODEL.ROI_BOX_HEAD, cfg.MODEL.ROI_HEADS
        return cls(
            input_shape,
            box2box_transform=box2box_transform(weights),
            num_classes=roi.NUM_CLASSES,
            cls_agnostic_bbox_reg=head.CLS_AGNOSTIC_BBOX_REG,
            test_score_thresh=roi.SCORE_THRESH_TEST,
            test_nms_thresh=roi.NMS_THRESH_TEST,
            test_topk_per_image=cfg.TEST.DETECTIONS_PER_IMAGE,
            use_sigmoid_ce=head.USE_SIGMOID_CE,
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (R, K + 1), the background last, and deltas (R, K D) or (R, D), for features (R, ...)."""
        x = x.flatten(1)
        return self.cls_score(x), self.bbox_pred(x)


def detect_boxes(predictor: Any, x: Tensor, proposals: Sequence[Instances]) -> list[Instances]:
    """The detections of each image.

    Args:
        predictor: FastRCNNOutputLayers, or another module with its settings that gives logits and deltas as it does.
        x: features of the proposals of all images, (R, ...).
        proposals: `proposal_boxes` of each image.
    """
    boxes, scores = predict_boxes(predictor, x, proposals)
    return choose_boxes(predictor, boxes, scores, proposals)


def predict_boxes(predictor: Any, x: Tensor, proposals: Sequence[Instances]) -> tuple[Tensor, Tensor]:
    """Boxes (R, K D) or (R, D), not clipped, and scores (R, K + 1), the background last; see `detect_boxes`."""
    logits, deltas = predictor(x)
    boxes = predictor.box2box_transform.apply_deltas(deltas, torch.cat([p.proposal_boxes.tensor for p in proposals]))
    return boxes, logits.sigmoid() if getattr(predictor, "use_sigmoid_ce", False) else logits.softmax(dim=1)


def choose_boxes(predictor: Any, boxes: Tensor, scores: Tensor, proposals: Sequence[Instances]) -> list[Instances]:
    """The detections of each image among what `predict_boxes` gives; `proposals` say how many rows are each image's."""
    counts = [len(p) for p in proposals]
    return [
        select_detections(
            box,
            score,
            proposal.image_size,
            score_thresh=predictor.test_score_thresh,
            nms_thresh=predictor.test_nms_thresh,
            topk=predictor.test_topk_per_image,
        )
        for box, score, proposal in zip(torch.split(boxes, counts), torch.split(scores[:, :-1], counts), proposals)
    ]
