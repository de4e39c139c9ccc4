"""The grid finishes every cell once, whatever dies on the way."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from dualad_lib import RunError
from dualad_lib.cli import main
from dualad_lib.runs import grid as grid_module
from dualad_lib.runs import results
from dualad_lib.runs.grid import Cell, grid, reproduce, run_cell
from dualad_lib.runs.results import read_results

MEASURED = ("auroc", "average_precision", "fpr95", "hter")


def quiet(line):
    pass


def figures(folder):
    """What a grid measured, without the times that differ from run to run."""
    rows = read_results(folder / "results" / "06_benchmark_digits.csv")
    return {(r["detector"], r["normal_class"], r["seed"], r["score"]): [r[n] for n in MEASURED] for r in rows}


def finished(folder):
    log = folder / "finished.log"
    return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []


def test_a_grid_is_the_product_of_what_is_asked():
    cells = grid(["digits"], ["pca", "dualad"], [1, 2], seeds=2, profile="smoke")
    assert len(cells) == len({cell.name for cell in cells}) == 8
    assert len(grid(["digits"], ["pca", "dualad"], [1, 2], 1, "smoke", stacked=True)) == 3
    assert {cell.dataset for cell in grid(profile="paper")} == {"mnist", "fashion_mnist", "cifar10"}
    with pytest.raises(RunError, match="unknown method 'vae': choose from pca"):
        grid(methods=["vae"])


def test_finished_cells_are_not_done_again_and_failed_ones_are_tried_again(tmp_path, monkeypatch):
    cells = grid(["digits"], ["pca", "knn"], [0, 1], profile="smoke")
    monkeypatch.setattr(grid_module, "_pool", _serial)
    true, calls = results.measure, []

    def measure(detector, **rest):
        calls.append(detector)
        if detector == "knn":
            raise ValueError("no neighbours today")
        return true(detector, **rest)

    monkeypatch.setattr(results, "measure", measure)
    rows, errors = reproduce(cells, tmp_path, "python", say=quiet)
    assert len(rows) == 2
    assert errors == {c.name: "ValueError: no neighbours today" for c in cells if c.method == "knn"}
    assert "no neighbours today" in (tmp_path / "failed" / f"{cells[-1].name}.txt").read_text()
    monkeypatch.setattr(results, "measure", true)
    rows, errors = reproduce(cells, tmp_path, "python", say=quiet)
    assert (len(rows), errors) == (4, {})
    assert calls.count("pca") == 2
    assert not list((tmp_path / "failed").iterdir())
    assert sorted(finished(tmp_path)) == sorted(cell.name for cell in cells)


def _serial(scheduler, workers, threads, say):
    from contextlib import nullcontext

    return nullcontext(grid_module._in_turn)


def test_cells_are_done_in_their_order(tmp_path):
    cells = grid(["digits"], ["knn", "pca", "kde"], range(4), profile="smoke")
    reproduce(cells, tmp_path, "python", workers=1, say=quiet)
    assert finished(tmp_path) == [cell.name for cell in cells]


def test_a_stacked_group_writes_one_cell_a_class(tmp_path):
    (group,) = grid(["digits"], ["dualad_d"], [0, 1, 2], profile="smoke", stacked=True)
    rows = run_cell(group, tmp_path)
    names = sorted(path.name for path in (tmp_path / "cells").glob("*.json"))
    assert names == [f"digits-p2-test-{k}-dualad_d-0-smoke.json" for k in range(3)]
    assert rows == 9
    assert Cell("digits", "dualad_d", (1,), 0, "smoke").rows(tmp_path) is not None


def start(folder, *more):
    command = [
        "reproduce",
        "--profile",
        "smoke",
        "--executor",
        "python",
        "--output",
        str(folder),
        *GRID,
        *more,
    ]
    code = f"from dualad_lib.cli import main; raise SystemExit(main({command!r}))"
    return subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], stdout=subprocess.PIPE, text=True)


GRID = ["--methods", "pca", "knn", "autoencoder", "dualad", "--seeds", "1"]  # 40 cells


def wait_for(condition, what, seconds=180):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, f"waited in vain for {what}"
        time.sleep(0.1)


def children(pid):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    parent = int(re.sub(r".*\) \S ", "", file.read()).split()[0])
            except OSError:
                continue
            if parent == pid:
                found += [int(entry), *children(int(entry))]
    return found


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="finds its worker processes through /proc")
def test_forty_cells_survive_the_death_of_the_runner_and_of_a_worker(tmp_path):
    """kill -9 of a worker, then of the runner, then once more to the end: all cells once, results undisturbed."""
    disturbed, calm = tmp_path / "disturbed", tmp_path / "calm"
    runner = start(disturbed, "--workers", "2")
    wait_for(lambda: len(finished(disturbed)) >= 5, "five cells")
    worker = int((disturbed / "finished.log").read_text().split()[-1])
    os.kill(worker, signal.SIGKILL)
    before = len(finished(disturbed))
    wait_for(lambda: len(finished(disturbed)) >= before + 5, "five more cells after the death of a worker")
    left = children(runner.pid)
    runner.kill()
    runner.wait()
    assert len(finished(disturbed)) < 40
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in left), "the orphaned workers to end")
    again = start(disturbed, "--workers", "2")
    assert "40 of 40 cells finished" in again.communicate()[0]
    assert sorted(finished(disturbed)) == sorted(set(finished(disturbed)))
    assert len(finished(disturbed)) == 40
    assert start(calm, "--workers", "2").wait() == 0
    assert figures(disturbed) == figures(calm)


def test_a_running_scheduler_is_used_by_its_address(tmp_path):
    from distributed import Client, LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=None
    ) as cluster:
        address = cluster.scheduler_address
        what = ["--methods", "pca", "knn", "--classes", "0", "1", "--output", str(tmp_path)]
        where = ["--profile", "smoke", "--executor", "python", "--scheduler", address]
        assert main(["reproduce", *where, *what]) == 0
        with Client(address) as client:
            workers = {int(name) for name in client.run(os.getpid).values()}
    log = (tmp_path / "finished.log").read_text().splitlines()
    assert {int(line.split()[1]) for line in log} <= workers
    assert len(log) == 4


def test_workers_keep_the_memory_that_a_training_step_needs_again(monkeypatch):
    from distributed import Client

    monkeypatch.delenv(
        "MALLOC_TRIM_THRESHOLD_", raising=False
    )  # a Dask cluster of another test leaves its own
    with grid_module._local_cluster(1, 2) as cluster, Client(cluster) as client:
        (environment,) = client.run(lambda: dict(os.environ)).values()
    assert "MALLOC_TRIM_THRESHOLD_" not in environment


def test_a_cell_is_a_run_of_the_benchmark_notebook(tmp_path, monkeypatch):
    (cell,) = grid(["digits"], ["pca"], [3], profile="smoke")
    assert run_cell(cell, tmp_path, "papermill") == 1
    assert (tmp_path / "notebooks" / cell.name / "06_benchmark.ipynb").exists()
    assert cell.rows(tmp_path)[0]["normal_class"] == 3


def test_a_second_call_keeps_the_rows_of_the_first(tmp_path):
    for method in ("pca", "knn"):
        reproduce(grid(["digits"], [method], [0], profile="smoke"), tmp_path, "python", workers=1, say=quiet)
    rows = read_results(tmp_path / "results" / "06_benchmark_digits.csv")
    assert [row["detector"] for row in rows] == ["knn", "pca"]


@pytest.mark.parametrize(
    "name, preset, gpu",
    [("0", "", "0"), ("5", "", "1"), ("alone", "", ""), ("1", "4,5,6,7", "5"), ("alone", "4,5", "4,5")],
)
def test_each_local_worker_takes_a_gpu_of_its_own(monkeypatch, name, preset, gpu):
    """On a machine of four GPUs, made up: worker 5 takes GPU 1, of the GPUs that a cluster has given its own.

    One that has no number leaves the choice to torch.
    """
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr("distributed.get_worker", lambda: type("Worker", (), {"name": name}))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", preset)  # restored after the test
    grid_module._take_own_gpu()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == gpu
