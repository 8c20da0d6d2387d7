"""How good predictions are: data sets in COCO's format, any predictor run over their images, COCO's AP."""

from .ap import Metrics, average_precision
from .coco import CocoDataset
from .datasets import load_datasets
from .evaluate import Predictor, evaluate, format_table
from .results import to_results

__all__ = [
    "CocoDataset",
    "Metrics",
    "Predictor",
    "average_precision",
    "evaluate",
    "format_table",
    "load_datasets",
    "to_results",
]
