"""Whole models of the R-CNN family: parts put together, list[dict] in, list[dict] out.

Source: detectron2/modeling/meta_arch/rcnn.py and panoptic_fpn.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from d2deploy.config import Config
from d2deploy.errors import InvalidArgument
from d2deploy.modeling.build import make_backbone
from d2deploy.modeling.images import ImageBatch, ImageModel, output_size
from d2deploy.modeling.postprocessing import combine_panoptic, detector_postprocess, sem_seg_postprocess
from d2deploy.modeling.registry import META_ARCHS, PRECOMPUTED, PROPOSAL_GENERATORS, ROI_HEADS, SEM_SEG_HEADS
from d2deploy.modeling.semantic_seg import full_size_logits
from d2deploy.structures import Instances, as_boxes

__all__ = ["GeneralizedRCNN", "PanopticFPN", "ProposalNetwork", "SemanticSegmentor"]


def image_parts(cfg: Config, backbone: Any) -> dict[str, Any]:
    """The arguments of ImageModel."""
    return {
        "backbone": backbone,
        "pixel_mean": cfg.MODEL.PIXEL_MEAN,
        "pixel_std": cfg.MODEL.PIXEL_STD,
        "input_format": cfg.INPUT.FORMAT,
    }


@META_ARCHS.register()
class ProposalNetwork(ImageModel):
    """Backbone and region proposals alone.

    Args:
        proposal_generator: maps the batch and the features to Instances of each image.
        image_parts: see ImageModel.
    """

    def __init__(self, *, proposal_generator: Any, **image_parts: Any) -> None:
        super().__init__(**image_parts)
        self.proposal_generator = proposal_generator

    @classmethod
    def from_config(cls, cfg: Config) -> ProposalNetwork:
        backbone = make_backbone(cfg)
        name = cfg.MODEL.PROPOSAL_GENERATOR.NAME
        generator = PROPOSAL_GENERATORS.build(name, cfg, backbone.output_shape())
        return cls(proposal_generator=generator, **image_parts(cfg, backbone))

    @torch.no_grad()
    def forward(self, batched_inputs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Predicts.

        Args:
            batched_inputs: for each image "image", (C, H, W) in `input_format`, values from 0 to 255, and, where
                predictions are wanted for another size, "height" and "width".

        Returns:
            For each image "proposals": Instances with `proposal_boxes` and `objectness_logits`.

        Raises:
            InvalidArgument: an image is missing or has the wrong shape.
        """
        images = self.preprocess_image(batched_inputs)
        proposals = self.proposal_generator(images, self.backbone(images.tensor))
        return [
            {"proposals": detector_postprocess(p, *output_size(x, p.image_size))}
            for p, x in zip(proposals, batched_inputs)
        ]


