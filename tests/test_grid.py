"""The grid finishes every cell once, whatever dies on the way."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager, nullcontext, suppress
from types import SimpleNamespace

import pytest

from dualad_lib import DataError, RunError
from dualad_lib.cli import main
from dualad_lib.experiments import grid as grid_module
from dualad_lib.experiments import measuring
from dualad_lib.experiments.grid import grid, reproduce, run_cell
from dualad_lib.experiments.results import read_results
from dualad_lib.experiments.settings import profile_settings
from dualad_lib.experiments.studies import study

MEASURED = ("auroc", "average_precision", "fpr95", "hter")


def quiet(line):
    pass


def figures(folder):
    """What a grid measured, without the times that differ from run to run."""
    rows = read_results(folder / "results" / "tables_digits.csv")
    return {(r["detector"], r["normal_class"], r["seed"], r["score"]): [r[n] for n in MEASURED] for r in rows}


def finished(folder):
    log = folder / "finished.log"
    return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []


def test_a_grid_is_the_product_of_what_is_asked():
    cells = grid(["digits"], ["pca", "dualad"], [1, 2], seeds=2, profile="smoke")
    assert len(cells) == len({cell.name for cell in cells}) == 8
    assert {cell.dataset for cell in grid(profile="paper")} == {"mnist", "fashion_mnist", "cifar10"}
    with pytest.raises(RunError, match="unknown method 'vae': choose from pca"):
        grid(methods=["vae"])
    assert [cell.normal_class for cell in grid(["coil100"], ["pca"])] == list(range(100))


def test_what_stands_in_the_way_is_said_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "measure", lambda **options: pytest.fail("measured all the same"))
    cells = grid(["digits"], ["pca"], [0], profile="smoke")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        reproduce(cells, tmp_path / "file", "python", say=quiet)
    (tmp_path / "results").mkdir()
    (tmp_path / "cells").touch()
    with pytest.raises(DataError, match="cannot be written"):
        reproduce(cells, tmp_path, "python", say=quiet)
    (tmp_path / "cells").unlink()
    (tmp_path / "measures").mkdir()
    (tmp_path / "measures" / "tables_digits.csv").write_text("garbage\n")
    with pytest.raises(RunError, match=r"tables_digits\.csv"):
        reproduce(cells, tmp_path, "python", say=quiet)


def test_two_runners_that_end_at_once_lose_no_rows(tmp_path, monkeypatch):
    """Each reads the results file, adds its rows and writes it: one after the other."""
    cells = [grid(["digits"], [method], [0], profile="smoke") for method in ("pca", "knn")]
    for (cell,) in cells:
        run_cell(cell, tmp_path)
    true = grid_module.merge_results

    def slow(rows, path):
        known = read_results(path) if path.exists() else []
        time.sleep(0.5)
        assert (read_results(path) if path.exists() else []) == known, "somebody else wrote meanwhile"
        true(rows, path)

    monkeypatch.setattr(grid_module, "merge_results", slow)
    failed = []

    def run(own):
        try:
            reproduce(own, tmp_path, "python", say=quiet)
        except BaseException as error:
            failed.append(error)

    runners = [threading.Thread(target=run, args=[own]) for own in cells]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert not failed
    rows = read_results(tmp_path / "results" / "tables_digits.csv")
    assert {row["detector"] for row in rows} == {"pca", "knn"}


def test_finished_cells_are_not_done_again_and_failed_ones_are_tried_again(tmp_path, monkeypatch):
    cells = grid(["digits"], ["pca", "knn"], [0, 1], profile="smoke")
    monkeypatch.setattr(grid_module, "_pool", _serial)
    true, calls = measuring.measure, []

    def measure(detector, **rest):
        calls.append(detector)
        if detector == "knn":
            raise ValueError("no neighbours today")
        return true(detector, **rest)

    monkeypatch.setattr(measuring, "measure", measure)
    rows, errors = reproduce(cells, tmp_path, "python", say=quiet)
    assert len(rows) == 2
    assert errors == {c.name: "ValueError: no neighbours today" for c in cells if c.method == "knn"}
    assert "no neighbours today" in (tmp_path / "failed" / f"{cells[-1].name}.txt").read_text()
    monkeypatch.setattr(measuring, "measure", true)
    rows, errors = reproduce(cells, tmp_path, "python", say=quiet)
    assert (len(rows), errors) == (4, {})
    assert calls.count("pca") == 2
    assert not list((tmp_path / "failed").iterdir())
    assert sorted(finished(tmp_path)) == sorted(cell.name for cell in cells)


@contextmanager
def in_process(monkeypatch, workers):
    """A Dask cluster of threads of this process, which `reproduce` then takes for its local one; give the cluster."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        monkeypatch.setattr(grid_module, "_local_cluster", lambda workers, threads: cluster)
        yield cluster


