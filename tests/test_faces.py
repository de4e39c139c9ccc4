"""Face anti-spoofing on made-up folders of the two sets' layouts."""

import numpy as np
import pytest
from PIL import Image

from dualad_lib import PCA, DataError
from dualad_lib.data.readers.faces import read_casia, read_replay
from dualad_lib.evaluation import cross_dataset_hter, equal_error_threshold


def video(folder, brightness, frames=6):
    folder.mkdir(parents=True)
    random = np.random.default_rng(abs(hash(str(folder))) % 2**32)
    for number in range(frames):
        noise = random.integers(-20, 20, (24, 20, 3))
        Image.fromarray(np.clip(brightness + noise, 0, 255).astype(np.uint8)).save(
            folder / f"{number:05d}.png"
        )


@pytest.fixture(scope="module")
def casia(tmp_path_factory):
    root = tmp_path_factory.mktemp("casia")
    for part in ("train_release", "test_release"):
        for subject in ("1", "2", "3"):
            for clip in ("1", "2", "3", "HR_1", "HR_2", "notes"):
                video(root / part / subject / clip, 100 if clip in ("1", "2", "HR_1") else 220)
    return root


@pytest.fixture(scope="module")
def replay(tmp_path_factory):
    root = tmp_path_factory.mktemp("replay")
    for part in ("train", "devel", "test"):
        for clip in range(4):
            video(root / part / "real" / f"client{clip}", 100)
        for kind in ("fixed", "hand"):
            for clip in range(2):
                video(root / part / "attack" / kind / f"client{clip}", 220)
    return root


def test_casia_tells_real_clips_by_their_names(casia):
    faces = read_casia(casia, "train", side=16, frames=3)
    assert faces.images.shape == (3 * 5 * 3, 3, 16, 16)
    assert int(faces.labels.sum()) == 3 * 2 * 3  # clips 3 and HR_2
    assert "1/notes" not in faces.clips and "1/HR_2" in faces.clips


def test_replay_tells_real_clips_by_their_folder(replay):
    faces = read_replay(replay, "development", side=16, frames=2)
    assert len(faces) == 16 and int(faces.labels.sum()) == 8
    labels, scores = faces.by_clip(faces.images.float().mean((1, 2, 3)).numpy())
    assert len(labels) == 8 and scores[labels == 1].min() > scores[labels == 0].max()


def test_across_data_sets_at_the_development_threshold(casia, replay):
    """Any threshold separates the test set: that it is the development set's is held against that set's own scores."""
    learn, tune = (read_replay(replay, part, 16) for part in ("train", "development"))
    model = PCA(n_components=4)
    error, threshold = cross_dataset_hter(model, learn, tune, read_casia(casia, "test", 16))
    labels, scores = tune.by_clip(model.anomaly_scores(tune.images).final)
    assert error == 0 and threshold == equal_error_threshold(labels, scores)


@pytest.mark.parametrize(
    ("read", "part", "message"),
    [
        (read_casia, "development", "no part 'development'"),
        (read_replay, "devel", "no part 'devel'"),
        (read_replay, "test", "no video"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, read, part, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, part)
