"""Why parts of Detectron2's models are refused, and the way out; for the zoo, configurations and live models."""

DEFORMABLE = (
    "the files have no operator for deformable convolution; train with MODEL.RESNETS.DEFORM_ON_PER_STAGE all False"
)
PROPOSALS_FROM_A_FILE = "an exported net finds its proposals in the image, and takes none from a file; use RPN or RRPN"
SEMANTIC_ALONE = "the files have no form for semantic segmentation alone; train a PanopticFPN"
