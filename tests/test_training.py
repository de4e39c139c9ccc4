"""The training loop carries every game of the course, resumes to the same weights, and says what went wrong."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import torch
from torch import nn

from dualad_lib import DataError
from dualad_lib.course.provenance import ROOT
from dualad_lib.training import (
    Player,
    TrainingError,
    Turn,
    batch_index,
    exact_products,
    flushed_denormals,
    resolve_device,
    seeded,
    slice_batch,
    train,
    warmup_cosine,
)

IMAGES = torch.randint(0, 256, (40, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def linear(name, n_in=16, n_out=16, lr=1e-2, **options):
    with seeded(len(name)):
        module = nn.Linear(n_in, n_out)
    return Player(name, module, torch.optim.Adam(module.parameters(), lr), **options)


def flat(step, name="train"):
    return step.images[name].flatten(1)


def weights(*players):
    return [p.detach().clone() for player in players for p in player.module.parameters()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def autoencoder(player):
    return Turn(lambda step: {"rec": (player.module(flat(step)) - flat(step)).square().mean()}, player)


def test_a_loss_falls_and_every_step_is_in_the_history():
    history = train([autoencoder(linear("G"))], IMAGES, steps=60, batch_size=8)
    assert len(history["rec"]) == 60
    assert history["rec"][-1] < history["rec"][0] / 2


def test_points_are_played_with_as_well_as_images():
    """Toy games of the lessons are about points in the plane, (N, 2)."""
    points = torch.rand(40, 2)
    history = train([autoencoder(linear("G", 2, 2))], points, steps=5, batch_size=8)
    assert len(history["rec"]) == 5


def test_a_turn_moves_only_its_own_players():
    """A GAN without a single detach(): the discriminator's loss cannot reach the generator, nor the reverse."""
    G, D = linear("G"), linear("D", 16, 1)
    seen = []

    def generator(step):
        step.shared["x_hat"] = G.module(flat(step))
        return {"adv": nn.functional.softplus(-D.module(step.shared["x_hat"])).mean()}

    def critic(step):
        seen.append((weights(G), step.shared["x_hat"].requires_grad))
        real, fake = D.module(flat(step)), D.module(step.shared["x_hat"])
        return {"real_fake": (nn.functional.softplus(-real) + nn.functional.softplus(fake)).mean()}

    before = weights(G), weights(D)
    train([Turn(generator, G), Turn(critic, D)], IMAGES, steps=1, batch_size=8)
    (after_generator, requires_grad), after = seen[0], (weights(G), weights(D))
    assert not same(before[0], after_generator) and same(after_generator, after[0])
    assert not same(before[1], after[1])
    assert not requires_grad  # what was shared arrives as a constant

    G2, D2 = linear("G"), linear("D", 16, 1)
    train([Turn(generator, G)], IMAGES, steps=1, batch_size=8)
    assert same(weights(D2), before[1]) and same(weights(G2), before[0])


def test_a_loss_shared_by_two_players_moves_both():
    E, T = linear("E", 16, 4), linear("T", 20, 1)

    def bound(step):
        x, z = flat(step), E.module(flat(step))
        joint, marginal = (T.module(torch.cat([x, code], 1)) for code in (z, z.roll(1, 0)))
        softplus = nn.functional.softplus
        return {"-I": softplus(-joint).mean() + softplus(marginal).mean()}

    before = weights(E), weights(T)
    train([Turn(bound, E, T)], IMAGES, steps=2, batch_size=8)
    assert not same(before[0], weights(E)) and not same(before[1], weights(T))


def test_a_player_learns_from_its_own_slice():
    """The centre of the Feature Constraint moves towards the codes of images that the encoder does not train on."""
    centre = nn.Module()
    centre.c = nn.Parameter(torch.zeros(16))
    C = Player("c", centre, torch.optim.Adagrad(centre.parameters(), 1.0))
    G = linear("G")
    sizes = set()

    def pull(step):
        sizes.add((len(step.images["train"]), len(step.images["constraint"])))
        assert not (step.images["train"][:, None] == step.images["constraint"][None]).flatten(2).all(2).any()
        return {"pull": (flat(step, "constraint").mean(0) - centre.c).square().sum()}

    train(
        [autoencoder(G), Turn(pull, C)],
        IMAGES,
        steps=40,
        batch_size=20,
        slices={"train": 0.9, "constraint": 0.1},
    )
    assert sizes == {(18, 2)}
    assert (centre.c - IMAGES.float().div(255).flatten(1).mean(0)).abs().max() < 0.3


