"""Simple ways to see an attack, which a practitioner would try first: no training, or the attacked classifier's word.

Scores are functions of images (N, C, H, W), uint8 or float in [0, 1], and of the classifier where they ask it; (N,),
higher = more suspicious, on the images' device, wherever the classifier is. They have a gradient, which an attacker who
knows them can use.
"""

import torch
from torch.nn.functional import avg_pool2d, pad

from ..detectors.base import Detector, as_fitted, choose
from ..errors import DataError
from ..scoring import precise
from ..training import as_float


@torch.no_grad()
def classify(classifier, images, batch_size=512):
    """Probabilities (N, classes) of images, uint8 or float, that a classifier of float images gives.

    They are on the images' device; the classifier may be on another.
    """
    return torch.cat([_probabilities(classifier, batch) for batch in images.split(batch_size)])


def _probabilities(classifier, x):
    weights = next(classifier.parameters(), None) if isinstance(classifier, torch.nn.Module) else None
    device = x.device if weights is None else weights.device
    return classifier(as_float(x, device)).softmax(1).to(x.device)


def max_softmax_probability(classifier, x):
    """1 - the probability of the class that the classifier names (Hendrycks & Gimpel, 2017)."""
    return 1 - _probabilities(classifier, x).amax(1)


def feature_squeezing(classifier, x):
    """How far the classifier's probabilities move, summed over classes, when the image is smoothed.

    Smoothing: the median of each pixel and its right, lower and lower right neighbour. Source: feature squeezing, Xu,
    Evans & Qi, 2018 (its 2 x 2 median filter).
    """
    smooth = median(as_float(x, x.device))
    return (_probabilities(classifier, x) - _probabilities(classifier, smooth)).abs().sum(1)


def roughness(x):
    """Mean distance of a pixel from the mean of its 3 x 3 neighbourhood: the energy of what is fine."""
    x = as_float(x, x.device)
    smooth = avg_pool2d(pad(x, (1, 1, 1, 1), mode="reflect"), 3, 1)
    return (x - smooth).abs().flatten(1).mean(1)


def median(x):
    """The 2 x 2 median filter: (N, C, H, W) -> (N, C, H, W). Of four values the mean of the middle two."""
    p = pad(x, (0, 1, 0, 1), mode="replicate")
    four = torch.stack([p[..., :-1, :-1], p[..., :-1, 1:], p[..., 1:, :-1], p[..., 1:, 1:]])
    return four.sort(0).values[1:3].mean(0)


#: Name -> score of (classifier, images).
SCORES = {
    "max_softmax_probability": max_softmax_probability,
    "feature_squeezing": feature_squeezing,
    "roughness": lambda classifier, x: roughness(x),
}


class AttackDetector(Detector):
    """One of SCORES as a detector: it learns nothing from normal images but its threshold.

    classifier: the one that may be under attack, in eval mode, on any device. Not for `save`: a classifier is no
    parameter of a file.
    """

    def __init__(self, score="roughness", classifier=None, false_alarm_rate=0.05, seed=0):
        self.score = score
        self.classifier = classifier
        self.false_alarm_rate = false_alarm_rate
        self.seed = seed

    def _fit(self, images):
        choose(self.score, tuple(SCORES), "score")
        if self.classifier is None and self.score != "roughness":
            raise DataError(
                f'the score "{self.score}" asks the classifier that may be under attack: give classifier=.'
            )

    @as_fitted
    def score_of(self, x):
        """The score of images (N, C, H, W) as a tensor (N,) with a gradient."""
        return SCORES[self.score](self.classifier, x)

    def _where(self):
        weights = getattr(self.classifier, "parameters", lambda: iter(()))()
        return next((weight.device for weight in weights), torch.device("cpu"))

    def _state(self):
        raise DataError("a AttackDetector is no model to save: a classifier is no parameter of a file.")

    @torch.no_grad()
    def _score(self, images):
        return {"pixel": precise(self.score_of(images)).cpu().numpy()}
