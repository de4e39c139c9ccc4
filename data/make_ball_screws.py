"""Make data/ball_screws_sample.npz, the photographs of a ball screw over time that ship with this project.

    git clone https://github.com/2Obe/BSData
    python data/make_ball_screws.py BSData
    python data/make_ball_screws.py BSData --check

Reads a clone of the set or its photographs in folders (see `read_ball_screws`) and keeps, of five of the 15 places, all
57 photographs of framing 2, at 168 x 416. Arrays in the file: jpeg, mask_png uint8, the packed pictures one after the
other (a mask has as its grey how much of a pixel is covered; an unmarked photograph has no bytes there); jpeg_offsets,
mask_png_offsets int64 (N + 1,), where each begins and ends; places uint8 (N,), an index into place_names; times int64
(N,), seconds since 1970 of the clock on site.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np

from dualad_lib.data.readers import ball_screws as screws
from dualad_lib.files import atomic_write

SAMPLE = Path(__file__).resolve().parent / "ball_screws_sample.npz"
#: Pitting is marked from the 41st, never, from the 28th, the 51st and the 45th of 57 photographs on.
PLACES = ("277500_315", "477500_315", "585000_090", "597500_315", "635000_270")
SIDE = 416
ALIKE = 4.0  # grey levels: mean difference that packing a photograph may make


def make_sample(folder):
    """Read the five places: what `screws.read` returns, of them alone."""
    images, covered, place, times = screws.read(folder, SIDE)
    chosen = np.isin(place, PLACES)
    return images[chosen], covered[chosen], [name for name in place if name in PLACES], times[chosen]


def same(ours, theirs):
    """Whether two samples hold the same photographs and marks, up to packing: half of a mark stays where it was."""
    if ours[2] != theirs[2] or not np.array_equal(ours[3], theirs[3]) or ours[0].shape != theirs[0].shape:
        return False
    apart = [np.abs(a.astype(int) - b).mean() for a, b in zip(ours[0], theirs[0], strict=True)]
    marks = [
        a.any() == b.any() and 2 * np.minimum(a, b).sum(dtype=int) >= max(a.sum(dtype=int), b.sum(dtype=int))
        for a, b in zip(ours[1], theirs[1], strict=True)
    ]
    return max(apart) <= ALIKE and all(marks)


def main():
    """Write or check the sample; the exit status is 1 when a check fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", help="a clone of BSData, or PLACE/TIME_FRAMING.jpg")
    parser.add_argument("--check", action="store_true", help="write nothing, compare with the photographs")
    options = parser.parse_args()
    made = make_sample(options.folder)
    if options.check:
        alike = same(screws.read_sample(SAMPLE, SIDE), made)
        print(f"{len(made[0])} photographs {'are those of the set' if alike else 'DIFFER from the set'}")
        return 0 if alike else 1
    with atomic_write(SAMPLE) as temporary:
        screws.write_sample(temporary, *made)
    content = SAMPLE.read_bytes()
    print(f"{SAMPLE.name}: {len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
