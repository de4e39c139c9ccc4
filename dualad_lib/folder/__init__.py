"""The practitioner's path: fit on a folder of normal images, score a folder, report, export."""

from .fit import fit_folder
from .score import score_folder

__all__ = ["fit_folder", "score_folder"]
