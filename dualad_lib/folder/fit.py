"""A folder of normal images in, a model out."""

import torch

from ..data.folders import Reader, check_apart
from ..defaults import DEFAULT_DETECTOR, DEFAULT_FEATURES
from ..detectors import STAGES, create
from ..detectors.base import hold_back
from ..detectors.features import FeatureDetector
from ..detectors.parameters import check_numbers
from ..detectors.trained import Trained
from ..errors import DataError
from ..files import check_places, expand, only_writer, shown, with_ending, writable
from .hold_back import part_pattern, sides, without_copies
from .reading import name_in, read_all

LEFT_OUT = {"mutual_information": False}  # of DualAD, where nobody asks what a part is worth


def fit_folder(
    normal,
    out,
    detector=DEFAULT_DETECTOR,
    image_size=None,
    channels=None,
    strict=False,
    parameters=None,
    calibration=None,
    by=None,
    features="auto",
    say=print,
):
    """Train a detector on a folder of normal images and save it to `out`; return it.

    detector: a name that `dualad_lib.detectors.create` knows; parameters: what differs from its defaults. features: of
    `dualad` and its stages, the frozen backbone that they see images through; "auto" takes the default one, "none"
    trains from scratch on pixels, with images of 64 pixels. `dualad` goes without its mutual information here, unless
    the parameters ask for it: it costs time, and moved no table of RESULTS.md that the command is for. A training
    that is killed goes on when called again: its state stands in OUT.training.pt until the model is saved. image_size:
    the longer side of the frame that all images are resized to, its aspect ratio the median of the normal images
    (`dualad_lib.data.folders.frame_of`); None takes the detector's own `default_image_size`; (height, width) sets the
    frame. channels and strict as in `dualad_lib.data.read_images`. Files of more than 8 bits are read with the white
    of the normal images, and the model keeps it.

    calibration: a folder of further normal images that set the threshold; without it a tenth of `normal`, drawn at
    random, is held back. Copies of one picture stay on one side of that and set the threshold once; copies of normal
    images in `calibration` are left out. Where several images show the same part, its views must not stand on both
    sides: give such a folder, or `by`, a regular expression that finds the part's name in each path inside `normal`
    (its first group, or all that it finds); then whole parts are held back. Without `by` this is done where file names,
    or runs of images that are alike, tell clearly of parts. A detector on principal components takes fewer than its
    default where there are too few images for them. Every such choice is said in one line. Raises DataError for what
    cannot be used, for an `out` that cannot be written, and while another call is at the same `out`.
    """
    out = writable(out)
    if out.suffix != ".safetensors":
        raise DataError(f"the model file must end in .safetensors, got {shown(out)}.")
    model = unfitted(detector, features, parameters or {})
    check_numbers(model)  # before the seed divides parts
    if by is not None:
        by = part_pattern(by)
        if calibration is not None:
            raise DataError("by divides the normal images, calibration brings others: give one of the two.")
    normal = expand(normal)
    if calibration is not None:
        check_apart(normal, calibration)
    longer = model.default_image_size if image_size is None else image_size
    with only_writer(out):
        reader = Reader(normal, longer, channels, keep_aspect=True)
        others = None if calibration is None else reader.like(calibration)
        files = [*reader.files, *(others.files if others else ())]
        check_places([(out, "the model")], [(path, "one of the images") for path in files])
        images, paths = read_all(reader, strict, say)
        names = [name_in(path, normal) for path in paths]
        if others is None:
            images, held, of_parts = sides(images, names, by, model.seed, say)
        else:
            held, others_paths = read_all(others, strict, say)
            others_names = [name_in(path, expand(calibration)) for path in others_paths]
            held = without_copies(images, held, names, others_names, say)
            of_parts = ""
        learned = (
            len(images) if held is not None else len(hold_back(torch.arange(len(images)), model.seed)[0])
        )
        if "n_components" not in (parameters or {}):
            _bound_components(model, learned, images[0].numel(), say)
        state = out.with_name(with_ending(out.name, ".training.pt"))
        if isinstance(model, Trained):
            model.fit(images, calibration=held, checkpoint=state, label="training")
        else:
            model.fit(images, calibration=held)
        model.reading_ = {"white": reader.white, "kinds": sorted(reader.kinds)}
        model.save(out)
        state.unlink(missing_ok=True)
    frame = (
        f"{reader.size[0]} x {reader.size[1]} (height x width), {('grey', 'colour')[reader.channels == 3]}"
    )
    count = len(model.calibration_scores_)
    seen, whole = getattr(model, "backbone", None), getattr(model, "_whole", False)
    name = f"{detector} on features of {seen}" if seen else detector
    name += ", each image as a whole (no heat maps)," if whole else ""
    say(
        f"{shown(out)}: {name} for images of {frame}, trained on {learned}; {count}{of_parts} held back to set the "
        f"threshold for a false-alarm rate of {model.false_alarm_rate:g}."
    )
    return model


def _bound_components(model, learned, pixels, say):
    """Leave a detector no more principal components than its images have: n images about their mean have n - 1."""
    wanted, most = getattr(model, "n_components", None), max(1, min(learned - 1, pixels))
    if wanted is not None and wanted > most:
        model.set_params(n_components=most)
        say(f"{most} principal components instead of {wanted}: {learned} images to learn from have no more.")


def unfitted(detector, features, parameters):
    """The unfitted detector; DataError for what it does not take."""
    on_features = detector in ("dualad", *STAGES)
    if on_features:
        own = LEFT_OUT if detector == "dualad" else {}
        parameters = {**own, **parameters, "features": DEFAULT_FEATURES if features == "auto" else features}
    elif features not in ("auto", "none"):
        raise DataError(f"{detector} has no choice of features: only dualad and its stages have.")
    known = create(detector, **({"features": parameters["features"]} if on_features else {})).get_params()
    for name in set(parameters) - set(known):
        raise DataError(f"{detector} has no {name!r} to set: it takes {', '.join(known)}.")
    model = create(detector, **parameters)
    if isinstance(model, FeatureDetector) and "precision" not in parameters:
        model.set_params(
            precision="float32"
        )  # its file may score on a machine without bfloat16, or be exported
    return model
