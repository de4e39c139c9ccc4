import gzip
import hashlib
import os
import pickle
import re
import runpy
import struct
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from dualad_lib import load_image_folder, load_labelled_anomalies, load_one_class
from dualad_lib.data import DATASETS, as_images, formats, load_part, places, read_images, registry
from dualad_lib.data.readers.published import read_once
from dualad_lib.errors import DataError, DataNotFoundError

ROOT = Path(__file__).resolve().parents[1]


def files(name):
    """The FileSet of a named set."""
    return registry.SETS[name].read.__self__


# ---------------------------------------------------------------- as_images


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", ">f4", "longdouble"])
@pytest.mark.parametrize("shape", [(5, 8, 6), (5, 1, 8, 6), (5, 3, 8, 6)])
def test_as_images_accepts_every_layout_and_type(dtype, shape):
    x = np.ones(shape, dtype)
    forms = [x, list(x), x[::-1]]
    if dtype in ("uint8", "float16", "float32", "float64"):
        forms += [torch.from_numpy(x), list(torch.from_numpy(x))]
    for form in forms:
        y = as_images(form)
        assert y.shape == (5, shape[1] if len(shape) == 4 else 1, 8, 6)
        assert y.dtype == (torch.uint8 if dtype == "uint8" else torch.float32)
        assert (y == 1).all()


def test_as_images_keeps_values_and_order_and_clamps_rounding():
    x = np.linspace(0, 1, 24).reshape(2, 3, 4)
    assert np.allclose(as_images(x)[:, 0], x)
    assert np.array_equal(as_images(x[::-1, :, ::-1])[:, 0], x[::-1, :, ::-1].astype(np.float32))
    y = as_images(np.array([[[-1e-7, 1 + 1e-6 / 2]] * 2]))
    assert y.min() == 0
    assert y.max() == 1
    x.flags.writeable = False
    as_images(x.astype(np.float32))
    z = torch.rand(1, 1, 4, 4, requires_grad=True)
    assert not as_images(z).requires_grad


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full((2, 4, 4), np.nan), "NaN"),
        (np.full((2, 4, 4), np.inf), "infinite"),
        (np.zeros((0, 4, 4)), "No images"),
        (np.zeros((2, 0, 4)), "No images"),
        ([], "list is empty"),
        (np.zeros((4, 4)), re.escape("x[None]")),
        (np.zeros((1, 2, 3, 4, 4)), "must have shape"),
        (np.zeros((2, 8, 8, 3)), "channels last"),
        (torch.zeros(2, 8, 8, 1), "channels last"),
        (np.zeros((8, 8, 3)), "one image with channels last"),
        (np.zeros((2, 8, 8, 4)), "channels last"),
        (np.zeros((2, 8, 8, 2)), "channels last"),
        (np.zeros((8, 8, 4)), "one image with channels last"),
        ([torch.zeros(4, 4, dtype=torch.bfloat16)] * 2, "must hold arrays of numbers"),
        ([[[0.0, 0.0], [0.0]]] * 2, "must hold arrays of numbers"),
        (np.full((2, 4, 4), 255.0), "divide by 255"),
        (np.full((2, 4, 4), -0.5), "from -0.5 to -0.5"),
        (np.full((2, 4, 4), 1.001), "1.001"),
        (np.zeros((2, 4, 4), np.int64), "int64.*astype"),
        (np.zeros((2, 4, 4), np.uint16), "uint16.*astype"),
        (torch.zeros(2, 4, 4, dtype=torch.bool), "bool.*float32"),
        (np.zeros((2, 4, 4), complex), "complex128"),
        ([np.zeros((4, 4)), np.zeros((4, 5))], r"different sizes: \(4, 4\), \(4, 5\)"),
        ("images", "<U6"),
        (None, "object"),
    ],
)
def test_as_images_refuses_what_it_cannot_use(x, message):
    with pytest.raises(DataError, match=message):
        as_images(x)


# ---------------------------------------------------------------- the sets that ship


def test_sample_is_the_documented_file():
    path = places.shipped("fashion_mnist_sample.npz")
    content = path.read_bytes()
    readme = (ROOT / "data" / "README.md").read_text()
    assert hashlib.sha256(content).hexdigest() in readme
    assert f"{len(content):,} bytes" in readme
    assert len(content) < 8e6
    with np.load(path, allow_pickle=False) as sample:
        for part, count in {"train": 1000, "test": 200}.items():
            assert sample[f"{part}_images"].shape == (10 * count, 28, 28)
            assert sample[f"{part}_images"].dtype == np.uint8
            assert np.array_equal(np.bincount(sample[f"{part}_labels"]), [count] * 10)
            assert (np.diff(sample[f"{part}_index"]) > 0).all()