def test_without_a_worker_a_grid_ends_and_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(grid_module, "PATIENCE", 0.5)
    monkeypatch.setattr(grid_module, "LOOK_EVERY", 0.1)
    cells, said = grid(["digits"], ["pca"], [0, 1], profile="smoke"), []
    run_cell(cells[0], tmp_path)
    with in_process(monkeypatch, 0):
        rows, errors = reproduce(cells, tmp_path, "python", say=said.append)
    assert list(errors) == [cells[1].name]
    assert "no Dask worker was there for 0.5 s" in errors[cells[1].name]
    assert said[1] == "no Dask worker is there: waiting for one, at most 0.5 s"
    assert "1 of 2 cells finished" in said[-2]
    assert len(rows) == 1


def test_a_cell_that_was_given_up_is_not_finished(tmp_path, monkeypatch):
    """Its future is cancelled, as that of every cell is when the scheduler dies."""
    cells, said = grid(["digits"], ["pca"], [0, 1], profile="smoke"), []
    true = grid_module._submit

    def submit(client, *rest):
        futures = true(client, *rest)
        client.cancel([future for future, cell in futures.items() if cell == cells[1]])
        return futures

    monkeypatch.setattr(grid_module, "_submit", submit)
    monkeypatch.setattr(grid_module, "run_cell", _slow_cell)
    with in_process(monkeypatch, 1):
        _, errors = reproduce(cells, tmp_path, "python", say=said.append)
    assert list(errors) == [cells[1].name]
    assert "scheduler was lost" in errors[cells[1].name]
    assert f"FAILED {cells[1].name}: {errors[cells[1].name]}" in said
    monkeypatch.undo()
    monkeypatch.setattr(grid_module, "_pool", _serial)
    assert reproduce(cells, tmp_path, "python", say=quiet)[1] == {}
    assert len(finished(tmp_path)) == 2


def _slow_cell(*arguments):
    time.sleep(0.5)
    return run_cell(*arguments)


def test_a_worker_that_was_cut_off_may_finish_its_cell(tmp_path, monkeypatch):
    """The first cell is measured by a thread that the runner knows nothing of, the second one for too long."""
    from filelock import FileLock

    monkeypatch.setattr(grid_module, "PATIENCE", 2)
    cells = grid(["digits"], ["pca"], [0, 1], profile="smoke")
    held = threading.Event()

    def work():
        grid_module._lock_path(cells[0], tmp_path).parent.mkdir()
        with FileLock(grid_module._lock_path(cells[1], tmp_path)):
            with FileLock(grid_module._lock_path(cells[0], tmp_path)):
                held.set()
                time.sleep(0.5)
                measuring.measure(normal_class=0, output=tmp_path / "cells", **cells[0].arguments())
            time.sleep(5)

    def lose(todo, output, executor, threads):
        held.wait()
        yield from ((cell, "the scheduler was lost") for cell in todo)

    worker = threading.Thread(target=work)
    worker.start()
    monkeypatch.setattr(grid_module, "_pool", lambda *rest: nullcontext(lose))
    rows, errors = reproduce(cells, tmp_path, "python", say=quiet)
    worker.join()
    assert len(rows) == 1
    assert errors == {cells[1].name: "not finished: a worker without a scheduler is still at it"}