def test_a_turn_can_sit_out_and_a_stage_can_begin_late():
    G = linear("G")
    late = Turn(lambda step: {"rec": G.module(flat(step)).square().mean()} if step.progress >= 0.5 else {}, G)
    assert len(train([late], IMAGES, steps=10, batch_size=8)["rec"]) == 5


def test_logged_values_and_after_step():
    G, calls = linear("G"), []

    def loss(step):
        step.log(radius=step.number * 2.0)
        return {"rec": G.module(flat(step)).square().mean()}

    history = train(
        [Turn(loss, G)], IMAGES, steps=3, batch_size=8, after_step=lambda step: calls.append(step.number)
    )
    assert history["radius"] == [0.0, 2.0, 4.0] and calls == [0, 1, 2]


def test_seed_decides_everything_and_the_callers_random_state_is_left_alone():
    def run(seed):
        G = linear("G")
        noisy = Turn(lambda s: {"rec": (G.module(flat(s) + torch.randn(8, 16)) - flat(s)).square().mean()}, G)
        train([noisy], IMAGES, steps=5, batch_size=8, seed=seed)
        return weights(G)

    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = run(0)
    assert torch.equal(torch.rand(3), expected)
    assert same(first, run(0)) and not same(first, run(1))


def test_every_epoch_shows_each_image_once():
    for epoch in range(3):
        drawn = torch.cat([batch_index(40, 8, epoch * 5 + step, seed=3) for step in range(5)])
        assert sorted(drawn.tolist()) == list(range(40))


def test_a_resumed_training_ends_with_the_same_weights(tmp_path):
    def players():
        return linear("G", schedule=warmup_cosine(), clip=1.0), linear("D", 16, 1)

    def game(G, D):
        critic = Turn(lambda s: {"d": D.module(G.module(flat(s)) + torch.randn(8, 16)).square().mean()}, D)
        return [autoencoder(G), critic]

    whole = players()
    history = train(game(*whole), IMAGES, steps=30, batch_size=8)
    path = tmp_path / "state.pt"

    def stop(step):
        if step.number == 17:
            raise KeyboardInterrupt

    options = {"steps": 30, "batch_size": 8, "checkpoint": path, "checkpoint_every": 7}
    with pytest.raises(KeyboardInterrupt):
        train(game(*players()), IMAGES, after_step=stop, **options)
    resumed = players()
    assert train(game(*resumed), IMAGES, **options) == history
    assert same(weights(*resumed), weights(*whole))
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]


SCRIPT = """
    import sys, torch
    from dualad_lib import Autoencoder
    x = (torch.rand(60, 1, 12, 12, generator=torch.Generator().manual_seed(0)) * 255).byte()
    model = Autoencoder(width=4, latent_dim=8, steps=int(sys.argv[2]), batch_size=16)
    model.fit(x, checkpoint=sys.argv[1] if sys.argv[1] != "-" else None)
    print(model.anomaly_scores(x[:5]).dual.tolist())
"""


@pytest.mark.slow
def test_kill_nine_in_the_middle_of_fit_changes_nothing(tmp_path):
    def start(checkpoint, **options):
        command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(checkpoint), "300"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)

    path = tmp_path / "fit.pt"
    killed = start(path)
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert path.exists() and torch.load(path, weights_only=True)["step"] < 300
    resumed, undisturbed = (start(p).communicate()[0] for p in (path, "-"))
    assert resumed == undisturbed and resumed.startswith("[")


@pytest.mark.parametrize("damage", ["other run", "truncated"])
def test_a_foreign_or_broken_checkpoint_is_refused(tmp_path, damage):
    path = tmp_path / "state.pt"
    train([autoencoder(linear("G"))], IMAGES, steps=2, batch_size=8, checkpoint=path, fingerprint="a")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:100])
    fingerprint = "b" if damage == "other run" else "a"
    with pytest.raises(TrainingError, match="delete it"):
        train(
            [autoencoder(linear("G"))],
            IMAGES,
            steps=2,
            batch_size=8,
            checkpoint=path,
            fingerprint=fingerprint,
        )


