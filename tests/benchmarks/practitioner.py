"""What a folder of photographs costs: seconds and peak memory of `dualad fit`, `score`, `score --report` and `export`.

    DUALAD_DATA=FOLDER uv run python tests/benchmarks/practitioner.py

200 normal photographs train and up to 350 others are judged. Each command is a process of its own; its seconds include
starting up, with compiled modules. "256 x 256": magnetic tiles; "104 x 256": ball screws, as they are. Writes
figures/results/benchmark_practitioner.csv. Keep the machine idle.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from common import machine, write
from PIL import Image

from dualad_lib.data import load_inspection

TRAINED, JUDGED = 200, 350
SETS = {"magnetic_tiles": (256, 256), "ball_screws": 256}


def spend(arguments):
    """Run one command: (seconds, peak memory in GB). Its own children count."""
    code = (
        "import resource, sys; from dualad_lib.cli import main; status = main(sys.argv[1:]); "
        "print('KB', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(status)"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    spent = time.perf_counter() - start
    (peak,) = (int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("KB "))
    return spent, peak / (1 if sys.platform != "darwin" else 1024) / 2**20


def main():
    print(machine())
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([sys.executable, "-c", "import dualad_lib.cli, timm, torchvision"], check=True)
    rows = []
    for dataset, size in SETS.items():
        data = load_inspection(dataset, image_size=size)
        sound = data.images[data.labels == 0]
        sound = sound[torch.randperm(len(sound), generator=torch.Generator().manual_seed(0))]
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            for name, images in (("good", sound[:TRAINED]), ("new", sound[TRAINED:][:JUDGED])):
                (folder / name).mkdir()
                for number, image in enumerate(images):
                    picture = image.permute(1, 2, 0).squeeze(-1).numpy()
                    Image.fromarray(picture).save(folder / name / f"{number:04d}.png")
            model, table = folder / "m.safetensors", folder / "s.csv"
            judge = ["score", "--model", model, "--images", folder / "new", "--out", table]
            commands = {
                "fit": ["fit", "--normal", folder / "good", "--out", model],
                "score": judge,
                "score --report": [*judge, "--report", folder / "r.html"],
                "export": ["export", "--model", model, "--onnx", folder / "m.onnx"],
            }
            for name, arguments in commands.items():
                spent, peak = spend(arguments)
                height, width = data.images.shape[2:]
                count = {"fit": TRAINED, "export": 0}.get(name, len(sound[TRAINED:][:JUDGED]))
                rows.append(
                    {
                        "command": f"dualad {name}",
                        "image": f"{height} x {width}",
                        "images": count,
                        "seconds": round(spent, 1),
                        "images_a_second": round(count / spent, 1),
                        "peak_gb": round(peak, 2),
                    }
                )
                print(rows[-1], flush=True)
    write(rows, "practitioner")


if __name__ == "__main__":
    main()
