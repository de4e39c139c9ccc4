"""Data: named sets and image folders as one-class tasks."""

from .folders import frame_of, load_image_folder, read_images
from .images import as_images
from .readers.gtsrb import load_signs
from .registry import (
    DATASETS,
    load_inspection,
    load_labelled,
    load_labelled_anomalies,
    load_one_class,
    load_part,
)
from .task import PROTOCOLS, SPLITS, Labelled, Task, of_class

__all__ = [
    "DATASETS",
    "PROTOCOLS",
    "SPLITS",
    "Labelled",
    "Task",
    "as_images",
    "frame_of",
    "load_image_folder",
    "load_inspection",
    "load_labelled",
    "load_labelled_anomalies",
    "load_one_class",
    "load_part",
    "load_signs",
    "of_class",
    "read_images",
]
