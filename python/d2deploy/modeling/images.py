"""From the user's inputs to a batch: normalised, padded, on the model's device.

Source: detectron2/structures/image_list.py, and preprocess_image of detectron2/modeling/meta_arch/rcnn.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from d2deploy.errors import InvalidArgument
from d2deploy.padding import Padding

__all__ = ["ImageBatch", "ImageModel", "output_size"]


class ImageBatch(NamedTuple):
    """`tensor` is (N, C, H, W), padded with zeros below and to the right; `image_sizes` are heights and widths."""

    tensor: Tensor
    image_sizes: list[tuple[int, int]]


class ImageModel(nn.Module):
    """Base of meta-architectures: a backbone, and how its input is made.

    Args:
        backbone: module that maps (N, C, H, W) to a dict of maps; `size_divisibility`, where it has one, is what H and
            W are padded to multiples of; `padding_constraints`, a dict as Detectron2's backbones have it, may say
            that too, and `square_size`, the side of a square that all images are padded to.
        pixel_mean: per channel, in the order of `input_format`.
        pixel_std: per channel.
        input_format: BGR, RGB or L.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self, *, backbone: Any, pixel_mean: Sequence[float], pixel_std: Sequence[float], input_format: str = "BGR"
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.input_format = input_format
        for name, values in (("pixel_mean", pixel_mean), ("pixel_std", pixel_std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(-1, 1, 1), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.pixel_mean.device

    @property
    def padding(self) -> Padding:
        """What the height and width of a batch become."""
        constraints = {
            "size_divisibility": getattr(self.backbone, "size_divisibility", 0),
            **getattr(self.backbone, "padding_constraints", {}),
        }
        return Padding(int(constraints["size_divisibility"]), int(constraints.get("square_size", 0)))

    def preprocess_image(self, batched_inputs: Sequence[dict[str, Any]]) -> ImageBatch:
        """The batch for inputs with "image", (C, H, W) of any type, values from 0 to 255.

        Law: beyond its size, an image in the batch is 0; within, it does not depend on the others.

        Raises:
            InvalidArgument: there is no image, its shape is wrong, or it is larger than the backbone's square.
        """
        self._check(batched_inputs)
        images = [(x["image"].to(self.device) - self.pixel_mean) / self.pixel_std for x in batched_inputs]
        sizes = [(int(image.shape[1]), int(image.shape[2])) for image in images]
        highest, widest = (max(lengths) for lengths in zip(*sizes))
        height, width = self.padding.size(highest, widest)
        batch = images[0].new_zeros(len(images), len(self.pixel_mean), height, width)
        for padded, image in zip(batch, images):
            padded[:, : image.shape[1], : image.shape[2]] = image
        return ImageBatch(batch, sizes)

    def _check(self, batched_inputs: Sequence[dict[str, Any]]) -> None:
        channels = len(self.pixel_mean)
        wrong = []
        for index, x in enumerate(batched_inputs):
            shape = tuple(x["image"].shape) if "image" in x else None
            if shape is None or len(shape) != 3 or shape[0] != channels or 0 in shape:
                wrong.append(f"number {index} has {shape or 'no image'}")
        if wrong or not batched_inputs:
            found = ", ".join(wrong) or "the list is empty"
            raise InvalidArgument(
                f'inputs: each one needs "image", a tensor ({channels}, H, W) in {self.input_format}; {found}'
            )


def output_size(batched_input: dict[str, Any], image_size: tuple[int, int]) -> tuple[int, int]:
    """Height and width that predictions are wanted for: those of the input dict, or those of the image."""
    return int(batched_input.get("height", image_size[0])), int(batched_input.get("width", image_size[1]))