def test_rows_that_are_not_on_disk_are_not_measured(tmp_path, monkeypatch):
    """Workers of another machine that write into a folder of their own."""
    cells = grid(["digits"], ["pca"], [0], profile="smoke")
    monkeypatch.setattr(grid_module, "run_cell", lambda cell, output, *rest: 1)
    monkeypatch.setattr(grid_module, "_pool", _serial)
    rows, errors = reproduce(cells, tmp_path, "python", say=quiet)
    assert rows == []
    assert "all workers must share that folder" in errors[cells[0].name]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_lost_scheduler_is_no_success(tmp_path, how):
    """No worker is there, so that nothing is measured."""
    from distributed import Client

    port_file = tmp_path / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(port_file)]
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", *options]
    scheduler = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_for(port_file.exists, "the scheduler")
        address = json.loads(port_file.read_text())["address"]
        runner = start(tmp_path / "out", "--scheduler", address)
        with Client(address) as client:

            def known():
                return client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))

            wait_for(lambda: known() == 40, "forty cells at the scheduler")
        scheduler.send_signal(how)
        text = runner.communicate(timeout=120)[0]
    finally:
        scheduler.kill()
        scheduler.wait()
    assert "0 of 40 cells finished" in text
    assert text.count("FAILED") == 40
    assert runner.returncode == 1


@pytest.mark.parametrize(
    "address", ["", "here", "tcp://host", "tcp://:8786", "host:0", "host:x", "host:70000", "http://host:80"]
)
def test_what_is_no_address_is_said_at_once(tmp_path, address):
    with pytest.raises(RunError, match="is no address of a Dask scheduler"):
        reproduce(grid(["digits"], ["pca"], [0], profile="smoke"), tmp_path, scheduler=address, say=quiet)


def test_addresses():
    assert grid_module.scheduler_address("host:8786") == "tcp://host:8786"
    assert grid_module.scheduler_address("tls://[::1]:8786") == "tls://[::1]:8786"


@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": -1}, {"threads": 0}])
def test_numbers_of_workers_are_checked(tmp_path, options):
    with pytest.raises(RunError, match="must be a whole number of 1 or more"):
        reproduce(grid(["digits"], ["pca"], [0], profile="smoke"), tmp_path, "python", say=quiet, **options)