@pytest.mark.skipif(not Path(files("fashion_mnist").system).is_dir(), reason="Debian's copy is not installed")
def test_sample_equals_the_original_files(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["make_sample.py", "--check"])
    main = runpy.run_path(str(ROOT / "data" / "make_sample.py"))["main"]
    assert main() == 0
    assert capsys.readouterr().out.count("equal the originals") == 2


def test_digits_use_the_full_grey_scale_and_every_image_once():
    train, test = (load_part("digits", part) for part in ("train", "test"))
    assert len(train.images) + len(test.images) == 1797
    assert train.images.dtype == torch.uint8
    assert set(train.images.unique().tolist()) == {round(v * 255 / 16) for v in range(17)}
    fractions = torch.bincount(test.labels) / torch.bincount(torch.cat([train.labels, test.labels]))
    assert ((fractions > 0.19) & (fractions < 0.21)).all()


# ---------------------------------------------------------------- protocols


def rows(x):
    """One hashable per image, to compare images as sets."""
    return [bytes(image.numpy().tobytes()) for image in x]


@pytest.mark.parametrize("dataset", ["fashion_mnist_sample", "digits"])
def test_p2_trains_on_one_class_and_tests_on_everything(dataset):
    train, test = (load_part(dataset, part) for part in ("train", "test"))
    task = load_one_class(dataset, normal_class=4)
    assert torch.equal(task.train, train.images[train.labels == 4])
    assert torch.equal(task.test, test.images)
    assert torch.equal(task.test_classes, test.labels)
    assert torch.equal(task.test_labels, (test.labels != 4).long())
    assert task.train.dtype == task.test.dtype == torch.uint8
    assert task.test_labels.dtype == task.test_classes.dtype == torch.int64
    assert task.train.ndim == 4
    assert task.name == f"{dataset}/one_vs_rest/class4/seed0"
    assert task.normal_name == DATASETS[dataset][4]
    assert task.anomaly_class is None


def test_protocols_are_still_known_by_their_old_names():
    with pytest.warns(FutureWarning, match="'p1' is now called '80_20'"):
        assert load_one_class("digits", 3, protocol="p1").protocol == "80_20"
    with pytest.raises(DataError, match="anomaly_class is for the protocol leave_one_class_out"):
        load_one_class("digits", anomaly_class=3, protocol="80_20")


def test_loo_leaves_the_named_class_out_as_the_anomaly():
    train, test = (load_part("digits", part) for part in ("train", "test"))
    task = load_one_class("digits", anomaly_class=4)
    assert task.name == load_one_class("digits", normal_class=4, protocol="leave_one_class_out").name
    assert torch.equal(task.train, train.images[train.labels != 4])
    assert torch.equal(task.test, test.images)
    assert torch.equal(task.test_labels, (test.labels == 4).long())
    assert task.anomaly_class == 4
    assert task.normal_name == "all but 4"


def test_p1_pools_one_class_and_balances_with_test_anomalies():
    train, test = (load_part("fashion_mnist_sample", part) for part in ("train", "test"))
    task = load_one_class("fashion_mnist_sample", normal_class=2, protocol="80_20", seed=3)
    pool = torch.cat([train.images[train.labels == 2], test.images[test.labels == 2]])
    normal = task.test[task.test_labels == 0]
    assert len(task.train) == 960
    assert sorted(rows(task.train) + rows(normal)) == sorted(rows(pool))  # every image once, on one side
    anomalies = task.test[task.test_labels == 1]
    assert len(anomalies) == len(normal) == 240
    assert set(rows(anomalies)) <= set(rows(test.images[test.labels != 2]))
    assert ((task.test_classes != 2) == (task.test_labels == 1)).all()
    assert len(set(task.test_classes.tolist())) == 10
    other = load_one_class("fashion_mnist_sample", normal_class=2, protocol="80_20", seed=4)
    assert not torch.equal(other.train, task.train)
    again = load_one_class("fashion_mnist_sample", normal_class=2, protocol="80_20", seed=3)
    assert torch.equal(again.train, task.train)
    assert torch.equal(again.test, task.test)


