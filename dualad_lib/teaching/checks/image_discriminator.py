"""Checks of the lesson on the image discriminator."""

import numpy as np

from .checking import CheckFailed, as_array, compare_answers, numbers, reports

GAME_READINGS = {
    "L_D near 0, margin growing": (
        "D ahead",
        (
            "D tells images from reconstructions without error, and G does not catch up. A small loss of D "
            "is no sign of a good game: nothing tells G where to go but a D that it cannot please."
        ),
    ),
    "L_D = 2 log 2, a fresh D gets 0.9": (
        "D asleep",
        (
            "2 log 2 says that THIS D knows nothing. A fresh one finds a difference (0.9 is below 2 log 2 = "
            "1.386), so there was something to learn: D did not learn it."
        ),
    ),
    "L_D = 2 log 2, a fresh D gets 2 log 2 too": (
        "balance",
        (
            "Neither D nor a fresh one finds a difference: as far as such discriminators can see, "
            "reconstructions are distributed like images. That is the equilibrium."
        ),
    ),
}


@reports("2 log 2 has two reasons, and a fresh discriminator tells them apart")
def check_game_readings(answers):
    """answers: dict from each reading in GAME_READINGS to "D ahead", "D asleep" or "balance"."""
    compare_answers(answers, GAME_READINGS, ("D ahead", "D asleep", "balance"))


@reports("the best discriminator's logit is log p/q")
def check_best_logit(function):
    """function(x, mean_p, std_p, mean_q, std_q) -> (N,): log p(x) / q(x) of two normal distributions, p real."""
    x = np.linspace(-2, 3, 6)
    call = numbers(function, "one logit an x, shape (N,)", shape=x.shape)

    def logs(mean, std, constant=True, half=0.5, square=2):
        return -half * np.abs((x - mean) / std) ** square - (np.log(std) if constant else 0)

    case = (0.0, 1.0, 1.5, 0.6)
    p, q = case[:2], case[2:]
    right, given = logs(*p) - logs(*q), call(x, *case)
    if np.allclose(given, right, atol=1e-4):
        return
    wrong = {
        "The sign is reversed: D says real with a POSITIVE logit, so it is log p - log q, with p the real "
        "images.": -right,
        "That is the probability of being real, sigmoid(log p/q). The logit is wanted, without the "
        "sigmoid.": 1 / (1 + np.exp(-right)),
        "That is the ratio p/q. Take its logarithm.": np.exp(right),
        "That is the log density of p alone. D compares: the same x can be likely under q as "
        "well.": logs(*p),
        "The factor 1/2 in the exponent is missing: log p = -(x - mean)^2 / (2 std^2) - log "
        "std.": logs(*p, half=1) - logs(*q, half=1),
        "You use the distance, not its square: the exponent of a normal density is "
        "quadratic.": logs(*p, half=0.5, square=1) - logs(*q, half=0.5, square=1),
        "You divide by std where its square, the variance, belongs: square (x - mean) / std as a "
        "whole.": -0.5 * (x - p[0]) ** 2 / p[1] - np.log(p[1]) + 0.5 * (x - q[0]) ** 2 / q[1] + np.log(q[1]),
        "The log std is missing. The constant log sqrt(2 pi) cancels; 1 / std does not, because the two "
        "deviations differ: the narrower density is the higher one.": logs(*p, constant=False)
        - logs(*q, constant=False),
    }  # fmt: skip
    for message, values in wrong.items():
        known = np.log(2 * np.pi) / 2  # a single log density may be written with its constant
        if any(np.allclose(given, values - shift, atol=1e-4) for shift in (0, known)):
            raise CheckFailed(message)
    raise CheckFailed(
        f"For N(0, 1) and N(1.5, 0.6^2) at {x.tolist()} the logits are {right.round(3)}; you give "
        f"{given.round(3)}."
    )


@reports("the saturating loss, finite at every logit")
def check_saturating_loss(function):
    """function(fake) -> one number: mean log(1 - sigmoid(D(x_hat))), the loss that G lowers. fake: (N,) logits."""
    import torch

    def finite(*args):  # infinity is for this check to explain
        result = function(*args)
        return None if result is None else np.nan_to_num(as_array(result))

    call = numbers(finite if callable(function) else function, "one number", shape=())
    fake = torch.tensor([-3.0, -1.0, 0.5, 2.0])
    logits = fake.numpy().astype(float)
    right, given = -np.log1p(np.exp(logits)).mean(), call(fake)
    if not np.isclose(given, right, atol=1e-4):
        wrong = {
            "The sign is reversed: G lowers its loss, and mean log(1 - sigmoid) is negative, falling as the "
            "logits of the reconstructions rise. You have D's own term.": -right,
            "That is the non-saturating loss, softplus(-D(x_hat)). The exercise asks for the other one, "
            "mean log(1 - sigmoid(D(x_hat))).": np.log1p(np.exp(-logits)).mean(),
            "That is log sigmoid(D(x_hat)), minus the non-saturating loss. You need the logarithm of ONE "
            "MINUS the sigmoid.": -np.log1p(np.exp(-logits)).mean(),
            "You add over the images. Average, so that the batch size does not change the loss.": 4 * right,
            "You take the logarithm of the mean. Take the mean of the logarithms: each image has its own "
            "term.": np.log((1 / (1 + np.exp(logits))).mean()),
        }  # fmt: skip
        for message, value in wrong.items():
            if np.isclose(given, value, atol=1e-4):
                raise CheckFailed(message)
        raise CheckFailed(f"For logits {logits.tolist()} the loss is {right:.4f}; you give {given:.4f}.")
    if not np.isclose(call(torch.tensor([200.0])), -200, rtol=1e-4):
        raise CheckFailed(
            "Right for small logits, but not at 200: 1 - sigmoid(200) is rounded to 0 and its logarithm is "
            "minus infinity (and clamped, it loses its gradient). Work on logits, with softplus."
        )
