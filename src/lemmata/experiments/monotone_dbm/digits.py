"""Handwritten digits with most pixels missing: the data, and what a monotone model is measured against.

The 1,797 images of 8 x 8 pixels that scikit-learn brings with it (test set of the UCI set of handwritten digits, E.
Alpaydin and C. Kaynak 1998). scikit-learn is imported where it is needed only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lemmata.errors import DomainError

__all__ = ["Digits", "boltzmann_machine", "digits", "logistic_regression", "majority", "masks"]

SIDE, CLASSES = 8, 10
#: masked copies of every training image for logistic regression
COPIES = 20
#: inverse strengths of its penalty, of which the best on held-out training images is taken
STRENGTHS = (0.01, 0.1, 1.0)


@dataclass(frozen=True, eq=False)
class Digits:
    """Training and test images of a split.

    Attributes
    ----------
    train, test : int64[S, 64]
        Levels 0 to `levels` - 1.
    train_labels, test_labels : int64[S]
    levels : int
    """

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    levels: int

    def held_out(self, *, seed: int) -> Digits:
        """The training images split once more, 80 to 20: for choices that must not see the test images."""
        return _split(self.train, self.train_labels, self.levels, 0.2, seed)


def digits(levels: int = 2, *, seed: int) -> Digits:
    """Digits at 2 or 4 levels of grey, a quarter of each class for testing.

    Parameters
    ----------
    levels : int
        2: above 7.5 of 16 or not. 4: by fours.
    seed : int
        Of the split.
    """
    from sklearn.datasets import load_digits

    if levels not in (2, 4):
        raise DomainError(f"levels must be 2 or 4, got {levels!r}")
    raw = load_digits()
    images = (raw.data > 7.5).astype(np.int64) if levels == 2 else np.minimum(raw.data // 4, 3).astype(np.int64)
    return _split(images, raw.target.astype(np.int64), levels, 0.25, seed)


def _split(images: np.ndarray, labels: np.ndarray, levels: int, share: float, seed: int) -> Digits:
    """A share of each class apart."""
    rng = np.random.default_rng(seed)
    test = np.zeros(len(images), dtype=bool)
    for c in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == c))
        test[own[: round(share * len(own))]] = True
    return Digits(images[~test], labels[~test], images[test], labels[test], levels)


def masks(count: int, images: np.ndarray, missing: float, *, seed: int) -> np.ndarray:
    """bool[count, S, 64]: True where a pixel is observed, each independently."""
    return np.random.default_rng(seed).random((count, *images.shape)) >= missing


def majority(data: Digits, seen: np.ndarray) -> float:
    """Share of the missing test pixels that have their most frequent training level."""
    counts = np.stack([(data.train == k).sum(axis=0) for k in range(data.levels)])
    return float((data.test == counts.argmax(axis=0))[None].repeat(len(seen), axis=0)[~seen].mean())


def _one_hot(images: np.ndarray, seen: np.ndarray, levels: int) -> np.ndarray:
    """An entry for each pixel and level, all zero where the pixel is missing."""
    return (np.eye(levels)[images] * seen[..., None]).reshape(-1, images.shape[-1] * levels)


def logistic_regression(data: Digits, seen: np.ndarray, missing: float, *, seed: int) -> float:
    """Share of the test labels that logistic regression on masked images gets right.

    It is fitted to 20 masked copies of the training images, one entry a pixel and level; its penalty is the best of
    three on held-out training images.
    """
    from sklearn.linear_model import LogisticRegression

    def fit(split: Digits, strength: float) -> LogisticRegression:
        images = np.repeat(split.train, COPIES, axis=0)
        shown = _one_hot(images, masks(1, images, missing, seed=seed + 1)[0], data.levels)
        return LogisticRegression(C=strength, max_iter=100).fit(shown, np.repeat(split.train_labels, COPIES))

    def score(model: LogisticRegression, split: Digits, seen: np.ndarray) -> float:
        images = np.broadcast_to(split.test, seen.shape)
        return float(model.score(_one_hot(images, seen, data.levels), np.tile(split.test_labels, len(seen))))

    choice = data.held_out(seed=seed)
    hidden = masks(COPIES, choice.test, missing, seed=seed + 2)
    best = max(STRENGTHS, key=lambda strength: score(fit(choice, strength), choice, hidden))
    return score(fit(data, best), data, seen)


def boltzmann_machine(
    data: Digits, seen: np.ndarray, *, hidden: int = 64, steps: int = 200, seed: int
) -> dict[str, float]:
    """scikit-learn's Bernoulli restricted Boltzmann machine on pixels and label, and its parallel mean field.

    Binary images. The mean field starts at one half; observed pixels are put back after every step.

    Returns
    -------
    dict
        "pixels" and "labels": shares that are right; "residual": largest change of the last step; "swinging": share
        of samples that the last two steps bring back to where they were although each moves them.
    """
    from sklearn.neural_network import BernoulliRBM

    machine = BernoulliRBM(n_components=hidden, learning_rate=0.05, n_iter=30, random_state=seed)
    machine.fit(np.hstack([data.train, np.eye(CLASSES)[data.train_labels]]).astype(float))
    W, a, c = machine.components_, machine.intercept_visible_, machine.intercept_hidden_
    result = _parallel_mean_field(
        np.block([[np.zeros((len(a), len(a))), W.T], [W, np.zeros((hidden, hidden))]]),
        np.concatenate([a, c]),
        data,
        seen,
        steps,
    )
    return result


def _parallel_mean_field(
    couplings: np.ndarray, bias: np.ndarray, data: Digits, seen: np.ndarray, steps: int
) -> dict[str, float]:
    """``p <- sigmoid(couplings p + bias)`` at once on all units that are not observed; labels follow the pixels."""
    pixels = data.test.shape[1]
    images = np.broadcast_to(data.test, seen.shape).reshape(-1, pixels)
    held = np.zeros((len(images), len(bias)), dtype=bool)
    held[:, :pixels] = seen.reshape(-1, pixels)
    shown = np.zeros(held.shape)
    shown[:, :pixels] = images
    p = np.where(held, shown, 0.5)
    before = p
    for _ in range(steps):
        old, before = before, p
        p = np.where(held, shown, 1 / (1 + np.exp(-np.clip(p @ couplings + bias, -500, 500))))
    moved, back = abs(p - before).max(axis=1), abs(p - old).max(axis=1)
    right = (p[:, :pixels] > 0.5) == images
    named = p[:, pixels : pixels + CLASSES].argmax(axis=1) == np.tile(data.test_labels, len(seen))
    return {
        "pixels": float(right[~held[:, :pixels]].mean()),
        "labels": float(named.mean()),
        "residual": float(moved.max()),
        "swinging": float(((moved > 1e-3) & (back < 1e-2 * moved)).mean()),
    }
