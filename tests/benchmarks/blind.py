"""What a map that looks at nothing gets on the photographs of real parts: the floor of their pixel AUROC.

    DUALAD_DATA=... python tests/benchmarks/blind.py

Defects do not lie anywhere with equal chance: a camera is aimed at them, and they are dark. Two maps know no normal
image: the nearness to the middle of the frame, the same for every photograph, and the darkness of each pixel. On the
splits of the study `photographs`, all pixels of its test images thrown together as there. Takes a minute and writes
figures/results/benchmark_blind.csv.
"""

import numpy as np
from common import write

from dualad_lib.data import load_inspection
from dualad_lib.evaluation import pixel_auroc
from dualad_lib.experiments.photographs import PROTOCOLS, SIDE, split

SPLITS = 5


def main():
    rows = []
    for dataset in ("magnetic_tiles", "ball_screws"):
        data = load_inspection(dataset, image_size=(SIDE, SIDE) if dataset == "magnetic_tiles" else SIDE)
        y, x = (np.linspace(-1, 1, n) for n in data.images.shape[2:])
        middle = -np.hypot(y[:, None], x[None, :])
        for protocol in PROTOCOLS[dataset]:
            for seed in range(SPLITS):
                _, _, test = split(data, protocol, seed)
                masks, images = data.masks[test].numpy(), data.images[test].float().mean(1).numpy()
                for name, maps in {
                    "middle": np.broadcast_to(middle, masks.shape),
                    "darkness": -images,
                }.items():
                    row = {"dataset": dataset, "protocol": protocol, "map": name, "seed": seed}
                    rows.append({**row, "pixel_auroc": round(pixel_auroc(masks, maps), 4)})
    write(rows, "blind")


if __name__ == "__main__":
    main()