def test_a_grid_of_nothing_or_of_unknown_things_is_refused():
    for wrong, message in {
        "nothing to measure": {"seeds": 0},
        "unknown data set 'letters': choose from": {"datasets": ["letters"]},
        "digits has the classes 0 to 9, and none called 10": {"datasets": ["digits"], "classes": [3, 10]},
        "none called -1": {"datasets": ["digits"], "classes": [-1]},
    }.items():
        with pytest.raises(RunError, match=wrong):
            grid(profile="smoke", **message)
    assert len(grid(["digits", "digits"], ["pca", "pca"], [0, 0, 1], profile="smoke")) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "null",
        lambda text: "[" * 100_000,
        lambda text: text.replace('"auroc"', '"area"'),
        lambda text: re.sub(r'"auroc": [\d.]+', '"auroc": "high"', text),
        lambda text: re.sub(r'"auroc": [\d.]+', '"auroc": NaN', text),
        lambda text: re.sub(r'"rows": \[.*\]', '"rows": []', text, flags=re.DOTALL),
        lambda text: re.sub(r'(rows.*"normal_class": )0', r"\g<1>3", text, flags=re.DOTALL),
        lambda text: re.sub(r'(rows.*"seed": )0', r"\g<1>3", text, flags=re.DOTALL),
        lambda text: re.sub(r'(rows.*"setting": )""', r'\g<1>"other"', text, flags=re.DOTALL),
        lambda text: re.sub(r'"auroc": [\d.]+', '"auroc": 98.5', text),
        lambda text: re.sub(r'"train_seconds": ', '"train_seconds": -', text),
        lambda text: "\ufeff" + text,
    ],
)
def test_a_damaged_cell_is_named_and_measured_again(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(grid_module, "_pool", _serial)
    cells = grid(["digits"], ["pca"], [0], profile="smoke")
    rows, _ = reproduce(cells, tmp_path, "python", say=quiet)
    (file,) = (tmp_path / "cells").glob("*.json")
    file.write_text(damage(file.read_text()), encoding="utf-8")
    with pytest.warns(UserWarning, match=rf"{re.escape(str(file))} is damaged"):
        again, errors = reproduce(cells, tmp_path, "python", say=quiet)
    assert errors == {}
    assert [r["auroc"] for r in again] == [r["auroc"] for r in rows]
    assert len(finished(tmp_path)) == 2


def test_studies_and_tables_in_one_folder_keep_each_their_own_cells(tmp_path, monkeypatch):
    monkeypatch.setattr(grid_module, "_pool", _serial)
    asked = {
        "sound": study(
            "sound", methods=["pca"], classes=[0], settings=[""], datasets=["spoken_digits"], profile="smoke"
        ),
        "tables": grid(["digits"], ["pca"], [0], profile="smoke"),
    }
    for known in (0, 1):
        for name, cells in asked.items():
            said = []
            rows, _ = reproduce(cells, tmp_path, "python", say=said.append)
            assert said[0] == f"1 cells, {known} of them finished before"
            assert [row["command"] for row in rows] == [cells[0].command()]
            assert (
                rows[0]["command"] == read_results(tmp_path / "results" / f"{name}_digits.csv")[0]["command"]
            )
    assert (
        len({cells[0].name for cells in asked.values()})
        == len(list((tmp_path / "cells").glob("*.json")))
        == 2
    )


def test_a_profile_that_is_none_is_said():
    for wrong in (
        lambda: profile_settings("papr", "mnist", "dualad"),
        lambda: grid(["digits"], ["pca"], profile="papr"),
        lambda: study("sound", profile="papr"),
        lambda: measuring.measure("pca", "digits", 0, profile="papr"),
    ):
        with pytest.raises(RunError, match="profile 'papr': choose from .*smoke"):
            wrong()


def test_a_foreign_results_file_is_named_before_anything_is_measured(tmp_path):
    file = tmp_path / "results" / "tables_digits.csv"
    file.parent.mkdir()
    file.write_text("name,score\npca,1\n")
    with pytest.raises(RunError, match="tables_digits.csv is no whole results file"):
        reproduce(grid(["digits"], ["pca"], [0], profile="smoke"), tmp_path, "python", say=quiet)
    assert not (tmp_path / "cells").exists()
    assert file.read_text() == "name,score\npca,1\n"


def _serial(scheduler, workers, threads, say):
    return nullcontext(grid_module._in_turn)


@pytest.mark.slow
def test_cells_are_done_in_their_order(tmp_path):
    cells = grid(["digits"], ["knn", "pca", "kde"], range(4), profile="smoke")
    reproduce(cells, tmp_path, "python", workers=1, say=quiet)
    assert finished(tmp_path) == [cell.name for cell in cells]


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_workers_keep_the_memory_that_a_training_step_needs_again(monkeypatch):
    from distributed import Client

    monkeypatch.delenv(
        "MALLOC_TRIM_THRESHOLD_", raising=False
    )  # a Dask cluster of another test leaves its own
    with socket.socket() as taken, warnings.catch_warnings():
        with suppress(OSError):  # as another grid does; or one has
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        warnings.filterwarnings("error", ".*is already in use")
        with grid_module._local_cluster(1, 2) as cluster, Client(cluster) as client:
            (environment,) = client.run(lambda: dict(os.environ)).values()
    assert "MALLOC_TRIM_THRESHOLD_" not in environment


def test_a_worker_is_seen_whatever_the_client_remembers():
    """The client asks for the scheduler's identity every two seconds, without the workers, and keeps that."""
    client = SimpleNamespace(nthreads=lambda: {"tcp://worker": 1}, scheduler_info=lambda: {"workers": {}})
    assert grid_module._has_workers(client)
    client.nthreads = dict
    assert not grid_module._has_workers(client)

    def lost():
        raise OSError("the scheduler is gone")

    client.nthreads = lost
    assert not grid_module._has_workers(client)


@pytest.mark.e2e
def test_a_cell_is_a_run_of_the_benchmark_notebook(tmp_path, monkeypatch):
    (cell,) = grid(["digits"], ["pca"], [3], profile="smoke")
    assert run_cell(cell, tmp_path, "papermill") == 1
    assert (tmp_path / "notebooks" / cell.name / "08_benchmark.ipynb").exists()
    assert cell.rows(tmp_path)[0]["normal_class"] == 3


@pytest.mark.slow
def test_a_second_call_keeps_the_rows_of_the_first(tmp_path):
    for method in ("pca", "knn"):
        reproduce(grid(["digits"], [method], [0], profile="smoke"), tmp_path, "python", workers=1, say=quiet)
    rows = read_results(tmp_path / "results" / "tables_digits.csv")
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
