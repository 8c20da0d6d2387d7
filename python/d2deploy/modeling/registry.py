"""Registries: parts of a model by the name that the configuration gives them, the user's own ones included.

The names are those of Detectron2's registries, detectron2/modeling/*/build.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from d2deploy.errors import InvalidArgument, Unsupported

__all__ = [
    "ANCHOR_GENERATORS",
    "BACKBONES",
    "META_ARCHS",
    "POINT_HEADS",
    "PROPOSAL_GENERATORS",
    "ROI_BOX_HEADS",
    "ROI_HEADS",
    "ROI_KEYPOINT_HEADS",
    "ROI_MASK_HEADS",
    "RPN_HEADS",
    "SEM_SEG_HEADS",
    "Registry",
]

Entry = TypeVar("Entry", bound=Callable[..., Any])


class Registry:
    """Builders of one kind of part, by name.

    An entry is a class with a class method `from_config`, or any other callable. Either is called as
    `entry(cfg, input_shape)` and gives the module; entries of META_ARCHS are called as `entry(cfg)`. `input_shape` is
    a ShapeSpec, for anchor generators and RPN heads a list of them, for RoI and segmentation heads a dict by feature.

    Args:
        variable: how the registry is called in `d2deploy.modeling`, for messages.
        key: the configuration key that selects.
        unsupported: names that Detectron2 knows and that are not available here, with the reason and the way out.
    """

    def __init__(self, variable: str, key: str, unsupported: dict[str, str] | None = None) -> None:
        self.variable = variable
        self.key = key
        self.unsupported = unsupported or {}
        self._entries: dict[str, Callable[..., Any]] = {}

    def register(self, name: str | None = None) -> Callable[[Entry], Entry]:
        """Decorator that registers a class or function, under its own name unless another one is given.

        Raises:
            InvalidArgument: the name is taken.
        """

        def add(entry: Entry) -> Entry:
            key = name or entry.__name__
            if key in self._entries:
                raise InvalidArgument(f"{self.variable}: {key} is registered already; choose another name")
            self._entries[key] = entry
            return entry

        return add

    def is_unsupported(self, name: str) -> bool:
        """Whether Detectron2 has that name, and neither d2deploy nor the user has."""
        return name in self.unsupported and name not in self._entries

    def fault(self, name: str) -> str | None:
        """What is wrong with that name, or None."""
        if name in self._entries:
            return None
        if self.is_unsupported(name):
            return f"{self.key} is {name}: {self.unsupported[name]}"
        known = ", ".join(sorted(self._entries))
        own = f"your own are added with @{self.variable}.register()"
        return f"{self.key} is {name or 'empty'}, which is not known; known: {known}; {own}"

    def build(self, name: str, *args: Any) -> Any:
        """Builds the part of that name.

        Raises:
            Unsupported: Detectron2 has such a part, d2deploy does not.
            InvalidArgument: nothing of that name is registered.
        """
        if fault := self.fault(name):
            raise (Unsupported if self.is_unsupported(name) else InvalidArgument)(fault)
        entry = self._entries[name]
        return getattr(entry, "from_config", entry)(*args)


OTHER_BACKBONE = "only ResNet and ResNeXt can be exported; register a backbone of your own made of convolutions"
OLD_NAME = "it is PointRendMaskHead now, with MODEL.ROI_MASK_HEAD.POOLER_TYPE set to ''"
BRANCHES = "branches of several dilations cannot be exported; train with StandardROIHeads"

BACKBONES = Registry(
    "BACKBONES",
    "MODEL.BACKBONE.NAME",
    dict.fromkeys(
        [
            "build_fcos_resnet_fpn_backbone",
            "build_mnasnet_backbone",
            "build_resnet_deeplab_backbone",
            "build_swin_backbone",
            "build_vit_backbone",
        ],
        OTHER_BACKBONE,
    ),
)
PRECOMPUTED = "PrecomputedProposals"  # no generator: proposals come with the images
PROPOSAL_GENERATORS = Registry(
    "PROPOSAL_GENERATORS",
    "MODEL.PROPOSAL_GENERATOR.NAME",
    {PRECOMPUTED: "models without RoI heads have nothing to do with given proposals; use RPN or RRPN"},
)
RPN_HEADS = Registry("RPN_HEADS", "MODEL.RPN.HEAD_NAME")
ANCHOR_GENERATORS = Registry("ANCHOR_GENERATORS", "MODEL.ANCHOR_GENERATOR.NAME")
ROI_HEADS = Registry(
    "ROI_HEADS",
    "MODEL.ROI_HEADS.NAME",
    {"TridentStandardROIHeads": BRANCHES},
)
ROI_BOX_HEADS = Registry("ROI_BOX_HEADS", "MODEL.ROI_BOX_HEAD.NAME")
ROI_MASK_HEADS = Registry("ROI_MASK_HEADS", "MODEL.ROI_MASK_HEAD.NAME", {"CoarseMaskHead": OLD_NAME})
POINT_HEADS = Registry("POINT_HEADS", "MODEL.POINT_HEAD.NAME")
ROI_KEYPOINT_HEADS = Registry("ROI_KEYPOINT_HEADS", "MODEL.ROI_KEYPOINT_HEAD.NAME")
SEM_SEG_HEADS = Registry("SEM_SEG_HEADS", "MODEL.SEM_SEG_HEAD.NAME")
META_ARCHS = Registry("META_ARCHS", "MODEL.META_ARCHITECTURE")