def test_a_player_without_gradient_is_named():
    T, G = linear("T"), linear("G")
    turn = Turn(lambda step: {"mi": G.module(flat(step)).mean()}, G, T)
    with pytest.raises(TrainingError, match="'T' gets no gradient from mi"):
        train([turn], IMAGES, steps=1, batch_size=8)


def test_a_loss_that_is_not_finite_is_named():
    G = linear("G")
    turn = Turn(lambda step: {"bad": G.module(flat(step)).mean() * float("nan")}, G)
    with pytest.raises(TrainingError, match="'bad' is no longer finite"):
        train([turn], IMAGES, steps=50, batch_size=8)


def test_slices_always_leave_someone_something():
    cut = slice_batch(torch.zeros(2, 1, 4, 4), {"train": 0.9, "constraint": 0.1})
    assert [len(part) for part in cut.values()] == [1, 1]
    with pytest.raises(DataError, match="larger batches"):
        slice_batch(torch.zeros(1, 1, 4, 4), {"train": 0.9, "constraint": 0.1})


def test_schedule_warms_up_peaks_and_ends_at_zero():
    factor = warmup_cosine(0.1)
    assert 0 < factor(0) < 0.05
    assert factor(0.1) == pytest.approx(1)
    assert factor(0.55) == pytest.approx(0.5)
    assert factor(1.0) == pytest.approx(0)


def test_device_auto():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu").type == "cpu"


def test_a_gradient_in_another_memory_layout_reaches_the_right_weights():
    """torch's fused Adam walks parameter and gradient by position; a gradient laid out otherwise would be scrambled."""
    torch.manual_seed(0)
    start, target = torch.randn(8, 4, 3, 3), torch.randn(8, 4, 3, 3)
    ended = []
    for layout in (torch.contiguous_format, torch.channels_last):
        module = nn.Module()
        module.weight = nn.Parameter(start.clone(memory_format=layout))

        def loss(step, module=module):  # the gradient takes the layout of `target`
            return {"distance": (module.weight.reshape(-1) - target.reshape(-1)).pow(4).mean()}

        optimiser = torch.optim.AdamW(module.parameters(), 1e-2, fused=True)
        train([Turn(loss, Player("w", module, optimiser))], torch.rand(10, 1, 8, 8), steps=5, batch_size=5)
        ended.append(module.weight.detach().contiguous())
    assert torch.allclose(*ended, atol=1e-6)


def test_seeding_for_a_cpu_leaves_every_gpu_alone(monkeypatch):
    def touched(*_):
        raise AssertionError("a generator of another device was touched")

    for name in ("manual_seed", "manual_seed_all", "set_rng_state", "get_rng_state"):
        monkeypatch.setattr(torch.cuda, name, touched)
    monkeypatch.setattr(torch, "manual_seed", touched)
    with seeded(3):
        first = torch.rand(3)
    train([autoencoder(linear("G"))], IMAGES, steps=3, batch_size=8)
    with seeded(3):
        assert torch.equal(torch.rand(3), first)


