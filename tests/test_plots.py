"""Figures: drawn, labelled, told apart without colour, and never shown without alt text."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from dualad_lib import plots

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.random((4, 1, 8, 8))
LABELS = np.repeat([0, 1], 50)
SCORES = RANDOM.normal(size=100) + LABELS


def labels_of(axis):
    return [text.get_text() for text in axis.get_legend().get_texts()]


def _canvas():
    figure, ((left, right),) = plots.canvas(6, 3, 1, 2, sharey=True)
    left.plot([0, 1], [1, 0])
    right.plot([0, 1], [0, 1])
    return figure


FIGURES = {
    "image_grid": lambda: plots.image_grid({"image": IMAGES, "error": IMAGES**2}, maps=("error",)),
    "score_histograms": lambda: plots.score_histograms(
        SCORES[LABELS == 0], SCORES[LABELS == 1], threshold=1.0
    ),
    "roc_curve": lambda: plots.roc_curve({"a": (LABELS, SCORES), "b": (LABELS, -SCORES)}),
    "losses": lambda: plots.losses({"G": np.linspace(1, 0.1, 60), "D": np.ones(60)}),
    "auroc_bars": lambda: plots.auroc_bars({"autoencoder": {"pixel": 0.8, "dual": (0.9, 0.85, 0.95)}}),
    "sweep": lambda: plots.sweep(
        [2, 4], {"a": [0.7, 0.8], "b": ([0.7, 0.8], [0.6, 0.7], [0.8, 0.9])}, xlabel="d"
    ),
    "loss_graph": lambda: plots.loss_graph(plots.PARTS),
    "spheres": lambda: plots.spheres(
        {
            "start": (IMAGES[:, 0, 0, :2], [0, 0], 1),
            "end": (IMAGES[:, 0, 0, :2], [0, 0], 1, IMAGES[:, 0, 1, :2]),
        }
    ),
    "codes_2d": lambda: plots.codes_2d(
        {
            "a": {"bag": IMAGES[:, 0, 0, :2], "shoe": IMAGES[:, 0, 1, :2]},
            "b": {"shoe": 9 + IMAGES[:, 0, 1, :2]},
        },
        spheres={"b": ([9, 9], 1.0)},
    ),
    "who_chooses": lambda: plots.who_chooses(1000, 9000, 200, 1800),
    "score_plane": lambda: plots.score_plane(
        RANDOM.normal(size=(30, 2)), RANDOM.normal(size=(50, 2)) + 2, {"equal": (0.5, 0.5, 1.0)}
    ),
    "sound": lambda: plots.sound(
        RANDOM.normal(size=4000), {"bands": (IMAGES[0, 0], np.linspace(4000, 100, 8))}, rate=8000, hop=500
    ),
    "canvas": _canvas,
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_a_small_png_and_leaves_pyplot_alone(name):
    import matplotlib
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    figure = FIGURES[name]()
    data = plots.png(figure)
    assert isinstance(figure, Figure)
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == before
    assert len(data) < 150_000
    image = Image.open(io.BytesIO(data))
    assert image.width <= 1100
    assert np.asarray(image.convert("L")).std() > 1  # something is drawn


@pytest.mark.parametrize("name", ["score_histograms", "roc_curve", "losses", "sweep"])
def test_axes_are_labelled(name):
    axis = FIGURES[name]().axes[0]
    assert axis.get_xlabel() and axis.get_ylabel() and labels_of(axis)


@pytest.mark.parametrize("name", ["roc_curve", "losses", "sweep"])
def test_lines_differ_in_more_than_colour(name):
    axis = FIGURES[name]().axes[0]
    strong = [line for line in axis.lines if line.get_alpha() is None]
    styles = {(line.get_linestyle(), line.get_marker()) for line in strong}
    assert len(strong) > 1
    assert len(styles) == len(strong)


def test_histograms_and_bars_differ_in_hatch():
    bars = plots.auroc_bars({"a": {"pixel": 0.8, "latent": 0.9}}).axes[0].patches
    assert len({bar.get_hatch() for bar in bars}) == 2
    hatches = {patch.get_hatch() for patch in FIGURES["score_histograms"]().axes[0].patches}
    assert len(hatches) == 2


def test_bars_write_their_values_in_per_cent():
    texts = [text.get_text() for text in FIGURES["auroc_bars"]().axes[0].texts]
    assert {"80.0", "90.0"} <= set(texts)


def test_roc_legend_names_the_area():
    first, second, _ = labels_of(FIGURES["roc_curve"]().axes[0])
    a, b = (float(text.split(": ")[1]) for text in (first, second))
    assert a > 60
    assert a + b == pytest.approx(100, abs=0.11)


def test_captions_stand_below_the_images_of_their_row():
    rows = {"a": IMAGES[:2], "b": IMAGES[2:4]}
    axes = plots.image_grid(rows, captions={"b": ["12 %", "90 %"]}).axes
    assert [axis.get_xlabel() for axis in axes] == ["", "", "12 %", "90 %"]
    with pytest.raises(ValueError, match="zip"):
        plots.image_grid(rows, captions={"b": ["one"]})


def test_image_grid_takes_uint8_and_colour_and_refuses_ragged_rows():
    colour = (255 * RANDOM.random((2, 3, 8, 8))).astype(np.uint8)
    figure = plots.image_grid({"x": colour}, titles=["a", "b"])
    assert figure.axes[0].images[0].get_array().shape == (8, 8, 3)
    assert figure.axes[0].get_ylabel() == "x"
    with pytest.raises(ValueError, match="same number"):
        plots.image_grid({"x": colour, "y": colour[:1]})
    with pytest.raises(ValueError, match="3 titles for 2"):
        plots.image_grid({"x": colour}, titles="abc")


def test_maps_share_one_scale():
    figure = plots.image_grid({"a": IMAGES, "b": 3 * IMAGES}, maps=("a", "b"))
    assert len({axis.images[0].get_clim() for axis in figure.axes[:8]}) == 1


def test_sweep_refuses_a_line_of_wrong_length():
    with pytest.raises(ValueError, match="3 numbers for 2"):
        plots.sweep([1, 2], {"a": [1, 2, 3]}, xlabel="d")


def test_loss_graph_grows_by_part():
    texts = {}
    for part in ("", *plots.PARTS):
        figure = plots.loss_graph((part,) if part else ())
        texts[part] = {text.get_text() for text in figure.axes[0].texts}
    for part in plots.PARTS:
        assert texts[""] < texts[part]
    assert len(set(map(frozenset, texts.values()))) == 5
    everything = {text.get_text() for text in plots.loss_graph(plots.PARTS).axes[0].texts}
    assert everything == set().union(*texts.values())
    with pytest.raises(ValueError, match="Unknown part 'E'"):
        plots.loss_graph(("E",))


def test_show_carries_alt_text(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *args, **kwargs: shown.append((args, kwargs)))
    plots.show(FIGURES["losses"](), alt='The "loss"\n    falls.')
    ((data,), options) = shown[0]
    assert options["metadata"]["image/png"]["alt"] == 'The "loss" falls.'
    assert data["text/plain"] == 'The "loss" falls.'
    assert base64.b64decode(data["image/png"])[:4] == b"\x89PNG"


@pytest.mark.parametrize("alt", ["", "  ", None])
def test_show_refuses_empty_alt_text(alt):
    with pytest.raises(ValueError, match="alt text"):
        plots.show(FIGURES["losses"](), alt=alt)


def test_sphere_is_drawn_where_mean_squares_over_coordinates_are_r_squared():
    axis = plots.spheres({"a": (np.random.default_rng(0).normal(size=(50, 2)), [1.0, 2.0], 3.0)}).axes[0]
    circle = axis.lines[0].get_xydata()
    assert np.square(circle - [1.0, 2.0]).mean(1) == pytest.approx(9)


def test_rules_in_the_score_plane_are_weighted_sums_at_their_threshold():
    rules = {"equal": (0.5, 0.5, 1.0), "flat": (0.0, 1.0, 2.0), "first only": (1.0, 0.0, 1.5)}
    figure = plots.score_plane(np.zeros((5, 2)), np.ones((5, 2)), rules)
    equal, flat, upright = figure.axes[0].lines
    assert (equal.get_xy1(), equal.get_slope()) == ((0, 2.0), -1.0)
    assert (flat.get_xy1(), flat.get_slope()) == ((0, 2.0), 0.0)
    assert list(upright.get_xdata()) == [1.5, 1.5]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["anomalous (5)", "normal (5)", *rules]


def test_ablation_cells_carry_their_values_and_gaps_stay_empty():
    table = pd.DataFrame({"pixel": [80.0, 81.0], "dual": [90.04, np.nan]}, index=["autoencoder", "+ D"])
    figure = plots.ablation_heatmap({"MNIST": table, "CIFAR-10": table})
    assert [text.get_text() for text in figure.axes[0].texts] == ["80.0", "90.0", "81.0"]
    assert [axis.get_title() for axis in figure.axes] == ["MNIST", "CIFAR-10"]


def test_paired_differences_stand_in_their_order():
    index = pd.MultiIndex.from_tuples([("mnist", "pca"), ("cifar10", "knn")])
    pairs = pd.DataFrame({"mean": [1.0, -2.0], "low": [0.5, -3.0], "high": [1.5, -1.0]}, index=index)
    axis = plots.paired_differences(pairs, "difference").axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["mnist: pca", "cifar10: knn"]
    assert axis.get_ylim()[0] > axis.get_ylim()[1]


def test_sound_shares_one_time_axis_and_marks_the_row_of_a_frequency():
    frequencies = np.array([4000.0, 2000.0, 1000.0, 500.0])
    figure = plots.sound(
        np.zeros(1000), {"bands": (IMAGES[0, 0, :4], frequencies)}, rate=8000, hop=125, title="a"
    )
    wave, bands = figure.axes
    assert wave.get_xlim() == bands.get_xlim() == (0, 0.125)
    marks = dict(zip((text.get_text() for text in bands.get_yticklabels()), bands.get_yticks(), strict=True))
    assert marks["4,000"] == 0 and marks["1,000"] == 2 and marks["500"] == 3


def test_codes_share_axes_and_a_group_looks_the_same_in_every_panel():
    first, second = FIGURES["codes_2d"]().axes
    assert first.get_xlim() == second.get_xlim() and first.get_ylim() == second.get_ylim()
    normal, anomalous = first.collections[1], first.collections[0]
    (again,) = second.collections
    assert anomalous.get_facecolor()[0] == pytest.approx(again.get_facecolor()[0])
    assert len(anomalous.get_paths()[0].vertices) == len(again.get_paths()[0].vertices)
    assert normal.get_facecolor()[0] != pytest.approx(again.get_facecolor()[0])


def test_codes_far_out_are_drawn_at_the_edge():
    z = np.concatenate([np.random.default_rng(0).normal(size=(500, 2)), [[1000.0, 0.0]]])
    axis = plots.codes_2d({"a": {"bag": z}}, share=0.98).axes[0]
    low, high = axis.get_xlim()
    drawn = axis.collections[0].get_offsets()
    assert high - low < 10 and len(drawn) == 501
    assert low < drawn[:, 0].min() and drawn[:, 0].max() < high


def test_histograms_say_what_lies_beyond_the_threshold_and_in_the_last_bin():
    normal, anomalous = np.linspace(0, 1, 200), np.append(np.linspace(0, 2, 199), 50.0)
    texts = {text.get_text() for text in plots.score_histograms(normal, anomalous, 0.75).axes[0].texts}
    assert "25.0 % of normal" in texts and any(text.startswith("62.") for text in texts)
    assert any("highest scores" in text and "up to 50" in text for text in texts)
    assert len(plots.score_histograms(normal, normal).axes[0].texts) == 1  # no threshold, no shares


def test_every_training_image_has_one_job_in_a_row():
    axis = FIGURES["who_chooses"]().axes[0]
    rows = {}
    for text in axis.texts:
        rows.setdefault(text.get_position()[1], []).append(int(text.get_text().split()[-1].replace(",", "")))
    fit, measure, choose = rows.values()
    assert sum(fit) == sum(choose) == 10_000 and sum(measure) == 2000
    assert fit[:2] == [900, 100] and choose[:3] == [720, 80, 200]


def test_a_score_looks_the_same_in_every_figure():
    bars = plots.auroc_bars({"a": {"latent": 0.9, "pixel": 0.8}, "PCA": {"score": 0.7}}).axes[0].patches
    lines = plots.sweep([2, 4], {"PCA": [0.7, 0.8], "latent score": [0.9, 0.9]}, xlabel="d").axes[0].lines
    latent, pixel, score = (bar.get_edgecolor()[:3] for bar in bars)
    assert to_rgb(lines[1].get_color()) == latent and to_rgb(lines[0].get_color()) == score
    assert pixel == to_rgb(plots.COLOURS[0])


def test_a_canvas_has_the_style_of_the_course():
    figure, axes = plots.canvas(6, 3, 2, 3, sharex=True)
    assert axes.shape == (2, 3) and not axes[0, 0].spines["top"].get_visible()
    axes[1, 0].set_xlim(2, 5)
    assert axes[0, 0].get_xlim() == (2, 5) and figure.dpi == plots.DPI


def test_what_no_picture_shows_is_refused():
    images = np.random.default_rng(0).random((2, 8, 8))
    for wrong, words in (
        (255 * images, "float in .0, 1.; these go from"),
        (images * np.nan, "NaN or infinity"),
    ):
        with pytest.raises(ValueError, match=words):
            plots.image_grid({"a": wrong})
    with pytest.raises(ValueError, match="Scores hold NaN"):
        plots.score_histograms([1, np.nan], [2, 3])
    with pytest.raises(ValueError, match="labels must hold both"):
        plots.roc_curve({"a": ([0, 0, 0], [1, 3, 2])})
