"""What training and scoring cost on this machine, on complete data: figures to read, not limits that can fail.

    uv run --group benchmarks pytest tests/benchmarks --benchmark-json=cost.json

Needs MNIST and CIFAR-10 where `load_one_class` finds them ($DUALAD_DATA). All cores are used; keep the machine idle.
"""

import pytest
import torch

from dualad_lib import DataNotFoundError, load_one_class
from dualad_lib.detectors import create
from dualad_lib.runs.settings import table_settings

CASES = [("mnist", 1), ("cifar10", 3)]  # the largest class of MNIST, any of CIFAR-10
STAGES = ["autoencoder", "dualad_d", "dualad_d_fc", "dualad"]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case[0])
def task(request):
    dataset, normal_class = request.param
    try:
        return load_one_class(dataset, normal_class, download=False)
    except DataNotFoundError as error:
        pytest.skip(f"{dataset} is not here: {str(error).splitlines()[0]}")


@pytest.mark.parametrize("stage", STAGES)
def test_train_one_class_then_score_its_test_set(task, stage, benchmark):
    """The time of `fit`, calibration and all; `extra_info` holds the seconds that scoring the test set took."""
    import time

    create("autoencoder", steps=1).fit(task.train[:100])  # what a process pays once
    settings = table_settings(task.dataset, stage)
    model = benchmark.pedantic(lambda: create(stage, **settings).fit(task.train), rounds=1)
    start = time.perf_counter()
    model.anomaly_scores(task.test)
    benchmark.extra_info.update(
        score_seconds=time.perf_counter() - start,
        images=len(task.train),
        scored=len(task.test),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
    )
