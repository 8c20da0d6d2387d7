"""How good predictions are: data sets, any predictor run over their images, AP, panoptic quality, semantic maps."""

from .ap import average_precision
from .coco import CocoDataset
from .datasets import load_dataset, load_datasets, load_panoptic
from .evaluate import TASKS, Predictor, evaluate
from .metrics import Metrics, format_table, missing_numbers, write_metrics
from .panoptic import PanopticDataset
from .quality import PanopticQuality
from .results import to_results
from .semantic import SemanticDataset, SemanticQuality

__all__ = [
    "TASKS",
    "CocoDataset",
    "Metrics",
    "PanopticDataset",
    "PanopticQuality",
    "Predictor",
    "SemanticDataset",
    "SemanticQuality",
    "average_precision",
    "evaluate",
    "format_table",
    "load_dataset",
    "load_datasets",
    "load_panoptic",
    "missing_numbers",
    "to_results",
    "write_metrics",
]