def test_threads_that_draw_take_turns():
    """Two threads with one seed draw the same numbers, however they meet."""
    drawn = {}

    def draw(key):
        with seeded(7):
            numbers = []
            for _ in range(20):
                numbers.append(torch.rand(1))
                time.sleep(0.001)
            drawn[key] = torch.cat(numbers)

    threads = [threading.Thread(target=draw, args=(key,)) for key in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with seeded(7):
        expected = torch.rand(20)
    assert all(torch.equal(numbers, expected) for numbers in drawn.values())


def test_seeding_inside_seeding_gives_both_back():
    with seeded(1):
        torch.rand(2)
        expected = torch.rand(2)
    with seeded(1):
        torch.rand(2)
        with seeded(2):
            torch.rand(5)
        assert torch.equal(torch.rand(2), expected)


def small_number():
    """A denormal as this thread computes it: 0 where denormals are flushed."""
    return (torch.full((3,), torch.finfo(torch.float32).tiny) / 4).sum().item()


def test_denormals_are_flushed_while_training_and_only_then():
    assert small_number() > 0
    seen = []

    def watch(step):
        seen.append(small_number())

    train([autoencoder(linear("G"))], IMAGES, steps=2, batch_size=8, after_step=watch)
    assert seen == [0, 0] and small_number() > 0
    G = linear("G")
    with pytest.raises(TrainingError):
        bad = Turn(lambda step: {"bad": G.module(flat(step)).mean() * float("nan")}, G)
        train([bad], IMAGES, steps=1, batch_size=8)
    assert small_number() > 0
    with flushed_denormals():
        with flushed_denormals():
            pass
        assert small_number() == 0, "who flushed before flushes afterwards"


def test_tf32_is_off_where_scores_are_made_and_back_afterwards():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    try:
        matmul.allow_tf32 = cudnn.allow_tf32 = True
        with pytest.raises(KeyError), exact_products("cuda"):
            if hasattr(matmul, "fp32_precision"):
                assert (matmul.fp32_precision, cudnn.conv.fp32_precision) == ("ieee", "ieee")
            else:
                assert not matmul.allow_tf32 and not cudnn.allow_tf32
            raise KeyError
        assert matmul.allow_tf32 and cudnn.allow_tf32
        with exact_products("cpu"):
            assert matmul.allow_tf32 and cudnn.allow_tf32
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


@pytest.mark.parametrize("device", ["quantum", "cuda:99", "", 1.5, None])
def test_a_device_that_is_not_there_is_an_error_in_words(device):
    with pytest.raises(DataError, match="device"):
        resolve_device(device)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: [1],
        lambda state: torch.zeros(3),
        lambda state: {"fingerprint": ""},
        lambda state: {**state, "modules": {"A": {}}},
        lambda state: {**state, "optimisers": {}},
        lambda state: {**state, "step": 99},
        lambda state: {**state, "step": "x"},
    ],
)
def test_a_checkpoint_that_is_not_whole_is_named(tmp_path, change):
    path = tmp_path / "state.pt"

    def go():
        module = torch.nn.Linear(4, 1)
        player = Player("A", module, torch.optim.SGD(module.parameters(), 0.1))
        turn = Turn(lambda step: {"loss": module(step.images["train"].flatten(1)).square().mean()}, player)
        return train([turn], torch.rand(8, 1, 2, 2), steps=2, batch_size=4, checkpoint=path)

    go()
    torch.save(change(torch.load(path, weights_only=True)), path)
    with pytest.raises(TrainingError, match=r"checkpoint .*state.pt .*delete it"):
        go()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
def test_a_full_disk_is_said_and_leaves_the_old_files(tmp_path):
    """Every file may have 4000 bytes: a model of PCA and the state of a training need more."""
    code = """
import resource, signal, sys
import torch
from dualad_lib import PCA, Autoencoder
x = torch.rand(60, 1, 8, 8)
model = PCA().fit(x)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
for write in (lambda: model.save("m.safetensors"), lambda: Autoencoder(steps=1).fit(x, checkpoint="c.pt")):
    try:
        write()
    except OSError as error:
        print(error.strerror)
"""
    for name in ("m.safetensors", "c.pt"):
        (tmp_path / name).write_text("old")
    (tmp_path / "c.pt").unlink()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "File too large\n" * 2
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]
    assert (tmp_path / "m.safetensors").read_text() == "old"


@pytest.mark.parametrize("device", ["xpu", "mtia", "hpu", "meta", "vulkan"])
def test_a_device_that_torch_knows_and_this_machine_lacks_is_said(device):
    with pytest.raises(DataError, match=r"(this machine has no device|no device that torch knows)"):
        resolve_device(device)


@pytest.mark.parametrize("place", ["", "."])
def test_a_checkpoint_that_cannot_be_written_is_said_before_the_training(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []
    with pytest.raises(DataError, match="is a folder"):
        train([], torch.rand(4, 1, 8, 8), steps=3, batch_size=2, checkpoint=place, after_step=seen.append)
    assert not seen