@META_ARCHS.register()
class SemanticSegmentor(ImageModel):
    """Backbone and semantic head: the class of every pixel.

    Args:
        sem_seg_head: `layers` maps the features to logits (N, K, H / common_stride, W / common_stride).
        image_parts: see ImageModel.

    Source: detectron2/modeling/meta_arch/semantic_seg.py.
    """

    def __init__(self, *, sem_seg_head: Any, **image_parts: Any) -> None:
        super().__init__(**image_parts)
        self.sem_seg_head = sem_seg_head

    @classmethod
    def from_config(cls, cfg: Config) -> SemanticSegmentor:
        backbone = make_backbone(cfg)
        head = SEM_SEG_HEADS.build(cfg.MODEL.SEM_SEG_HEAD.NAME, cfg, backbone.output_shape())
        return cls(sem_seg_head=head, **image_parts(cfg, backbone))

    @torch.no_grad()
    def forward(self, batched_inputs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Predicts.

        Args:
            batched_inputs: as for ProposalNetwork.

        Returns:
            For each image "sem_seg", logits (K, height, width).

        Raises:
            InvalidArgument: an image is missing or has the wrong shape.
        """
        images = self.preprocess_image(batched_inputs)
        logits = full_size_logits(self.sem_seg_head, self.backbone(images.tensor))
        return [
            {"sem_seg": sem_seg_postprocess(own, size, *output_size(x, size))}
            for own, size, x in zip(logits, images.image_sizes, batched_inputs)
        ]


@META_ARCHS.register()
class GeneralizedRCNN(ImageModel):
    """Backbone, proposals, RoI heads: Faster, Mask and Keypoint R-CNN.

    Args:
        proposal_generator: maps the batch and the features to Instances of each image; None: they come with the inputs,
            as in Fast R-CNN.
        roi_heads: maps the features and the proposals to Instances of each image.
        image_parts: see ImageModel.
    """

    def __init__(self, *, proposal_generator: Any, roi_heads: Any, **image_parts: Any) -> None:
        super().__init__(**image_parts)
        self.proposal_generator = proposal_generator
        self.roi_heads = roi_heads

    @classmethod
    def from_config(cls, cfg: Config) -> GeneralizedRCNN:
        return cls(**rcnn_parts(cfg))

    def detect(self, batched_inputs: Sequence[dict[str, Any]]) -> tuple[dict[str, torch.Tensor], list[Instances]]:
        """The features, and the detections of each image in the frame of the network's input."""
        images = self.preprocess_image(batched_inputs)
        features = self.backbone(images.tensor)
        if self.proposal_generator is None:
            proposals = given_proposals(batched_inputs, images)
        else:
            proposals = self.proposal_generator(images, features)
        return features, self.roi_heads(features, proposals)

    @torch.no_grad()
    def forward(self, batched_inputs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Predicts.

        Args:
            batched_inputs: as for ProposalNetwork; where the model has no proposal generator, "proposals" too:
                Instances with `proposal_boxes` in the frame of "image".

        Returns:
            For each image "instances": `pred_boxes`, `scores`, `pred_classes`, with masks `pred_masks` (R, H, W) bool,
            with keypoints `pred_keypoints` (R, K, 3).

        Raises:
            InvalidArgument: an image is missing or has the wrong shape.
        """
        _, instances = self.detect(batched_inputs)
        return [
            {"instances": detector_postprocess(i, *output_size(x, i.image_size))}
            for i, x in zip(instances, batched_inputs)
        ]


def given_proposals(batched_inputs: Sequence[dict[str, Any]], images: ImageBatch) -> list[Instances]:
    """What the inputs have as "proposals", on the images' device."""
    found = []
    for index, (x, size) in enumerate(zip(batched_inputs, images.image_sizes)):
        boxes = getattr(x.get("proposals"), "proposal_boxes", None)
        if boxes is None:
            raise InvalidArgument(
                f'inputs: number {index} needs "proposals", Instances with `proposal_boxes`: '
                "MODEL.PROPOSAL_GENERATOR.NAME is PrecomputedProposals"
            )
        boxes = as_boxes(torch.as_tensor(getattr(boxes, "tensor", boxes)).to(images.tensor))
        found.append(Instances(size, proposal_boxes=boxes))
    return found


def rcnn_parts(cfg: Config) -> dict[str, Any]:
    """The arguments of GeneralizedRCNN."""
    backbone = make_backbone(cfg)
    shapes = backbone.output_shape()
    name = cfg.MODEL.PROPOSAL_GENERATOR.NAME
    return {
        "proposal_generator": None if name == PRECOMPUTED else PROPOSAL_GENERATORS.build(name, cfg, shapes),
        "roi_heads": ROI_HEADS.build(cfg.MODEL.ROI_HEADS.NAME, cfg, shapes),
        **image_parts(cfg, backbone),
    }


@META_ARCHS.register()
class PanopticFPN(GeneralizedRCNN):
    """Mask R-CNN with a semantic branch, and both put together.

    Source: Kirillov et al., Panoptic Feature Pyramid Networks, section 3.

    Args:
        sem_seg_head: `layers` maps the features to logits (N, K, H / common_stride, W / common_stride).
        combine_overlap_thresh: see `combine_panoptic`, as the following ones.
        combine_stuff_area_thresh: in pixels.
        combine_instances_score_thresh: things of lower scores are left out.
        parts: see GeneralizedRCNN.
    """

    def __init__(
        self,
        *,
        sem_seg_head: Any,
        combine_overlap_thresh: float = 0.5,
        combine_stuff_area_thresh: float = 4096,
        combine_instances_score_thresh: float = 0.5,
        **parts: Any,
    ) -> None:
        super().__init__(**parts)
        self.sem_seg_head = sem_seg_head
        self.combine_overlap_thresh = combine_overlap_thresh
        self.combine_stuff_area_thresh = combine_stuff_area_thresh
        self.combine_instances_score_thresh = combine_instances_score_thresh

    @classmethod
    def from_config(cls, cfg: Config) -> PanopticFPN:
        combine = cfg.MODEL.PANOPTIC_FPN.COMBINE
        parts = rcnn_parts(cfg)
        shapes = parts["backbone"].output_shape()
        return cls(
            sem_seg_head=SEM_SEG_HEADS.build(cfg.MODEL.SEM_SEG_HEAD.NAME, cfg, shapes),
            combine_overlap_thresh=combine.OVERLAP_THRESH,
            combine_stuff_area_thresh=combine.STUFF_AREA_LIMIT,
            combine_instances_score_thresh=combine.INSTANCES_CONFIDENCE_THRESH,
            **parts,
        )

    @torch.no_grad()
    def forward(self, batched_inputs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Predicts.

        Args:
            batched_inputs: as for ProposalNetwork.

        Returns:
            For each image "instances" as GeneralizedRCNN gives them, "sem_seg", logits (K, height, width), and
            "panoptic_seg", what `combine_panoptic` gives.

        Raises:
            InvalidArgument: an image is missing or has the wrong shape.
        """
        features, instances = self.detect(batched_inputs)
        results = []
        for found, logits, x in zip(instances, full_size_logits(self.sem_seg_head, features), batched_inputs):
            height, width = output_size(x, found.image_size)
            detections = detector_postprocess(found, height, width)
            sem_seg = sem_seg_postprocess(logits, found.image_size, height, width)
            panoptic = combine_panoptic(
                detections,
                sem_seg.argmax(dim=0),
                overlap_thresh=self.combine_overlap_thresh,
                stuff_area_thresh=self.combine_stuff_area_thresh,
                instances_score_thresh=self.combine_instances_score_thresh,
            )
            results.append({"sem_seg": sem_seg, "instances": detections, "panoptic_seg": panoptic})
        return results
