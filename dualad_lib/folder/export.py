"""Fitted detectors on features as ONNX files: the backbone, the scores and the heat map in one graph."""

import json

import torch
from torch import nn
from torch.nn import functional as F

from ..detectors.feature_neighbours import FeatureNeighbours
from ..detectors.features import FeatureDetector, top_mean
from ..errors import DataError
from ..files import atomic_write

OPSET = 20


def export_onnx(detector, path):
    """Write a fitted detector on features as an ONNX file that onnxruntime runs to the same scores.

    Input "image": float32 (N, C, H, W) in [0, 1], of the model's frame. Outputs: "score", float32 (N,), the final
    score, and, of a detector with heat maps, "map", float32 (N, H, W). The file's metadata hold the frame, the
    threshold, the false-alarm rate and the calibration scores (JSON), for verdicts and p-values. It computes in
    float32. Returns the names of the outputs. Raises DataError for a detector that is not on features, or is not
    exported (its `exports` is False), or was fitted in bfloat16, or where the packages are missing.
    """
    if not (isinstance(detector, FeatureDetector) and detector.exports):
        raise DataError(
            f"a {type(detector).__name__} cannot be exported: fit a detector on features (dualad, patchcore, padim, "
            "feature_neighbours)."
        )
    detector._check_fitted()
    detector = detector._as_fitted()
    if detector.precision_ != "float32":
        raise DataError(
            f"this {type(detector).__name__} set its threshold in {detector.precision_}, and an exported graph "
            "computes in float32, so its scores would be others: fit it with precision='float32', as `dualad fit` does."
        )
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch's exporter needs it)
    except ImportError:
        raise DataError("exporting needs more packages: pip install 'dualad[export]'") from None
    graph = _Graph(detector).eval()
    image = torch.zeros(2, *detector.image_shape_)  # two: a batch of one would be taken for a constant
    outputs = ["score", "map"] if graph.has_map else ["score"]
    with torch.no_grad():
        program = torch.onnx.export(
            graph,
            (image,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["image"],
            output_names=outputs,
            dynamic_shapes=({0: torch.export.Dim("N", min=1, max=4096)},),
            verbose=False,
        )
    model = program.model_proto
    about = {
        "detector": type(detector).__name__,
        "image_shape": list(detector.image_shape_),
        "threshold": detector.threshold_,
        "false_alarm_rate": detector.false_alarm_rate,
        "calibration_scores": detector.calibration_scores_.tolist(),
    }
    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in about.items()})
    with atomic_write(path) as temporary:
        onnx.save(model, str(temporary))
    return outputs


class _Graph(nn.Module):
    """A fitted detector as one function of images, on the CPU and in float32."""

    def __init__(self, detector):
        super().__init__()
        self.detector = type(detector)(**{**detector.get_params(), "device": "cpu", "precision": "float32"})
        self.detector.image_shape_ = detector.image_shape_
        self.has_map = not (isinstance(detector, FeatureNeighbours) or getattr(detector, "_whole", False))
        self.detector._restore({name: value.detach().cpu() for name, value in detector._state().items()})

    def forward(self, image):
        detector = self.detector
        x = detector._seen(image)
        if isinstance(detector, FeatureNeighbours):
            return detector._distances(detector._pooled_of(x)).float()
        places = detector._places(detector._features(x))
        score = detector._final({name: top_mean(value) for name, value in places.items()}).float()
        if not self.has_map:  # it judges whole images
            return score
        maps = F.interpolate(
            detector._heat(places)[:, None],
            size=detector.image_shape_[1:],
            mode="bilinear",
            align_corners=False,
        )
        return score, maps[:, 0].float()
