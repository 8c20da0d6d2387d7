"""Why parts of Detectron2's models are refused, and the way out; for the zoo, configurations and live models."""

DEFORMABLE = (
    "the files have no operator for deformable convolution; train with MODEL.RESNETS.DEFORM_ON_PER_STAGE all False"
)
