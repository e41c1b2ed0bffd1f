"""Handwritten digits with most pixels missing: the data, and what a monotone model is measured against.

The 1,797 images of 8 x 8 pixels that scikit-learn brings with it (test set of the UCI set of handwritten digits, E.
Alpaydin and C. Kaynak 1998). scikit-learn is imported where it is needed only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from lemmata import stats
from lemmata.errors import DomainError
from lemmata.results import dataset
from lemmata.theory import monotone_dbm as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

if TYPE_CHECKING:
    import xarray as xr
    from sklearn.linear_model import LogisticRegression

    from lemmata.kernels.monotone_dbm.learning import Completion

__all__ = [
    "EXPERIMENTS",
    "Digits",
    "boltzmann_machine",
    "digits",
    "gain",
    "logistic_regression",
    "machine",
    "majority",
    "masks",
    "most_frequent",
    "named",
    "parallel_mean_field",
    "regression",
    "table",
]

CLASSES = 10
#: share of missing pixels
MISSING = 0.6
#: masked copies of every training image for logistic regression
COPIES = 20
#: steps that its solver may take; it converges in some 120
ITERATIONS = 1000
#: of the monotone models: passes over the training images, and of the convolutional one side and number of filters
EPOCHS, KERNEL, FILTERS = 300, 7, 8
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


#: threads of linear algebra only wait for one another at these sizes
_one_thread = threadpool_limits.wrap(limits=1)


def most_frequent(data: Digits) -> np.ndarray:
    """The most frequent training level of each pixel, int64[64]."""
    return np.stack([(data.train == level).sum(axis=0) for level in range(data.levels)]).argmax(axis=0)


def majority(data: Digits, seen: np.ndarray) -> float:
    """Share of the missing test pixels that have their most frequent training level."""
    return float(np.broadcast_to(data.test == most_frequent(data), seen.shape)[~seen].mean())


def _features(data: Digits, images: np.ndarray, seen: np.ndarray, signed: bool) -> np.ndarray:
    """An entry for each pixel and level, or one from -1 to 1 for each pixel; all zero where the pixel is missing."""
    if signed:
        return ((2 * images / (data.levels - 1) - 1) * seen).reshape(-1, images.shape[-1])
    return (np.eye(data.levels)[images] * seen[..., None]).reshape(-1, images.shape[-1] * data.levels)


@_one_thread
def regression(
    data: Digits, missing: float, *, copies: int = COPIES, strength: float = 1.0, signed: bool = False, seed: int
) -> LogisticRegression:
    """Logistic regression on masked copies of the training images; the other arguments are of `logistic_regression`.

    Parameters
    ----------
    strength : float
        Inverse penalty.
    seed : int
        Of the masks.
    """
    from sklearn.linear_model import LogisticRegression

    images = np.repeat(data.train, copies, axis=0)
    shown = _features(data, images, masks(1, images, missing, seed=seed)[0], signed)
    return LogisticRegression(C=strength, max_iter=ITERATIONS).fit(shown, np.repeat(data.train_labels, copies))


def named(model: LogisticRegression, data: Digits, seen: np.ndarray, *, signed: bool = False) -> np.ndarray:
    """The labels int64[R, S] that a `regression` gives the test images under the masks `seen` bool[R, S, 64]."""
    shown = _features(data, np.broadcast_to(data.test, seen.shape), seen, signed)
    return model.predict(shown).reshape(seen.shape[:-1])


def logistic_regression(
    data: Digits, seen: np.ndarray, missing: float, *, copies: int = COPIES, signed: bool = False, seed: int
) -> float:
    """Share of the test labels that logistic regression on masked images gets right.

    It is fitted to masked copies of the training images, one entry a pixel and level; its penalty is the best of three
    on held-out training images.

    Parameters
    ----------
    data : Digits
    seen : bool[R, S, 64]
        True where a test pixel is observed.
    missing : float
        Probability that a training pixel is not.
    copies : int
        Of every training image, each masked anew.
    signed : bool
        One entry a pixel in place of one a level: from -1 to 1, and 0 where it is missing; with scikit-learn's penalty.
    seed : int
    """

    def score(split: Digits, seen: np.ndarray, strength: float) -> float:
        model = regression(split, missing, copies=copies, strength=strength, signed=signed, seed=seed + 1)
        return float((named(model, split, seen, signed=signed) == split.test_labels).mean())

    if signed:
        return score(data, seen, 1.0)
    choice = data.held_out(seed=seed)
    hidden = masks(COPIES, choice.test, missing, seed=seed + 2)
    return score(data, seen, max(STRENGTHS, key=lambda strength: score(choice, hidden, strength)))


@_one_thread
def machine(data: Digits, hidden: int | tuple[int, ...], *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Couplings [n, n] and biases [n] of the pixels, labels and hidden units of a `boltzmann_machine`."""
    from sklearn.neural_network import BernoulliRBM

    sizes = (hidden,) if isinstance(hidden, int) else tuple(hidden)
    below = np.hstack([data.train, np.eye(CLASSES)[data.train_labels]]).astype(float)
    units = below.shape[1]
    couplings, bias = np.zeros((units + sum(sizes),) * 2), np.zeros(units + sum(sizes))
    start = 0
    for size in sizes:
        layer = BernoulliRBM(n_components=size, learning_rate=0.05, n_iter=30, random_state=seed).fit(below)
        stop = start + below.shape[1]
        couplings[stop : stop + size, start:stop] = layer.components_
        couplings[start:stop, stop : stop + size] = layer.components_.T
        if not start:
            bias[:stop] = layer.intercept_visible_
        bias[stop : stop + size] = layer.intercept_hidden_
        below, start = layer.transform(below), stop
    return couplings, bias


