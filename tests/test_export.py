"""ONNX files of detectors on features: onnxruntime finds the scores and heat maps that the detector finds."""

import builtins
import json

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from dualad_lib import PCA, Autoencoder, DataError, defects
from dualad_lib.cli import main
from dualad_lib.data import load_inspection
from dualad_lib.detectors.feature_agad import FeatureAGAD
from dualad_lib.detectors.feature_dualad import FeatureDualAD
from dualad_lib.detectors.feature_neighbours import FeatureNeighbours
from dualad_lib.detectors.padim import PaDiM
from dualad_lib.detectors.patchcore import PatchCore
from dualad_lib.folder.export import export_onnx
from dualad_lib.scoring import conformal_p_values

pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # thresholds of few images; what torch's exporter says of itself

_GAME = {"width": 16, "latent_dim": 8, "steps": 10, "batch_size": 8, "copies": 1}
KINDS = {
    "patchcore": lambda: PatchCore(device="cpu"),
    "padim": lambda: PaDiM(components=12, side=96, device="cpu"),
    "feature_neighbours": lambda: FeatureNeighbours(precision="float32", device="cpu"),
    "feature_dualad": lambda: FeatureDualAD(**_GAME, view="places", device="cpu"),
    "whole": lambda: FeatureDualAD(**_GAME, view="whole", device="cpu"),
}
WITHOUT_MAPS = ("feature_neighbours", "whole")


@pytest.fixture(scope="module")
def screws():
    found = load_inspection("ball_screws_sample", image_size=(40, 96))
    return found.images[found.labels == 0][:40]


@pytest.fixture(scope="module")
def new(screws):
    """Float images in [0, 1], sound and damaged."""
    torch.manual_seed(0)
    x = screws[30:33].float() / 255
    return torch.cat([x, defects.damage(x, "paste")[0], torch.zeros(1, *x.shape[1:])])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_onnxruntime_finds_the_same(kind, screws, new, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = KINDS[kind]().fit(screws[:30])
    path = tmp_path / "model.onnx"
    names = export_onnx(model, path)
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]  # weights are inside
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [o.name for o in session.get_outputs()] == names
    assert names == (["score"] if kind in WITHOUT_MAPS else ["score", "map"])

    scores = model.anomaly_scores(new).final
    run = session.run(None, {"image": new.numpy()})
    assert run[0].shape == (7,) and run[0].dtype == np.float32
    assert np.abs(run[0] - scores).max() <= 1e-3 * max(1, np.abs(scores).max())
    if len(names) == 2:
        maps = model.anomaly_map(new)
        assert run[1].shape == (7, 40, 96) and run[1].dtype == np.float32
        assert np.abs(run[1] - maps).max() <= 1e-3 * max(1, np.abs(maps).max())

    for size in (1, 3, 40):  # any batch size, to the same scores
        x = new[torch.arange(size) % 7]
        assert np.allclose(
            session.run(["score"], {"image": x.numpy()})[0], run[0][np.arange(size) % 7], atol=1e-4
        )

    about = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    assert about["detector"] == type(model).__name__ and about["image_shape"] == [3, 40, 96]
    assert about["threshold"] == model.threshold_ and about["false_alarm_rate"] == 0.05
    assert np.array_equal(about["calibration_scores"], model.calibration_scores_)
    assert np.allclose(conformal_p_values(about["calibration_scores"], run[0]), model.p_values(new), atol=0.3)


@pytest.fixture
def never(monkeypatch):
    """The exporter is not reached."""
    monkeypatch.setattr(torch.onnx, "export", lambda *args, **options: pytest.fail("exported"))


@pytest.mark.parametrize("kind", [PCA, Autoencoder, FeatureAGAD])
def test_what_has_no_graph_cannot_be_exported(kind, never, tmp_path):
    with pytest.raises(DataError, match=f"a {kind.__name__} cannot be exported: fit a detector on features"):
        export_onnx(kind(), tmp_path / "m.onnx")


def test_a_threshold_of_bfloat16_is_not_exported_beside_scores_of_float32(screws, never, tmp_path):
    model = FeatureNeighbours(precision="bfloat16", side=64, device="cpu").fit(screws[:20])
    with pytest.raises(DataError, match="set its threshold in bfloat16.*fit it with precision='float32'"):
        export_onnx(model, tmp_path / "m.onnx")


def test_what_is_not_fitted_cannot_be_exported(never, tmp_path):
    with pytest.raises(NotFittedError, match="call fit"):
        export_onnx(PatchCore(), tmp_path / "m.onnx")


@pytest.mark.parametrize("missing", ["onnx", "onnxscript"])
def test_missing_packages_are_one_error_that_says_what_to_install(
    missing, screws, monkeypatch, never, tmp_path
):
    own = builtins.__import__

    def without(name, *args, **options):
        if name.split(".")[0] == missing:
            raise ImportError(name)
        return own(name, *args, **options)

    model = FeatureNeighbours(precision="float32", device="cpu").fit(screws[:20])
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"pip install 'dualad\[export\]'"):
        export_onnx(model, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_parameters_set_since_the_fit_do_not_reach_the_file(screws, monkeypatch, tmp_path):
    """The graph is that of the fit: what was set since would not go with its tensors."""
    seen = {}

    def export(graph, *args, **options):
        seen.update(graph.detector.get_params())
        raise KeyboardInterrupt  # the rest is slow, and tried above

    monkeypatch.setattr(torch.onnx, "export", export)
    model = PatchCore(side=64, device="cpu").fit(screws[:20])
    model.set_params(side=96, levels=(1, 2))
    with pytest.raises(KeyboardInterrupt):
        export_onnx(model, tmp_path / "m.onnx")
    assert seen["side"] == 64 and seen["levels"] == (2, 3) and seen["precision"] == "float32"


def test_an_export_that_fails_leaves_the_old_file(screws, monkeypatch, tmp_path):
    model = FeatureNeighbours(precision="float32", device="cpu").fit(screws[:20])
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    monkeypatch.setattr(torch.onnx, "export", lambda *a, **o: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        export_onnx(model, path)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_the_command_says_in_one_line_what_cannot_be_exported(screws, tmp_path, capsys):
    model = tmp_path / "pca.safetensors"
    PCA(n_components=4).fit(screws[:20]).save(model)
    assert main(["export", "--model", str(model), "--onnx", str(tmp_path / "m.onnx")]) == 2
    error = capsys.readouterr().err
    assert "a PCA cannot be exported" in error and "Traceback" not in error
    assert main(["export", "--model", str(tmp_path / "none"), "--onnx", str(tmp_path / "m.onnx")]) == 2
    assert "no model file" in capsys.readouterr().err and not (tmp_path / "m.onnx").exists()
