"""Data: named sets and image folders as one-class tasks, and the steps that prepare images for a network."""

from dualad_lib.data.folders import frame_of, load_image_folder, read_images
from dualad_lib.data.images import as_images
from dualad_lib.data.labelled import Labelled, load_labelled, of_class
from dualad_lib.data.preprocessing import GCN, Compose, Pad, Scale
from dualad_lib.data.protocols import PROTOCOLS, SPLITS, Task, load_labelled_anomalies, load_one_class
from dualad_lib.data.signs import load_signs
from dualad_lib.data.sources import DATASETS

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
    "load_labelled",
    "load_labelled_anomalies",
    "load_one_class",
    "load_signs",
    "of_class",
    "read_images",
]
