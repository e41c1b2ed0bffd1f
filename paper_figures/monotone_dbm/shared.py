"""What the figures on digits share: the models that are fitted to a split, at two sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from lemmata.typing import Budget

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

    from lemmata.experiments.monotone_dbm.digits import Digits
    from lemmata.kernels.monotone_dbm.learning import Completion

__all__ = ["CLASSES", "MISSING", "most_frequent", "named", "one_hot", "regression", "restricted", "trained"]

CLASSES = 10
#: share of the pixels that is missing where models are fitted
MISSING = 0.6
#: masked copies of every image for logistic regression, and its inverse penalty: the best of .01, .1 and 1 on a fifth
#: of the training images that is held out, in all of three splits at two levels
COPIES, STRENGTH = 20, 1.0


def trained(
    data: Digits,
    budget: Budget,
    *,
    epochs: int = 0,
    progress: Callable[[float], object] = lambda share: None,
    seed: int,
) -> Completion:
    """A monotone model fitted to the training images with `MISSING` of their pixels missing."""
    from lemmata.kernels.monotone_dbm.learning import fit

    epochs = epochs or (15 if budget == "quick" else 120)
    options = {"epochs": epochs, "missing": MISSING, "progress": progress, "seed": seed}
    return fit(data.train, data.train_labels, data.levels, CLASSES, **options)  # type: ignore[arg-type]


def most_frequent(data: Digits) -> tuple[np.ndarray, int]:
    """The most frequent training level of each pixel, int64[pixels], and the most frequent label."""
    counts = np.stack([(data.train == level).sum(axis=0) for level in range(data.levels)])
    return counts.argmax(axis=0), int(np.bincount(data.train_labels).argmax())


def one_hot(images: np.ndarray, seen: np.ndarray, levels: int) -> np.ndarray:
    """An entry for each pixel and level, all zero where the pixel is missing: float64[..., levels * pixels]."""
    return (np.eye(levels)[images] * seen[..., None]).reshape(*images.shape[:-1], -1)


def regression(data: Digits, *, copies: int = COPIES, seed: int) -> LogisticRegression:
    """Logistic regression on masked copies of the training images."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    from lemmata.experiments.monotone_dbm.digits import masks

    images = np.repeat(data.train, copies, axis=0)
    shown = one_hot(images, masks(1, images, MISSING, seed=seed)[0], data.levels)
    # threads of linear algebra only wait for one another at these sizes
    with threadpool_limits(1):
        return LogisticRegression(C=STRENGTH, max_iter=200).fit(shown, np.repeat(data.train_labels, copies))


def named(model: LogisticRegression, data: Digits, seen: np.ndarray) -> np.ndarray:
    """The labels that regression gives the test images, int64, the shape of `seen` without its pixels."""
    shown = one_hot(np.broadcast_to(data.test, seen.shape), seen, data.levels)
    return model.predict(shown.reshape(-1, shown.shape[-1])).reshape(seen.shape[:-1])


def restricted(data: Digits, *, hidden: int = 64, seed: int) -> Callable[[np.ndarray], dict[str, float]]:
    """A Bernoulli restricted Boltzmann machine of pixels and label; the result judges its parallel mean field.

    See `lemmata.experiments.monotone_dbm.digits.boltzmann_machine`; it is fitted once for all masks.
    """
    from sklearn.neural_network import BernoulliRBM
    from threadpoolctl import threadpool_limits

    from lemmata.experiments.monotone_dbm.digits import _parallel_mean_field

    machine = BernoulliRBM(n_components=hidden, learning_rate=0.05, n_iter=30, random_state=seed)
    with threadpool_limits(1):
        machine.fit(np.hstack([data.train, np.eye(CLASSES)[data.train_labels]]).astype(float))
    W, a, c = machine.components_, machine.intercept_visible_, machine.intercept_hidden_
    couplings = np.block([[np.zeros((len(a), len(a))), W.T], [W, np.zeros((hidden, hidden))]])
    return lambda seen: _parallel_mean_field(couplings, np.concatenate([a, c]), data, seen, 100)
