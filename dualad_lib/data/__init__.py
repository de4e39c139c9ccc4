"""Data: named sets and image folders as one-class tasks, and the steps that prepare images for a network."""

from .folders import frame_of, load_image_folder, read_images
from .images import as_images
from .preprocessing import GCN, Compose, Pad, Scale
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
    "GCN",
    "PROTOCOLS",
    "SPLITS",
    "Compose",
    "Labelled",
    "Pad",
    "Scale",
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
