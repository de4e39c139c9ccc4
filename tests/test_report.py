"""The tables of RESULTS.md are drawn from results files and from nothing else."""

import pytest

from dualad_lib import RunError
from dualad_lib.experiments import report, speed
from dualad_lib.experiments.results import COLUMNS, read_results, write_results


def row(dataset, detector, score, auroc, normal_class=0, **more):
    filled = dict.fromkeys(COLUMNS, "")
    numbers = dict.fromkeys(("average_precision", "fpr95", "train_seconds", "score_seconds"), 0.5)
    keys = {"dataset": dataset, "detector": detector, "score": score, "auroc": auroc, "hter": None}
    common = {"protocol": "one_vs_rest", "seed": 0, "evaluation": "honest", "normal_class": normal_class}
    common["profile"] = "paper"
    return {**filled, **numbers, **keys, **common, **more}


def test_means_marks_and_gaps():
    rows = [row("mnist", "pca", "score", 0.9, k) for k in range(10)]
    rows += [row("mnist", "autoencoder", "latent", 0.95 + 0.002 * k, k) for k in range(10)]
    rows += [row("cifar10", "pca", "score", 0.55)]
    table = report.mean_table(rows).splitlines()
    assert table[0] == "| detector | MNIST | Fashion-MNIST | CIFAR-10 |"
    assert "| PCA, 32 components, reconstruction error | 90.0 |  | 55.0 (1 classes) |" in table
    assert "| autoencoder, latent score | **95.9** |  |  |" in table


def test_rows_of_other_settings_do_not_count():
    rows = [
        *[row("mnist", "pca", "score", 0.9, k) for k in range(10)],
        row("mnist", "pca", "score", 0.1, evaluation="best epoch on test"),
    ]
    assert "90.0" in report.mean_table(rows)
    assert "90.0" in report.mean_table([*rows, row("mnist", "pca", "score", 0.1, setting="patterns=10")])


def test_several_seeds_bring_an_interval():
    """Means 0.8 and 0.9: deviation 0.0707, t(0.975, 1) = 12.706, half = 12.706 * 7.07 / sqrt(2) = 63.5."""
    rows = [
        row("mnist", "pca", "score", 0.8 + 0.1 * seed, k, seed=seed) for k in range(10) for seed in (0, 1)
    ]
    assert "| **85.0 ± 63.5** |  |  |" in report.mean_table(rows)


def test_classes_and_costs():
    rows = [
        row("mnist", "dualad", "dual", 0.9 + 0.01 * k, k, train_seconds=50.2, score_seconds=9.8)
        for k in range(10)
    ]
    assert "| MNIST | 90.0 | 91.0 |" in report.class_table(rows)
    assert report.class_table(rows).endswith("99.0 | 94.5 |")
    assert "| + mutual information = DualAD | 50 + 10 |  |  |" in report.cost_table(rows)


def test_what_each_path_costs():
    """89 cells of 360 s, one of 3960 s: 10 h alone; on 16 machines no less than the longest. Half a table: nothing."""
    times = {"train_seconds": 300.0, "score_seconds": 60.0}
    rows = [row("mnist", m, "dual", 0.9, k, **times) for m in report.DETECTORS for k in range(10)]
    rows[0]["train_seconds"] = 3900.0
    lines = report.path_table([*rows, row("cifar10", "pca", "score", 0.5)]).splitlines()
    assert lines[2].endswith("| 10.0 h |  |  |")
    assert lines[3].endswith("| 1.1 h |  |  |")


def test_what_each_part_adds():
    """Steps of +1.0, +5.0 and -0.2 points on every class: intervals of no width, ten, ten and no classes gain."""
    rows = [
        row("mnist", stage, "dual", auroc, k)
        for stage, auroc in (
            ("autoencoder", 0.9),
            ("dualad_d", 0.91),
            ("dualad_d_fc", 0.96),
            ("dualad", 0.958),
        )
        for k in range(10)
    ]
    assert report.parts_table(rows).splitlines()[2:] == [
        "| + image discriminator | +1.00 [+1.00, +1.00], 10 of 10 |  |  |",
        "| + Feature Constraint | +5.00 [+5.00, +5.00], 10 of 10 |  |  |",
        "| + mutual information = DualAD | -0.20 [-0.20, -0.20], 0 of 10 |  |  |",
    ]


