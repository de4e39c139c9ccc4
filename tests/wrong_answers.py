"""Deliberately wrong answers to every coded exercise, as students write them: (code, words that the check must say).

The code is the body of the exercise's function. Wrong predictions are made from the keys in `checks`.
"""

_PAIRS = "pairs = [(a, n) for a in scores[labels == 1] for n in scores[labels == 0]]\n"
_STEP = (
    "W = W.clone().requires_grad_()\n"
    "(({seen}) @ W - {target}).square().mean().backward()\n"
    "return (W {sign} rate * W.grad).detach()"
)
_TURN = (
    "z = x @ E\n"
    "error = squared_error(z @ E.T, x)\n"
    "seen = {seen}\n"
    "information = jsd_mutual_information((x @ M * seen).sum(1), (x @ M * seen.roll(1, 0)).sum(1))\n"
    "({loss}).backward()\n"
    "return E.grad, M.grad"
)

WRONG = {
    "my_auroc": [
        (_PAIRS + "return np.mean([a < n for a, n in pairs])", "reversed"),
        (
            "ranks, n = scores.argsort().argsort() + 1, labels.sum()\n"
            "return (ranks[labels == 1].sum() - n * (n + 1) / 2) / (n * (len(labels) - n))",
            "Ties",
        ),
        (_PAIRS + "return sum(a > n for a, n in pairs)", "number of pairs"),
    ],
    "honest_report": [
        ("return max(test)", "flatters"),
        ("return max(development)", "too good on average"),
        ("return int(np.argmax(development))", "position"),
    ],
    "shift_tolerant_score": [
        ("return (x - x_hat)[..., 1:-1, 1:-1].square().flatten(1).mean(1)", "plain squared error"),
        (
            "errors = [(x - x_hat.roll((a, b), (2, 3)))[..., 1:-1, 1:-1].square().flatten(1).mean(1)\n"
            "          for a in (-1, 0, 1) for b in (-1, 0, 1)]\n"
            "return torch.stack(errors).mean(0)",
            "SMALLEST",
        ),
        (
            "errors = [(x - x_hat.roll((a, b), (2, 3)))[..., 1:-1, 1:-1].square().flatten(1).mean(1)\n"
            "          for a, b in ((-1, 0), (0, 0), (1, 0), (0, -1), (0, 1))]\n"
            "return torch.stack(errors).amin(0)",
            "Diagonal",
        ),
    ],
    "denoising_step": [
        (_STEP.format(seen="x", target="x", sign="-"), "has to see"),
        (_STEP.format(seen="x + noise", target="(x + noise)", sign="-"), "clean image"),
        (_STEP.format(seen="x + noise", target="x", sign="+"), "uphill"),
    ],
    "best_logit": [
        (
            "log = lambda mean, std: -0.5 * ((x - mean) / std) ** 2 - np.log(std)\n"
            "return log(mean_q, std_q) - log(mean_p, std_p)",
            "reversed",
        ),
        (
            "log = lambda mean, std: -0.5 * ((x - mean) / std) ** 2 - np.log(std)\n"
            "return np.exp(log(mean_p, std_p) - log(mean_q, std_q))",
            "logarithm",
        ),
        ("return -0.5 * ((x - mean_p) / std_p) ** 2 - np.log(std_p)", "p alone"),
    ],
    "saturating_loss": [
        ("return torch.nn.functional.softplus(fake).mean()", "reversed"),
        ("return torch.nn.functional.softplus(-fake).mean()", "non-saturating"),
        ("return (1 - fake.sigmoid()).log().mean()", "200"),
    ],
    "best_radius": [
        ("return (z - centre).square().mean(1).quantile(1 - outside)", "R^2"),
        ("return (z - centre).square().mean(1).quantile(outside).sqrt()", "MISS"),
        ("return (z - centre).square().mean(1).max().sqrt()", "every code"),
    ],
    "transformation_score": [
        (
            "log_p = logits.log_softmax(2)\n"
            "return torch.stack([log_p[t, :, t] for t in range(len(log_p))]).mean(0)",
            "minus",
        ),
        ("return -logits.log_softmax(2)[0, :, 0]", "Only the upright copy"),
        ("return -torch.stack([logits[t, :, t] for t in range(len(logits))]).mean(0)", "average logits"),
    ],
    "strangers": [
        ("return z", "joint pairs"),
        ("return z.roll(1, 1)", "broken up"),
        ("return z[torch.randint(len(z), (len(z),))]", "replacement"),
    ],
    "turn_gradients": [
        (_TURN.format(seen="z.detach() if spectator else z", loss="error + weight * information"), "LOWER"),
        (_TURN.format(seen="z", loss="error - weight * information"), "feels the spectator"),
        (
            _TURN.format(
                seen="z.detach() if spectator else z",
                loss="error - (0 if spectator else weight) * information",
            ),
            "never learns",
        ),
    ],
    "fisher_weights": [
        ("return delta / covariance.diagonal()", "ignore the correlation"),
        ("return covariance @ delta", "multiply by the covariance"),
        ("return np.ones(len(delta))", "plain sum"),
    ],
    "my_threshold": [
        ("return np.quantile(calibration, 1 - rate)", "NEW image"),
        ("return calibration.mean() + 1.645 * calibration.std()", "normal distribution"),
        ("return max(calibration)", "SMALLEST"),
    ],
    "paired_interval": [
        (
            "n = len(a)\n"
            "half = t.ppf(0.975, n - 1) * np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / n)\n"
            "return (a - b).mean(), half",
            "two samples",
        ),
        ("d = a - b\nreturn d.mean(), t.ppf(0.975, len(d) - 1) * d.std(ddof=1)", "root of n"),
        ("d = a - b\nreturn d.mean(), 1.96 * d.std(ddof=1) / np.sqrt(len(d))", "many classes"),
    ],
    "half_total_error": [
        ("return ((scores > threshold) != (y == 1)).mean()", "share of errors among all"),
        (
            "alarm = scores > threshold\nreturn alarm[y == 0].mean() + (~alarm[y == 1]).mean()",
            "sum of the two",
        ),
        (
            "alarm = scores < threshold\nreturn (alarm[y == 0].mean() + (~alarm[y == 1]).mean()) / 2",
            "turned round",
        ),
    ],
    "wrong_way": [
        (
            "d, s = np.subtract.outer(errors, errors), np.subtract.outer(scores, scores)\n"
            "return ((d > 0) & (s > 0)).sum() / (d > 0).sum()",
            "RIGHT way",
        ),
        (
            "d, s = np.subtract.outer(errors, errors), np.subtract.outer(scores, scores)\n"
            "return ((d > 0) & (s < 0)).mean()",
            "not by N^2",
        ),
        ("return (np.diff(scores) < 0).mean()", "not neighbours"),
        (
            "d, s = np.subtract.outer(errors, errors), np.subtract.outer(scores, scores)\n"
            "return ((d > 0) & (s <= 0)).sum() / (d > 0).sum()",
            "equal scores",
        ),
    ],
    "at_strength": [
        ("return x + size * (x_hat - x)", "SHARE"),
        ("return x - size * (x_hat - x) / (x_hat - x).square().mean((1, 2, 3), keepdim=True).sqrt()", "NaN"),
        (
            "error = x_hat - x\n"
            "return x - size * error / error.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-9)",
            "AWAY",
        ),
    ],
    "depends_on_company": [
        ("return False", "not noticed"),
        (
            "return not torch.allclose(torch.as_tensor(score(x)), torch.as_tensor(score(x.flip(0))).flip(0))",
            "not noticed",
        ),
        (
            "return bool((torch.as_tensor(score(x))[:1] != torch.as_tensor(score(x[:1]))).any())",
            "ninth digit",
        ),
    ],
    "between_codes": [
        (
            "w = share[:, None]\nreturn torch.nn.functional.normalize(w * first + (1 - w) * second, dim=1)",
            "within a pattern",
        ),
        (
            "kept = of_first != of_second\n"
            "w = share[kept][:, None]\n"
            "return w * first[kept] + (1 - w) * second[kept]",
            "on the sphere",
        ),
        (
            "kept = of_first != of_second\n"
            "w = share[kept][:, None]\n"
            "return torch.nn.functional.normalize((1 - w) * first[kept] + w * second[kept], dim=1)",
            "FIRST",
        ),
    ],
    "stable_eq_11": [
        ("return torch.special.log_ndtr(-u) + (confidence - 1 / n).log()", "reversed"),
        ("return -torch.special.log_ndtr(-u) - confidence.log()", "1/n is missing"),
        ("return -(1 - torch.special.ndtr(u)).log() - (confidence - 1 / n).log()", "tie"),
    ],
    "attack_step": [
        (
            "moved = now + step * gradient.sign()\n"
            "return torch.minimum(torch.maximum(moved, now - eps), now + eps).clamp(0, 1)",
            "around the original",
        ),
        (
            "moved = now + step * gradient.sign()\n"
            "return torch.minimum(torch.maximum(moved, x - eps), x + eps)",
            "leave [0, 1]",
        ),
        (
            "moved = now + step * gradient\n"
            "return torch.minimum(torch.maximum(moved, x - eps), x + eps).clamp(0, 1)",
            "not its sign",
        ),
    ],
    "conformal_p_value": [
        ("return (calibration >= score).mean()", "itself is missing"),
        ("return (1 + (calibration > score).sum()) / (len(calibration) + 1)", "Ties"),
        ("return (1 + (calibration <= score).sum()) / (len(calibration) + 1)", "reversed"),
    ],
    "hold_back": [
        (
            "held = np.zeros(len(parts), bool)\n"
            "held[random.permutation(len(parts))[: round(share * len(parts))]] = True\n"
            "return held",
            "on both sides",
        ),
        (
            "return np.isin(parts, np.unique(parts)[: max(1, round(share * len(np.unique(parts))))])",
            "whatever `random`",
        ),
        (
            "order, count = random.permutation(parts), max(1, round(share * len(np.unique(parts))))\n"
            "return np.isin(parts, list(dict.fromkeys(order.tolist()))[:count])",
            "prefers the parts with many",
        ),
        (
            "names = np.unique(parts)\n"
            "return ~np.isin(parts, random.permutation(names)[: max(1, round(share * len(names)))])",
            "LEARN from",
        ),
        (
            "names = np.unique(parts)\nreturn np.isin(parts, random.choice(names, max(1, round(share * len(names)))))",
            "drawn twice",
        ),
    ],
    "to_image": [
        ("return (20 * (energy / energy.max()).log10() / floor + 1).clamp(0, 1)", "amplitudes"),
        ("return (10 * (energy / energy.max()).log() / floor + 1).clamp(0, 1)", "natural"),
        ("return (10 * energy.clamp_min(1e-10).log10() / floor + 1).clamp(0, 1)", "under WHAT"),
        ("return energy / energy.max()", "without a logarithm"),
    ],
    "relative_distance": [
        ("return torch.cdist(patches, bank).amin(1)", "distance itself"),
        ("return torch.cdist(patches, bank).amin(1) / spacing.mean()", "same number"),
        ("return (torch.cdist(patches, bank) / spacing).amin(1)", "smallest RATIO"),
    ],
    "local_distance": [
        (
            "return torch.cdist(f.flatten(0, 1), good.flatten(0, 2)).amin(1).view(f.shape[:2])",
            "ALL good cells",
        ),
        ("return (good - f).norm(dim=-1).amin(0)", "same position alone"),
        (
            "near = [(torch.roll(good, (y, x), (1, 2)) - f).norm(dim=-1).amin(0)\n"
            "        for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]\n"
            "return torch.stack(near).amin(0)",
            "opposite side",
        ),
    ],
}
