"""Tables of RESULTS.md of what frozen features give."""

from dualad_lib.experiments.feature_tables import (
    alarms_table,
    kinds_table,
    peers_table,
    photographs_table,
    practitioner_table,
    whole_table,
)


def row(dataset, detector, score, auroc, k=0, setting="", seed=0):
    return {"dataset": dataset, "detector": detector, "score": score, "auroc": auroc} | {
        "normal_class": k,
        "setting": setting,
        "seed": seed,
    }


def measure(dataset, detector, setting, name, value, seed=0):
    return {"dataset": dataset, "detector": detector, "setting": setting, "measure": name} | {
        "value": value,
        "seed": seed,
    }


def test_whole_images_have_a_line_a_setting_and_say_how_many_classes():
    rows = [row("cifar10", "feature_neighbours", "score", 0.9 + k / 1000, k) for k in range(10)]
    rows += [
        row("cifar10", "dualad", score, value, 3, "features")
        for score, value in (("pixel", 0.7), ("latent", 0.8), ("dual", 0.9))
    ]
    lines = whole_table(rows).splitlines()
    assert lines[0] == "| detector | CIFAR-10 | MNIST | Fashion-MNIST |"
    assert lines[2] == "| FeatureNeighbours (DN2) | 90.5 |  |  |"
    assert lines[3] == "| ... + D + FC + MI = DualAD | 70.0 / 80.0 / 90.0 (1 classes) |  |  |"
    assert len(lines) == 4 and whole_table([]) == "Not measured yet."


def test_photographs_are_means_over_splits_image_and_pixel():
    rows = [
        row("magnetic_tiles", "patchcore", "score", v, setting="parts", seed=s)
        for s, v in enumerate((0.8, 0.9))
    ]
    rows.append(row("ball_screws", "dualad", "dual", 0.95, setting="time, features"))
    rows.append(row("ball_screws", "dualad", "pixel", 0.1, setting="time, features"))
    maps = [measure("ball_screws", "dualad", "time, features", "pixel_auroc", 0.985)]
    lines = photographs_table(rows, maps).splitlines()
    assert lines[2:] == ["| PatchCore | 85.0 |  |  |", "| ... + D + FC + MI = DualAD |  | 95.0 / 98.5 |  |"]


def test_alarms_have_their_range_and_kinds_their_columns():
    measures = [
        measure("magnetic_tiles", "padim", "parts", "false_alarms", v, s) for s, v in enumerate((0.02, 0.1))
    ]
    measures += [
        measure("magnetic_tiles", "padim", "parts", f"auroc {k}", v)
        for k, v in (("Crack", 0.5), ("Break", 1))
    ]
    assert alarms_table(measures).splitlines()[2:] == ["| PaDiM | 6.0 (2.0, 10.0), 2 |  |  |"]
    assert kinds_table(measures).splitlines()[0::2] == [
        "| image AUROC, tiles | break | crack |",
        "| PaDiM | 100.0 | 50.0 |",
    ]


def test_peers_stand_side_by_side_with_ratios():
    rows = []
    for side, values in (("ours", (0.9, 0.8, 1, 200)), ("anomalib", (0.8, 0.9, 5, 100))):
        rows += [
            {"dataset": "screws", "what": f"{side}: PaDiM", "measure": name, "value": value}
            for name, value in zip(("image AUROC", "pixel AUROC", "fit", "scored"), values, strict=True)
        ]
    for name, value in (("fit", 5), ("scored", 2)):
        rows.append(
            {
                "dataset": "screws",
                "what": "ours over anomalib: PaDiM",
                "measure": f"{name}, times as fast",
                "value": value,
            }
        )
    (line,) = peers_table(rows).splitlines()[2:]
    assert line == (
        "| PaDiM, screws | 90.0 / 80.0 | 80.0 / 90.0 | 1.0 / 5.0 | 200 / 100 | fit 5.0, scoring 2.0 |"
    )


def test_a_model_alone_has_no_rate():
    own = {"image": "8 x 9", "seconds": "2.0", "images_a_second": "1.0", "peak_gb": "1.1", "machine": "here"}
    rows = [
        {"command": "dualad fit", "images": "2", **own},
        {"command": "dualad export", "images": "0", **own},
    ]
    assert practitioner_table(rows).splitlines()[4:] == [
        "| `dualad fit` | 2 of 8 x 9 | 2.0 | 1.0 | 1.1 |",
        "| `dualad export` | model of 8 x 9 | 2.0 |  | 1.1 |",
    ]