def test_figures_are_drawn_from_rows(tmp_path):
    report.draw_figures([], tmp_path)
    assert not list(tmp_path.iterdir())
    report.draw_figures([row("mnist", "dualad", "dual", 0.9, k) for k in range(9)], tmp_path)
    assert not list(tmp_path.iterdir())  # nine classes are no table
    report.draw_figures([row("mnist", "dualad", "dual", 0.9, k) for k in range(10)], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["ablation.png"]


def test_the_frontier_has_means_of_the_points_that_all_classes_have(tmp_path):
    def point(k, setting, seconds, reached, method="dualad"):
        return {
            "dataset": "mnist", "normal_class": str(k), "method": method, "setting": setting,
            "seconds": str(seconds), "auroc": str(reached),
        }  # fmt: skip

    rows = [
        point(0, "steps=30", 4, 0.9), point(8, "steps=30", 6, 0.8), point(0, "steps=10", 2, 0.7),
        point(8, "steps=10", 2, 0.5), point(0, "steps=100", 20, 0.99), point(0, "default", 1, 0.6, "pca"),
        point(8, "default", 3, 0.8, "pca"),
    ]  # fmt: skip
    found = speed.frontier_lines(rows)["mnist"]
    assert found["DualAD"] == (pytest.approx([2, 5]), pytest.approx([60, 85]))
    assert found["PCA"] == (pytest.approx([2]), pytest.approx([70]))
    report.draw_frontier([], tmp_path)
    assert not list(tmp_path.iterdir())
    report.draw_frontier(rows, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["frontier.png"]


def test_before_and_now_stand_side_by_side():
    def state(name, fit, score, one, reached):
        return {
            "dataset": "mnist", "class": "8", "state": name, "images": "5266", "fit_seconds": str(fit),
            "score_2000_seconds": str(score), "score_one_ms": str(one), "auroc": str(reached), "machine": "M",
        }  # fmt: skip

    table = speed.faster_table([state("before", 60, 3.0, 30, 0.942), state("now", 30, 0.5, 6, 0.951)])
    assert table.splitlines()[-1] == (
        "| mnist, class 8, 5,266 images | 60 / 30 (2.0 times) | 3 / 0.5 (6.0 times) | 30 / 6 (5.0 times) | "
        "94.2 / 95.1 |"
    )


def test_markers_are_filled_and_the_rest_is_left(monkeypatch):
    monkeypatch.setattr(report, "TABLES", {"t": lambda: "| table |"})
    assert report.render("a\n<!-- t -->\nold\n<!-- /t -->\nb") == "a\n<!-- t -->\n| table |\n<!-- /t -->\nb"
    with pytest.raises(RunError, match="markers <!-- t -->"):
        report.render("no markers")


def test_collect_takes_over_rows_and_leaves_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    with pytest.raises(RunError, match="no results file"):
        report.collect(tmp_path)
    write_results(
        [row("mnist", "pca", "score", 0.9), row("mnist", "knn", "score", 0.8)], tmp_path / "study.csv"
    )
    assert report.collect(tmp_path) == [tmp_path / "results" / "study.csv"]
    write_results([row("mnist", "pca", "score", 0.7)], tmp_path / "study.csv")
    report.collect(tmp_path)
    there = {r["detector"]: r["auroc"] for r in read_results(tmp_path / "results" / "study.csv")}
    assert there == {"pca": 0.7, "knn": 0.8}


def test_rows_of_a_trial_run_do_not_replace_measurements(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path / "ours")
    write_results([row("mnist", "pca", "score", 0.5, profile="smoke")], tmp_path / "tables_mnist.csv")
    with pytest.raises(
        RunError, match=r"tables_mnist\.csv holds rows of the profile 'smoke'.*folder of its own"
    ):
        report.collect(tmp_path)
    assert not (tmp_path / "ours").exists()


def test_collect_takes_over_files_of_an_old_name(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path / "ours")
    old = row("mnist", "pca", "score", 0.9, command="dualad reproduce --study 09_adegan --methods pca")
    write_results([old], tmp_path / "09_adegan_mnist.csv")
    assert report.collect(tmp_path) == [tmp_path / "ours" / "adegan_mnist.csv"]
    (found,) = read_results(tmp_path / "ours" / "adegan_mnist.csv")
    assert found["command"] == "dualad reproduce --study adegan --methods pca"


def test_collect_takes_over_the_measures_that_stand_beside_the_results(tmp_path, monkeypatch):
    from dualad_lib.experiments.results import merge_measures, read_measures

    def measure(dataset, value):
        keys = {
            "detector": "pca",
            "setting": "",
            "seed": 0,
            "profile": "paper",
            "shift": "none",
            "measure": "pro",
        }
        return {"dataset": dataset, **keys, "value": value, "count": 3, "command": "made"}

    monkeypatch.setattr(report, "RESULTS", tmp_path / "ours")
    run = tmp_path / "run"
    write_results([row("mnist", "pca", "score", 0.9)], run / "results" / "tiles_mnist.csv")
    merge_measures([measure("mnist_sample", 0.1)], run / "measures" / "tiles_mnist_sample.csv")
    merge_measures([measure("mnist", 0.5)], run / "measures" / "tiles_mnist.csv")
    merge_measures([measure("mnist", 0.3)], tmp_path / "ours" / "measures" / "tiles_mnist.csv")
    report.collect(run / "results")
    found = read_measures("tiles", tmp_path / "ours" / "measures")
    assert {(r["dataset"], r["value"]) for r in found} == {("mnist", 0.5), ("mnist_sample", 0.1)}
    assert len(found) == 2


def test_systems_stand_beside_what_was_published_and_a_verdict():
    def all_classes(auroc, **more):
        return [row("mnist", "lrgdan", "score", auroc, k, study="lrgdan", **more) for k in range(10)]

    flawed = row("cifar10", "agad", "score", 0.97, study="agad", setting="apart")
    flawed["evaluation"] = "batch statistics"
    rows = [
        *all_classes(0.91, protocol="80_20", hter=0.2),
        *all_classes(0.98, setting="full"),
        row("mnist", "lrgdan", "score", 0.7, setting="AE+D", study="lrgdan"),
        flawed,
        {**flawed, "evaluation": "honest", "auroc": 0.6},
        row("mnist", "adegan", "pixel", 0.2, study="adegan", protocol="leave_one_class_out"),
        row("mnist", "adegan", "dual", 0.7, study="adegan", protocol="leave_one_class_out"),
        row("mnist", "knn", "score", 0.87, study="adegan", protocol="leave_one_class_out"),
    ]
    lines = report.systems_table(rows).splitlines()[2:]
    assert lines[0] == "| 09 | MNIST | P1 | lrgdan | honest | 91.0 | 20.0 | 10 | 98.5, not reproduced |"
    assert "98.0 |  | 10 | 98.5, reproduced |" in lines[1]
    assert lines[2].endswith("| 1 | 53.1, not comparable, few classes |")
    assert lines[3].endswith("| batch statistics | 97.0 |  | 1 |  |")
    assert lines[4].endswith("98.3, very likely an artefact |")
    assert len(lines) == 7 and "70.0" in lines[5] and "knn" in lines[6]


def test_features_link_to_lines_that_are_there():
    import re

    from dualad_lib.course.provenance import ROOT
    from dualad_lib.detectors import SYSTEMS
    from dualad_lib.experiments.systems import feature_table, lesson_of

    text = feature_table([row("mnist", "lrgdan", "score", 0.9, protocol="80_20")])
    links = re.findall(r"\[([^]]*)\]\(([^)#]*)#L(\d+)\)", text)
    assert len(links) > 25
    for name, path, number in links:
        line = (ROOT / path).read_text(encoding="utf-8").splitlines()[int(number) - 1]
        assert line.startswith(("def ", "class ", "@")), (name, line)
    assert "P1: mnist" in text
    for system in (system for system in SYSTEMS.values() if system.lesson):
        source = ROOT / f"notebooks/sources/{lesson_of(system)}.py"
        assert f"# ## {system.lesson[1]}\n" in source.read_text(encoding="utf-8")


def test_the_package_is_taken_apart_on_the_classes_that_all_settings_have():
    main = [row("mnist", "dualad_d", "dual", 0.8, k, setting="") for k in (0, 4)]
    main += [row("mnist", "dualad_d_fc", "dual", 0.9 + 0.02 * k, k, setting="") for k in (0, 4)]
    study = [row("mnist", "dualad_d_fc", "dual", 0.7, 0, setting=name) for name in report.PACKAGE]
    study.append(row("mnist", "dualad_d_fc", "dual", 0.1, 4, setting="copies"))
    lines = report.package_table(main, study).splitlines()
    assert lines[0] == "| dual score | MNIST, class 0 |"
    assert lines[2] == "| nothing of it | 80.0 |" and lines[4] == "| copies alone | 70.0 |"
    assert lines[-1] == "| copies, critic and sphere | 90.0 |"
    assert report.package_table(main, []).splitlines()[2] == "| nothing of it |"


def test_nothing_is_taken_over_where_a_file_is_no_results_file(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path / "ours")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    write_results([row("mnist", "pca", "score", 0.9, train_seconds=1.0)], theirs / "a_mnist.csv")
    (theirs / "b_other.csv").write_text("metric,value\nx,1\n")
    with pytest.raises(RunError, match=r"b_other\.csv is no whole results file.*does not name the columns"):
        report.collect(theirs)
    assert not (tmp_path / "ours").exists()


def test_nothing_is_taken_over_where_any_file_is_damaged(tmp_path, monkeypatch):
    ours, run = tmp_path / "ours", tmp_path / "run"
    monkeypatch.setattr(report, "RESULTS", ours)
    write_results([row("mnist", "pca", "score", 0.9, train_seconds=1.0)], run / "results" / "a_mnist.csv")
    for damaged in (run / "measures" / "a_mnist.csv", ours / "measures" / "a_mnist.csv"):
        damaged.parent.mkdir(parents=True)
        damaged.write_text("metric,value\nx,1\n")
        with pytest.raises(RunError, match=r"measures/a_mnist\.csv is no whole results file"):
            report.collect(run / "results")
        assert not (ours / "a_mnist.csv").exists()
        damaged.write_text(MEASURES)


MEASURES = (
    "dataset,detector,setting,seed,profile,shift,measure,value,count,command\n"
    "mnist,pca,,0,paper,none,pro,0.5,3,made\n"
)


def test_files_of_an_old_and_a_new_name_go_into_one(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path / "ours")
    write_results([row("mnist", "pca", "score", 0.9)], tmp_path / "09_adegan_mnist.csv")
    write_results([row("mnist", "knn", "score", 0.8)], tmp_path / "adegan_mnist.csv")
    assert report.collect(tmp_path) == [tmp_path / "ours" / "adegan_mnist.csv"]
    found = read_results(tmp_path / "ours" / "adegan_mnist.csv")
    assert {r["detector"] for r in found} == {"pca", "knn"}