@pytest.mark.parametrize("protocol", ["80_20", "one_vs_rest", "leave_one_class_out"])
def test_development_split_divides_the_training_images(protocol):
    train = load_part("fashion_mnist_sample", "train")
    task = load_one_class("fashion_mnist_sample", 1, protocol, split="development", seed=5)
    source = rows(train.images)
    assert set(rows(task.train)) <= set(source)
    assert set(rows(task.test)) <= set(source)
    repeated = {row for row in source if source.count(row) > 1} if len(set(source)) < len(source) else set()
    assert not (set(rows(task.train)) & set(rows(task.test))) - repeated
    normals, anomalies = int((task.test_labels == 0).sum()), int((task.test_labels == 1).sum())
    sizes = {
        "80_20": (800, 200, 200),
        "one_vs_rest": (800, 200, 1800),
        "leave_one_class_out": (7200, 1800, 200),
    }
    assert (len(task.train), normals, anomalies) == sizes[protocol]
    assert task.name.endswith("seed5/development")
    other = load_one_class("fashion_mnist_sample", 1, protocol, split="development", seed=6)
    assert not torch.equal(other.train, task.train)
    again = load_one_class("fashion_mnist_sample", 1, protocol, split="development", seed=5)
    assert torch.equal(again.test, task.test)


def test_writing_into_a_task_does_not_change_the_next_one():
    first = load_one_class("digits", 0)
    kept = first.test.clone(), first.train.clone(), first.test_classes.clone()
    first.test.zero_(), first.train.zero_(), first.test_classes.zero_()
    second = load_one_class("digits", 0)
    assert all(map(torch.equal, (second.test, second.train, second.test_classes), kept))


def test_task_reads_well_and_is_frozen():
    task = load_one_class("digits", np.int64(3))
    assert str(task) == (
        "Task(digits/one_vs_rest/class3/seed0: 146 training images 1x8x8, 359 test images of which 322 anomalous)"
    )
    with pytest.raises(AttributeError):
        task.train = None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "imagenet"}, "Unknown data set 'imagenet'.*fashion_mnist_sample.*cifar10"),
        ({"normal_class": 10}, "from 0 to 9 for digits, not 10"),
        ({"normal_class": -1}, "from 0 to 9"),
        ({"normal_class": 1.5}, "from 0 to 9"),
        ({"normal_class": "cat"}, "not 'cat'"),
        ({"dataset": "cifar10", "normal_class": 11}, "3 = cat"),
        ({"protocol": "p3"}, "Unknown protocol 'p3'; choose one of one_vs_rest, 80_20, leave_one_class_out"),
        ({"split": "train"}, "Unknown split 'train'; choose one of test, development"),
        ({"seed": -1}, "seed must be"),
        ({"seed": "one"}, "seed must be"),
    ],
)
def test_wrong_arguments_are_named_with_the_choices(arguments, message):
    with pytest.raises(DataError, match=message):
        load_one_class(**{"dataset": "digits", **arguments})


# ---------------------------------------------------------------- sets kept as files


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


