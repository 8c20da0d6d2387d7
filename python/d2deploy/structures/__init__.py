"""What predictions are made of, as in Detectron2: instances of one image, their boxes, masks and keypoints.

Plain containers: they hold PyTorch tensors or NumPy arrays, give back the kind that came in, and never import PyTorch.
"""

from d2deploy.structures.arrays import HostArray
from d2deploy.structures.boxes import Boxes, RotatedBoxes, as_boxes
from d2deploy.structures.instances import Instances
from d2deploy.structures.keypoints import Keypoints
from d2deploy.structures.masks import BitMasks, ROIMasks, paste_masks

__all__ = [
    "BitMasks",
    "Boxes",
    "HostArray",
    "Instances",
    "Keypoints",
    "ROIMasks",
    "RotatedBoxes",
    "as_boxes",
    "paste_masks",
]