def boltzmann_machine(
    data: Digits, seen: np.ndarray, *, hidden: int | tuple[int, ...] = 64, steps: int = 200, seed: int
) -> dict[str, float]:
    """scikit-learn's Bernoulli restricted Boltzmann machine on pixels and label, and its parallel mean field.

    Binary images. The mean field starts at one half; observed pixels are put back after every step.

    Parameters
    ----------
    data : Digits
    seen : bool[R, S, 64]
    hidden : int or tuple of int
        Hidden units, of every layer: with more than one they form a deep Boltzmann machine, each layer fitted to the
        probabilities of the one below.
    steps : int
    seed : int

    Returns
    -------
    dict
        "pixels" and "labels": shares that are right; "residual": largest change of the last step; "swinging": share
        of samples that the last two steps bring back to where they were although each moves them.
    """
    return parallel_mean_field(*machine(data, hidden, seed=seed), data, seen, steps)


@_one_thread
def parallel_mean_field(
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


# ---------------------------------------------------------------------------------------------- table

MAJORITY, LEVELS, SIGNED = "majority", "logistic regression, an entry a level", "logistic regression, -1 to 1"
RESTRICTED, DEEP = "restricted Boltzmann machine, in parallel", "deep Boltzmann machine, in parallel"
DENSE, CONVOLUTIONAL = "monotone, dense", "monotone, convolutional"
#: rows of the table, of which the Boltzmann machines know two levels only
MODELS = (MAJORITY, LEVELS, SIGNED, RESTRICTED, DEEP, DENSE, CONVOLUTIONAL)


def table(
    levels: Sequence[int] = (2, 4),
    seeds: int = 5,
    *,
    models: Sequence[str] = MODELS,
    epochs: int = EPOCHS,
    repeats: int = 20,
    progress: Callable[[float], object] = lambda share: None,
) -> xr.Dataset:
    """Accuracy of every model at missing pixels and at labels, 60 % of the pixels missing.

    A seed is of split, start and masks; all models see the same ones, and nothing is chosen on test images.

    Parameters
    ----------
    levels : sequence of int
        2 and 4.
    seeds : int
    models : sequence of str
        Of the rows `MODELS`.
    epochs : int
        Of the monotone models.
    repeats : int
        Masks of every test image.
    progress : callable
        Is told the share of the work that is done.

    Returns
    -------
    xarray.Dataset
        ``pixels``, ``labels``, ``seconds`` and, of the parallel mean fields, ``residual`` after 200 steps and the share
        ``swinging`` with period two: (levels, model, seed), NaN where a model says nothing.
    """
    names = ("pixels", "labels", "seconds", "residual", "swinging")
    made = {name: np.full((len(levels), len(models), seeds), np.nan) for name in names}
    at = [(i, j, s) for i in range(len(levels)) for s in range(seeds) for j in range(len(models))]
    for done, (i, j, s) in enumerate(at):
        progress(done / len(at))
        data = digits(levels[i], seed=s)
        seen = masks(repeats, data.test, MISSING, seed=1000 + s)
        start = time.perf_counter()
        row = _row(models[j], data, seen, epochs, s)
        for name, value in {**row, "seconds": time.perf_counter() - start}.items():
            made[name][i, j, s] = value
    units = {"seconds": "s"}
    return dataset(
        {name: (("levels", "model", "seed"), values, units.get(name, "1")) for name, values in made.items()},
        {"levels": list(levels), "model": list(models), "seed": np.arange(seeds)},
        missing=MISSING,
        repeats=repeats,
    )


def _row(model: str, data: Digits, seen: np.ndarray, epochs: int, seed: int) -> dict[str, float]:
    if model == MAJORITY:
        return {"pixels": majority(data, seen), "labels": 1 / CLASSES}
    if model in (LEVELS, SIGNED):
        return {"labels": logistic_regression(data, seen, MISSING, signed=model == SIGNED, seed=seed)}
    if model in (RESTRICTED, DEEP):
        if data.levels > 2:
            return {}
        return boltzmann_machine(data, seen, hidden=64 if model == RESTRICTED else (64, 64), seed=seed)
    from lemmata.kernels.monotone_dbm import learning

    kind: dict[str, Any] = {} if model == DENSE else {"kernel": KERNEL, "pairs": FILTERS}
    made = learning.fit(data.train, data.train_labels, data.levels, CLASSES, **kind, epochs=epochs, seed=seed)
    return dict(zip(("pixels", "labels"), learning.accuracy(made, data.test, data.test_labels, seen), strict=True))


def gain(ds: xr.Dataset, what: str, levels: int, model: str, control: str) -> stats.Interval:
    """95 % interval of the mean gain of a model over another, paired by seed, for the ``pixels`` or the ``labels``."""
    values = ds[what].sel(levels=levels)
    return stats.student_interval((values.sel(model=model) - values.sel(model=control)).values, level=0.05)


# --------------------------------------------------------------------------------------------- claim

#: steps of sabotaged mean fields
STEPS = 40


@lru_cache(maxsize=16)
def _fitted(seed: int, epochs: int, pairs: int, shuffled: bool) -> Completion:
    from lemmata.kernels.monotone_dbm import learning

    data = digits(2, seed=seed)
    labels = np.random.default_rng(seed).permutation(data.train_labels) if shuffled else data.train_labels
    return learning.fit(data.train, labels, 2, CLASSES, pairs=pairs, epochs=epochs, seed=seed)


@lru_cache(maxsize=16)
def _control(seed: int, copies: int, repeats: int) -> tuple[float, float]:
    data = digits(2, seed=seed)
    seen = masks(repeats, data.test, MISSING, seed=1000 + seed)
    return majority(data, seen), logistic_regression(data, seen, MISSING, copies=copies, seed=seed)


def _shares(
    model: Completion, data: Digits, seen: np.ndarray, imposed: bool, alpha: float | None, sign: float
) -> tuple[float, float]:
    """Shares of missing pixels and of labels that are right; sabotaged mean fields start from zero where not known."""
    import torch

    from lemmata.kernels.monotone_dbm import learning
    from lemmata.kernels.monotone_dbm.prox import softmax

    if imposed and alpha is None and sign == 1:
        return learning.accuracy(model, data.test, data.test_labels, seen)
    right = named = 0.0
    with torch.no_grad():
        x, phi, bias, states = torch.tensor(data.test), model.dbm.interactions(), model.dbm.bias, model.dbm.states
        for mask in torch.tensor(seen):
            q, known = model.evidence(x, mask)
            held = known.repeat_interleave(torch.tensor(states), 1)
            q = q.masked_fill(~held, 0.0)
            for _ in range(STEPS):
                new = sign * phi(q) + bias
                new = softmax(new if alpha is None else torch.lerp(q, new, alpha), states)
                q = torch.where(held, q, new) if imposed else new
            pixels, labels = (logits.argmax(-1).numpy() for logits in model.read(sign * phi(q) + bias))
            right += float((pixels == data.test)[~mask.numpy()].mean()) / len(seen)
            named += float((labels == data.test_labels).mean()) / len(seen)
    return right, named


def _gains(
    seeds: Sequence[int],
    setup: Setup,
    *,
    shuffled: bool = False,
    imposed: bool = True,
    alpha: float | None = None,
    sign: float = 1.0,
) -> Measurement:
    """Accuracies of the controls plus lower ends of the gains; labels shuffled in training, evidence that only starts
    the iteration, a softmax at a step where it is not the prox, and the other sign of Phi are there to be sabotaged."""
    repeats = setup.size(2, 20)
    ours, controls = [], []
    for seed in seeds:
        data = digits(2, seed=seed)
        seen = masks(repeats, data.test, MISSING, seed=1000 + seed)
        model = _fitted(seed, setup.size(8, EPOCHS), setup.size(32, 128), shuffled)
        ours.append(_shares(model, data, seen, imposed, alpha, sign))
        controls.append(_control(seed, setup.size(1, COPIES), repeats))
    control = np.mean(controls, axis=0)
    low = [stats.student_interval(gains, level=0.05).lower for gains in (np.array(ours) - controls).T]
    bound = np.asarray(theory.completion_gains(control=control))
    return Measurement(control + low, bound, {"what": np.array(["missing pixels", "labels"])})


def _seeds(setup: Setup) -> list[int]:
    """Five splits, or four: quickly, fewer epochs meet logistic regression on one masked copy of every image."""
    return [1000 * setup.seed + s for s in range(setup.size(4, 5))]


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.completion_gains,
        "scikit-learn's digits, 60 % missing",
        _seeds,
        _gains,
        (
            Saboteur("evidence as a start only", {"imposed": False}),
            Saboteur("softmax at a step of .3", {"alpha": 0.3}),
            Saboteur("repulsion for attraction", {"sign": -1.0}),
            Saboteur("labels shuffled in training", {"shuffled": True}),
        ),
        backends=("kernels",),
    ),
)