def write_tiny_set(folder, count=40):
    """A set of 2 x 3 pixels in MNIST's files; image i holds the value i, its label is i % 10."""
    for part, first in {"train": 0, "t10k": 100}.items():
        values = np.arange(first, first + count, dtype=np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte", np.tile(values[:, None, None], (1, 2, 3)))
        write_idx(folder / f"{part}-labels-idx1-ubyte", values % 10)


def checksums(folder, names):
    return {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in names}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Let "mnist" and "fashion_mnist" be tiny sets, and no place on this machine hold any; return a data folder."""
    from dataclasses import replace

    model = tmp_path / "model"
    write_tiny_set(model)
    for name in ("mnist", "fashion_mnist"):
        known = files(name)
        small = replace(
            known,
            train=checksums(model, known.train),
            test=checksums(model, known.test),
            system=None if known.system is None else str(tmp_path / "system"),
        )
        monkeypatch.setitem(registry.SETS, name, registry.SETS[name]._replace(read=small.read))
    monkeypatch.delenv("DUALAD_DATA", raising=False)
    monkeypatch.setattr(places, "own_folder", lambda: tmp_path / "own")
    read_once.cache_clear()
    yield tmp_path
    read_once.cache_clear()


def test_idx_files_are_read_plain_and_packed(tiny):
    write_tiny_set(tiny / "a" / "MNIST" / "raw")
    write_tiny_set(tiny / "b" / "MNIST" / "raw")
    for path in (tiny / "b" / "MNIST" / "raw").iterdir():
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), mtime=1))
        path.unlink()
    for root in ("a", "b"):
        task = load_one_class("mnist", 7, root=tiny / root, download=False)
        assert task.train[:, 0, 1, 2].tolist() == [7, 17, 27, 37]
        assert task.train.shape == (4, 1, 2, 3)
        assert task.test[:, 0, 0, 0].tolist() == list(range(100, 140))
        assert task.test_classes.tolist() == [i % 10 for i in range(40)]


def test_cifar_batches_are_read_and_verified_before_unpickling(tmp_path, monkeypatch):
    from dataclasses import replace

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    known = files("cifar10")
    names = [*known.train, *known.test]
    for number, name in enumerate(names):
        data = np.zeros((10, 3, 32, 32), np.uint8)
        data[:, 0], data[:, 1], data[:, 2, 5, 7] = number, 100, 200
        (folder / name).write_bytes(pickle.dumps({"data": data.reshape(10, -1), "labels": list(range(10))}))
    small = replace(known, train=checksums(folder, known.train), test=checksums(folder, known.test))
    monkeypatch.setitem(registry.SETS, "cifar10", registry.SETS["cifar10"]._replace(read=small.read))
    task = load_one_class("cifar10", 2, root=tmp_path, download=False)
    assert task.train.shape == (5, 3, 32, 32)
    assert task.train[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert (task.train[:, 1] == 100).all()
    assert (task.train[:, 2, 5, 7] == 200).all()
    assert task.test[0, 0, 0, 0] == 5

    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    (folder / "test_batch").write_bytes(pickle.dumps(Harmful()))
    read_once.cache_clear()
    with pytest.raises(DataError, match="test_batch is truncated or damaged"):
        load_one_class("cifar10", 2, root=tmp_path, download=False)
    assert not (tmp_path / "ran").exists()


def test_places_are_searched_in_the_documented_order(tiny, monkeypatch):
    monkeypatch.setenv("DUALAD_DATA", str(tiny / "named"))
    write_tiny_set(tiny / "system")
    assert files("fashion_mnist").find(download=False) == tiny / "system"
    write_tiny_set(tiny / "own" / "FashionMNIST" / "raw")
    assert files("fashion_mnist").find(download=False) == tiny / "own" / "FashionMNIST" / "raw"
    write_tiny_set(tiny / "named" / "FashionMNIST" / "raw")
    assert files("fashion_mnist").find(download=False) == tiny / "named" / "FashionMNIST" / "raw"
    write_tiny_set(tiny / "asked" / "FashionMNIST" / "raw")
    assert files("fashion_mnist").find(tiny / "asked", False) == tiny / "asked" / "FashionMNIST" / "raw"


@pytest.mark.parametrize("packed", [False, True])
def test_truncated_file_in_dualad_data_is_named_not_passed_over(tiny, monkeypatch, packed):
    write_tiny_set(tiny / "own" / "MNIST" / "raw")  # a good copy in the next place
    write_tiny_set(tiny / "named" / "MNIST" / "raw")
    broken = tiny / "named" / "MNIST" / "raw" / "train-images-idx3-ubyte"
    if packed:
        content = gzip.compress(broken.read_bytes())
        broken.unlink()
        broken = broken.with_name(broken.name + ".gz")
        broken.write_bytes(content[:-20])
    else:
        broken.write_bytes(broken.read_bytes()[:-1])
    monkeypatch.setenv("DUALAD_DATA", str(tiny / "named"))
    with pytest.raises(DataError, match=f"{re.escape(str(broken))} is truncated or damaged"):
        load_one_class("mnist", download=False)


def test_altered_and_missing_files_are_named(tiny):
    folder = tiny / "MNIST" / "raw"
    write_tiny_set(folder)
    labels = folder / "train-labels-idx1-ubyte"
    content = labels.read_bytes()
    labels.write_bytes(content[:-1] + b"\x00")  # one label changed, the length kept
    with pytest.raises(DataError, match="train-labels-idx1-ubyte is truncated or damaged"):
        load_one_class("mnist", root=tiny, download=False)
    labels.unlink()
    with pytest.raises(DataError, match="incomplete: train-labels-idx1-ubyte is missing"):
        load_one_class("mnist", root=tiny, download=False)
    labels.mkdir()
    with pytest.raises(DataError, match="train-labels-idx1-ubyte cannot be read"):
        load_one_class("mnist", root=tiny, download=False)


def test_truncated_sample_is_named(tmp_path, monkeypatch):
    broken = tmp_path / "fashion_mnist_sample.npz"
    content = places.shipped(broken.name).read_bytes()
    monkeypatch.setattr(places, "shipped", lambda name: broken)
    for damaged in (content[:-1000], content[:100_000] + bytes(1000) + content[101_000:], b""):
        broken.write_bytes(damaged)
        with pytest.raises(DataError, match=r"fashion_mnist_sample\.npz is missing, truncated or damaged"):
            load_one_class("fashion_mnist_sample")


@pytest.mark.parametrize("protocol", ["80_20", "one_vs_rest", "leave_one_class_out"])
def test_development_split_opens_no_test_file(tiny, protocol):
    folder = tiny / "MNIST" / "raw"
    write_tiny_set(folder)
    for path in folder.glob("t10k-*"):
        path.write_bytes(b"not to be read")
    task = load_one_class("mnist", 3, protocol, split="development", root=tiny, download=False)
    assert task.test.max() < 100  # values from 100 on are test images
    with pytest.raises(DataError, match="t10k"):
        load_one_class("mnist", 3, protocol, root=tiny, download=False)
    for path in folder.glob("t10k-*"):
        path.unlink()
    load_one_class("mnist", 3, protocol, split="development", seed=1, root=tiny, download=False)


def test_files_are_read_once_a_process(tiny, monkeypatch):
    write_tiny_set(tiny / "MNIST" / "raw")
    opened = []
    read = formats.read_checked
    monkeypatch.setattr(formats, "read_checked", lambda path, md5: opened.append(path) or read(path, md5))
    for k in range(10):
        load_one_class("mnist", k, root=tiny, download=False)
    assert len(opened) == 4


# ---------------------------------------------------------------- downloads, without a network


def fake_torchvision(monkeypatch, name, download):
    """Put `download(root)` in the place of torchvision's loader."""
    import torchvision.datasets

    monkeypatch.setattr(torchvision.datasets, name, lambda root, download: run(Path(root)))
    run = download


def test_nothing_found_and_no_download_lists_places_and_ways(tiny, monkeypatch):
    monkeypatch.setenv("DUALAD_DATA", str(tiny / "named"))
    with pytest.raises(DataNotFoundError) as caught:
        load_one_class("fashion_mnist", download=False)
    message = str(caught.value)
    for place in ("named", "own", "system"):
        assert str(tiny / place) in message
    for way in ("download=True", "DUALAD_DATA=", "apt install dataset-fashion-mnist", "fashion_mnist_sample"):
        assert way in message
    assert isinstance(caught.value, (DataError, FileNotFoundError))


def test_no_network_is_one_clear_error_and_leaves_nothing(tiny, monkeypatch):
    def download(root):
        (root / "MNIST" / "raw").mkdir(parents=True)
        (root / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"half of it")
        raise URLError("Name or service not known")

    fake_torchvision(monkeypatch, "MNIST", download)
    with pytest.raises(DataNotFoundError, match="download failed.*Name or service not known"):
        load_one_class("mnist")
    assert list((tiny / "own").iterdir()) == []


def test_interrupted_download_leaves_nothing(tiny, monkeypatch):
    def download(root):
        write_tiny_set(root / "MNIST" / "raw")
        raise KeyboardInterrupt

    fake_torchvision(monkeypatch, "MNIST", download)
    with pytest.raises(KeyboardInterrupt):
        load_one_class("mnist")
    assert list((tiny / "own").iterdir()) == []


def test_download_with_wrong_contents_is_thrown_away(tiny, monkeypatch):
    def download(root):
        write_tiny_set(root / "MNIST" / "raw", count=39)

    fake_torchvision(monkeypatch, "MNIST", download)
    with pytest.raises(DataNotFoundError, match="download failed.*damaged"):
        load_one_class("mnist")
    assert list((tiny / "own").iterdir()) == []


def test_download_lands_whole_and_without_archives(tiny, monkeypatch):
    calls = []

    def download(root):
        calls.append(root)
        write_tiny_set(root / "MNIST" / "raw")
        (root / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").write_bytes(b"archive")

    fake_torchvision(monkeypatch, "MNIST", download)
    (tiny / "own" / "MNIST" / "raw").mkdir(parents=True)  # an empty folder is no obstacle
    assert len(load_one_class("mnist", 0).train) == 4
    load_one_class("mnist", 1)
    assert len(calls) == 1
    assert [path.name for path in (tiny / "own").iterdir()] == ["MNIST"]
    assert {path.name for path in (tiny / "own" / "MNIST" / "raw").iterdir()} == {
        *files("mnist").train,
        *files("mnist").test,
    }


def test_two_processes_may_download_at_once(tiny, monkeypatch):
    def download(root):
        write_tiny_set(root / "MNIST" / "raw")
        write_tiny_set(tiny / "own" / "MNIST" / "raw")  # the other one is done first

    fake_torchvision(monkeypatch, "MNIST", download)
    assert len(load_one_class("mnist", 0).train) == 4
    assert [path.name for path in (tiny / "own").iterdir()] == ["MNIST"]


def test_leftovers_of_a_killed_download_are_removed_a_day_later(tiny, monkeypatch):
    fake_torchvision(monkeypatch, "MNIST", lambda root: write_tiny_set(root / "MNIST" / "raw"))
    for name, age in {".download-old": 2 * places.DAY, ".download-new": 60}.items():
        (tiny / "own" / name).mkdir(parents=True)
        then = (tiny / "own" / name).stat().st_mtime - age
        os.utime(tiny / "own" / name, (then, then))
    load_one_class("mnist", 0)
    assert {path.name for path in (tiny / "own").iterdir()} == {"MNIST", ".download-new"}


def test_own_folder_is_the_checkout_or_the_cache(tmp_path, monkeypatch):
    assert places.own_folder() == ROOT / "data"
    monkeypatch.setattr(places, "CHECKOUT", tmp_path)  # as in site-packages
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert places.own_folder() == tmp_path / "cache" / "dualad"


def test_shipped_file_is_taken_from_the_package_first(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "PACKAGE", tmp_path)
    assert places.shipped("fashion_mnist_sample.npz") == ROOT / "data" / "fashion_mnist_sample.npz"
    (tmp_path / "_shipped").mkdir()
    (tmp_path / "_shipped" / "fashion_mnist_sample.npz").touch()
    assert places.shipped("fashion_mnist_sample.npz") == tmp_path / "_shipped" / "fashion_mnist_sample.npz"


# ---------------------------------------------------------------- image folders


def save(path, colour=128, size=(20, 20), mode="L", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


def test_image_folder_with_labels(tmp_path):
    for i in range(3):
        save(tmp_path / "train" / "deep" / f"{i}.png", i)
    save(tmp_path / "test" / "Good" / "a.png", 10)
    save(tmp_path / "test" / "ok" / "b.png", 11)
    save(tmp_path / "test" / "crack" / "sub" / "c.jpg", 12)
    save(tmp_path / "test" / "hole" / "d.bmp", 13)
    (tmp_path / "test" / "empty").mkdir()
    task = load_image_folder(tmp_path / "train", tmp_path / "test", image_size=16)
    assert task.train.shape == (3, 1, 16, 16)
    assert task.train.dtype == torch.uint8
    assert task.train[:, 0, 3, 4].tolist() == [0, 1, 2]
    assert task.class_names == ("normal", "crack", "hole")
    by_name = {path.name: i for i, path in enumerate(task.test_paths)}
    expected = {"a.png": (10, 0, 0), "b.png": (11, 0, 0), "c.jpg": (12, 1, 1), "d.bmp": (13, 1, 2)}
    for name, (value, label, number) in expected.items():
        i = by_name[name]
        assert task.test[i, 0, 8, 8] == value
        assert (task.test_labels[i], task.test_classes[i]) == (label, number)
    assert task.test_labels.dtype == task.test_classes.dtype == torch.int64
    assert task.skipped == ()
    assert task.name == "image_folder/train"
    assert task.normal_name == "normal"


def test_image_folder_warns_of_test_images_that_train(tmp_path):
    for folder, count in (("train", 5), ("test/good", 7), ("test/bad", 2)):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(count):
            Image.new("L", (8, 8), 10 * i + (100 if folder == "test/bad" else 0)).save(
                tmp_path / folder / f"{i}.png"
            )
    with pytest.warns(
        UserWarning, match=r"^5 of 9 test images are also trained on, pixel by pixel: .*0\.png, "
    ):
        load_image_folder(tmp_path / "train", tmp_path / "test", image_size=8)


def test_image_folder_without_labels_or_without_test(tmp_path):
    save(tmp_path / "train" / "a.png")
    save(tmp_path / "test" / "b.png", (1, 2, 3), mode="RGB")
    task = load_image_folder(str(tmp_path / "train"), str(tmp_path / "test"))
    assert task.test.shape == (1, 1, 64, 64)  # the channels of the training images
    assert task.test_labels is None
    assert task.test_classes is None
    assert "anomalous" not in str(task)
    task = load_image_folder(tmp_path / "train", image_size=(8, 12), channels=3)
    assert task.test is None
    assert task.train.shape == (1, 3, 8, 12)
    assert "1 training images 3x8x12" in str(task)


def test_unreadable_files_are_skipped_listed_and_warned_about_once(tmp_path):
    save(tmp_path / "train" / "a.png", 1)
    save(tmp_path / "train" / "z.png", 2)
    (tmp_path / "train" / "broken.png").write_bytes(b"no image")
    whole = save(tmp_path / "train" / "cut.jpg", 5, size=(300, 300)).read_bytes()
    (tmp_path / "train" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "train" / "notes.txt").write_text("not an image, not meant as one")
    save(tmp_path / "train" / ".hidden.png")
    with pytest.warns(UserWarning, match="Skipped 2 of 4 image files") as caught:
        task = load_image_folder(tmp_path / "train")
    assert len(caught) == 1
    assert [path.name for path in task.skipped] == ["broken.png", "cut.jpg"]
    assert [path.name for path in task.train_paths] == ["a.png", "z.png"]
    assert task.train[:, 0, 0, 0].tolist() == [1, 2]
    assert "2 unreadable files skipped" in str(task)
    with pytest.raises(DataError, match=r"broken\.png cannot be read as an image"):
        load_image_folder(tmp_path / "train", strict=True)
    (tmp_path / "train" / "a.png").unlink()
    (tmp_path / "train" / "z.png").unlink()
    with pytest.raises(DataError, match="None of 2 image files"):
        load_image_folder(tmp_path / "train")


def test_skipped_test_files_keep_labels_aligned(tmp_path):
    save(tmp_path / "train" / "a.png")
    save(tmp_path / "test" / "good" / "z.png", 20)
    save(tmp_path / "test" / "bad" / "b.png", 30)
    (tmp_path / "test" / "bad" / "a.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="Skipped 1"):
        task = load_image_folder(tmp_path / "train", tmp_path / "test")
    labels = {
        int(image[0, 0, 0]): int(label) for image, label in zip(task.test, task.test_labels, strict=True)
    }
    assert labels == {20: 0, 30: 1}


def test_folder_errors(tmp_path):
    save(tmp_path / "train" / "a.png")
    (tmp_path / "empty").mkdir()
    save(tmp_path / "mixed" / "good" / "a.png")
    save(tmp_path / "mixed" / "loose.png")
    save(tmp_path / "bad_only" / "bad" / "a.png")
    for arguments, message in [
        ((tmp_path / "absent",), "There is no folder"),
        ((tmp_path / "train" / "a.png",), "is a file"),
        ((tmp_path / "empty",), "holds no image file"),
        ((tmp_path / "train", tmp_path / "empty"), "holds no image file"),
        ((tmp_path / "train", tmp_path / "mixed"), r"beside its sub-folders \(loose\.png\)"),
        ((tmp_path / "train", tmp_path), "inside one another"),
        ((tmp_path, tmp_path / "train"), "inside one another"),
    ]:
        with pytest.raises(DataError, match=message):
            load_image_folder(*arguments)
    with pytest.warns(UserWarning, match="all its images count as anomalous"):
        assert load_image_folder(tmp_path / "train", tmp_path / "bad_only").test_labels.tolist() == [1]
    for size in (0, -3, "big", 2.5, (8,), (8, 8, 8)):
        with pytest.raises(DataError, match="image_size must be"):
            load_image_folder(tmp_path / "train", image_size=size)
    with pytest.raises(DataError, match="channels must be"):
        load_image_folder(tmp_path / "train", channels=2)
    with pytest.raises(DataError, match="list is empty"):
        read_images([])


def test_modes_are_converted_as_documented(tmp_path):
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    clear.putpixel((0, 0), (10, 20, 30, 255))
    clear.save(tmp_path / "rgba.png")
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 40, 50, 60])
    palette.save(tmp_path / "palette.gif")
    Image.fromarray(np.full((4, 4), 200 * 257, np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.full((4, 4), 0.2, np.float32)).save(tmp_path / "float.tif")
    Image.new("LA", (4, 4), (0, 0)).save(tmp_path / "la.png")
    Image.new("1", (4, 4), 1).save(tmp_path / "bits.png")
    pixels = {}
    for path in sorted(tmp_path.iterdir()):
        pixels[path.name] = read_images(path, image_size=4, channels=3)[0][0, :, 0, 0].tolist()
    assert pixels == {
        "rgba.png": [10, 20, 30],
        "palette.gif": [40, 50, 60],
        "deep.png": [200] * 3,
        "float.tif": [51] * 3,
        "la.png": [255] * 3,
        "bits.png": [255] * 3,
    }
    assert read_images(tmp_path / "rgba.png", 4, 3)[0][0, :, 2, 2].tolist() == [255] * 3  # transparent: white
    assert read_images(tmp_path / "deep.png", 4)[0].shape == (1, 1, 4, 4)
    assert read_images([tmp_path / "deep.png", tmp_path / "rgba.png"], 4)[0].shape == (2, 3, 4, 4)
    Image.fromarray(np.full((4, 4), 7.5, np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(DataError, match=r"lie outside 0\.\.1"):
        read_images(tmp_path / "float.tif")


def test_orientation_tag_is_obeyed_and_shrinking_averages(tmp_path):
    image = Image.new("L", (8, 4), 0)
    image.paste(255, (0, 0, 4, 4))  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned a quarter clockwise: white on top
    image.save(tmp_path / "turned.png", exif=exif)
    x = read_images(tmp_path / "turned.png", image_size=(8, 4))[0][0, 0]
    assert (x[:4] == 255).all()
    assert (x[4:] == 0).all()
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "board.png")
    y = read_images(tmp_path / "board.png", image_size=8)[0].float()
    assert (y - 127.5).abs().max() < 4  # without antialiasing this would be black and white


def test_links_to_parent_folders_do_not_loop(tmp_path):
    save(tmp_path / "train" / "a.png")
    (tmp_path / "train" / "loop").symlink_to(tmp_path / "train")
    (tmp_path / "linked").symlink_to(tmp_path / "train")
    assert len(load_image_folder(tmp_path / "train").train) == 1
    assert len(load_image_folder(tmp_path / "linked").train) == 1


def write_views(folder, objects=100, angles=range(0, 360, 90), side=40):
    """A folder laid out as COIL-100: every pixel of a view tells its object."""

    folder.mkdir(parents=True)
    for number in range(1, objects + 1):
        for angle in angles:
            Image.new("RGB", (side, side), (number, 0, 200)).save(folder / f"obj{number}__{angle}.png")


def test_coil100_views_are_read_by_the_object_in_their_name(tiny):
    write_views(tiny / "coil-100", angles=(0, 5, 10, 25, 350))
    (tiny / "coil-100" / "obj3__notes.png").write_bytes(b"not a view")
    task = load_one_class("coil100", 11, root=tiny)  # object 12
    assert task.image_shape == (3, 32, 32) and task.class_names[11] == "12"
    assert len(task.train) == 2 and (task.train[:, 0] == 12).all() and (task.train[:, 2] == 200).all()
    assert len(task.test) == 300  # 0, 25 and 350 degrees of every object are tested on
    assert (task.test[task.test_labels == 0][:, 0] == 12).all()


def test_coil100_under_protocol_1(tiny):
    write_views(tiny / "coil-100", angles=range(0, 360, 36))
    task = load_one_class("coil100", 0, protocol="80_20", root=tiny)
    assert len(task.train) == 8 and task.test_labels.tolist() == [0, 0, 1, 1]


def test_coil100_with_an_object_missing_names_it(tiny):
    write_views(tiny / "coil-100", objects=99, angles=(0, 5))
    with pytest.raises(DataError, match="no train view of object 100"):
        load_one_class("coil100", 0, root=tiny)


def test_coil100_that_is_nowhere_says_how_to_get_it(tiny):
    with pytest.raises(DataNotFoundError, match=r"coil-100.zip(.|\n)*copy obj1__0.png"):
        load_one_class("coil100", 0)


def test_a_link_inside_the_test_folder_gives_no_second_label(tmp_path):
    for place, count in (("normal", 12), ("test/bad", 3), ("test/good", 5)):
        (tmp_path / place).mkdir(parents=True)
        for i in range(count):
            pixels = np.random.default_rng([count, i]).integers(0, 255, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / place / f"{i}.png")
    os.symlink("..", tmp_path / "test" / "bad" / "all")
    os.symlink("good", tmp_path / "test" / "more")
    task = load_image_folder(tmp_path / "normal", tmp_path / "test")
    assert len(task.test) == 8 and task.test_labels.sum() == 3


def test_arguments_that_contradict_one_another_are_refused():
    with pytest.raises(DataError, match="Give one of the two"):
        load_one_class("digits", normal_class=5, anomaly_class=3)
    for kinds in (3, np.array([3]), iter([3])):
        assert len(load_labelled_anomalies("digits", 0, 0.1, kinds=kinds))
    with pytest.raises(DataError, match="share must lie in"):
        load_labelled_anomalies("digits", 0, "0.1")
