"""Reading a permutation from signs: accuracy of trained ensembles against their size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lemmata.experiments.ntk.permutation import dense_law
from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.paper_figures.ntk.shared import LEVEL, mean_and_half
from lemmata.problems.ntk import Network, Permutation, binary_inputs, normalized, read_bits
from lemmata.results import dataset
from lemmata.stats import clopper_pearson
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

    from lemmata.theory.ntk.permutation import Limit

__all__ = ["FIGURES"]

#: k, parametrisation, share of the networks (few are needed under standard), colour, marker, filled
CASES: tuple[tuple[int, Limit, float, str, str, bool], ...] = (
    (4, "ntk", 1.0, "C0", "o", True),
    (8, "ntk", 1.0, "C1", "s", True),
    (8, "standard", 0.25, "C2", "D", False),
)
#: disjoint groups below which a share is not drawn
GROUPS = 8
#: draws behind the law of all inputs together
DRAWS = 4000


def _label(k: int, parametrization: str) -> str:
    return f"k = {k}, {parametrization}"


def _train(k: int, parametrization: Any, width: int, networks: int, seed: int) -> np.ndarray:
    """Outputs of trained networks on every input with two ones or more, [network, input, coordinate], permuted back."""
    import torch

    from lemmata.kernels.ntk import train

    pi, beta = Permutation.shift(k), 1 / (2 * math.pi)
    X, Y, X_test = (torch.tensor(a, dtype=torch.float32) for a in (pi.X, pi.Y, normalized(binary_inputs(k))))
    diagonal, factor = (1.0, 1) if parametrization == "ntk" else (0.5, width)
    slowest = k * beta / (diagonal + (k - 1) * beta)
    steps = math.ceil(math.log(1e-5) / math.log(slowest))
    run = train(
        Network(k, width, k, parametrization=parametrization),
        X,
        Y,
        X_test=X_test,
        eta=k / (diagonal + (k - 1) * beta) / factor,
        steps=steps,
        at=[steps],
        loss="half_sum",
        replicates=networks,
        seed=seed,
    )
    return run["output"].values[:, 0, k:][..., pi.images]


def _groups(outputs: np.ndarray, size: int) -> np.ndarray:
    """Mean outputs of disjoint groups of networks, [group, input, coordinate]."""
    count = len(outputs) // size
    return outputs[: count * size].reshape(count, size, *outputs.shape[1:]).mean(axis=1)


def simulate(
    budget: Budget, seed: int, progress: Progress, *, networks: int = 0, units: int = 256, largest: int = 0
) -> xr.Dataset:
    """Shares of inputs read without a mistake, by ensembles of 1, 2, 4, ... networks of width ``units k``."""
    from lemmata.theory.ntk import failure_bound

    networks = networks or (4096 if budget == "quick" else 32768)
    sizes = 2 ** np.arange(1 + (largest or (9 if budget == "quick" else 12)))
    single, half, law, every, low, high, every_law = np.full((7, len(CASES), sizes.size), np.nan)
    for i, (k, parametrization, share, *_) in enumerate(CASES):
        count = int(share * networks)
        progress(i / len(CASES), f"training {count} networks, {_label(k, parametrization)}")
        outputs = _train(k, parametrization, units * k, count, seed)
        bits = binary_inputs(k)
        two = bits.sum(axis=1) == 2
        mean, covariance = dense_law(k, bits, gates=float(parametrization == "ntk"))
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0))
        noise = np.random.default_rng([seed, i]).standard_normal((DRAWS, k, len(bits))) @ root.T
        for j, size in enumerate(map(int, sizes)):
            law[i, j] = 1 - failure_bound(k, 2, size, parametrization=parametrization)
            drawn = read_bits(mean + noise.swapaxes(1, 2) / math.sqrt(size)) == bits
            every_law[i, j] = drawn.all(axis=(1, 2)).mean()
            if count < GROUPS * size:
                continue
            right = (read_bits(_groups(outputs, size)) == bits).all(axis=2)
            single[i, j], half[i, j] = mean_and_half(right[:, two].mean(axis=1))
            whole = right.all(axis=1)
            interval = clopper_pearson(int(whole.sum()), whole.size, level=LEVEL / 2)
            every[i, j], low[i, j], high[i, j] = whole.mean(), interval.lower, interval.upper
    dims = ("case", "models")
    return dataset(
        {
            "single": (dims, single, "share of inputs with two ones that are read without a mistake"),
            "single_low": (dims, (single - half).clip(min=0), "lower end of its interval"),
            "single_high": (dims, (single + half).clip(max=1), "upper end"),
            "single_law": (dims, law, "the law's, exact"),
            "every": (dims, every, "share of ensembles that read every input"),
            "every_low": (dims, low, "lower end of its interval"),
            "every_high": (dims, high, "upper end"),
            "every_law": (dims, every_law, "the law's, sampled"),
        },
        {"case": [_label(k, p) for k, p, *_ in CASES], "models": sizes},
        networks=networks,
        units=units,
    )


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    # a bias of 5 % in the mean outside shifts the curve by 10 % in R, that is by at most .06 in probability
    apart = [
        float(np.fmax(ds[f"{name}_low"] - ds[f"{name}_law"], ds[f"{name}_law"] - ds[f"{name}_high"]).max())
        for name in ("single", "every")
    ]
    top = min(float(ds.single.sel(case=c).dropna("models")[-1]) for c in ds.case.values)
    first = float(ds.every.isel(models=0).max())
    fewer = float((ds.single.sel(case=_label(8, "standard")) - ds.single.sel(case=_label(8, "ntk"))).min())
    return [
        Check("one input: the law lies within .06 of every interval: largest distance", apart[0] <= 0.06, apart[0]),
        Check("every input: the law lies within .1 of every interval", apart[1] <= 0.1, apart[1]),
        Check("single networks read nearly no permutation whole: largest share", first <= 0.1, first),
        Check("the largest ensembles read 9 of 10 inputs at least: least share", top >= 0.9, top),
        Check("standard networks never need more than ntk ones at k = 8: least lead", fewer >= -0.03, fewer),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    from lemmata.theory.ntk import ensemble_size

    needed = ", ".join(
        f"{ensemble_size(k, scope='single', parametrization=p)} and {ensemble_size(k, scope='all', parametrization=p)} "
        f"({_label(k, p)})"
        for k, p, *_ in CASES
    )
    return (
        f"Two-layer ReLU networks of width {int(ds.attrs['units'])} k learn the cyclic shift of k places from the k "
        f"unit vectors, {int(ds.attrs['networks']):,} networks a curve (a quarter under standard); a bit is 1 where "
        f"the mean of R networks is positive. (a) Share of the inputs with two ones, the hardest, that are read "
        f"without a mistake; (b) share of ensembles that read all 2^k - 1 - k inputs with two ones or more. Disjoint "
        f"groups of networks, {GROUPS} or more, "
        f"bands {100 * (1 - LEVEL):g} % intervals. Dashed: the law at infinite width, exact in (a), {DRAWS:,} draws in "
        f"(b). Under the standard parametrisation the readout alone learns in the limit, which needs fewer networks. "
        f"Union bounds promise 9 of 10 with R = {needed}, for one input and for all."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """One input on the left, all inputs on the right."""
    figure, panels = canvas(1, 2, width=DOUBLE_COLUMN, height=2.8, sharey=True)
    titles = ("(a) one input with two ones", "(b) every input")
    for axes, name, title in zip(panels, ("single", "every"), titles, strict=True):
        for k, parametrization, _, color, marker, filled in CASES:
            whole = ds.sel(case=_label(k, parametrization))
            at = whole.dropna("models")
            label, ends = f"$k = {k}$, {parametrization}", (at[f"{name}_low"], at[f"{name}_high"])
            measured(axes, at.models, at[name], label, color=color, marker=marker, filled=filled, band=ends)
            theory(axes, ds.models, whole[f"{name}_law"], f"{label}, law")
        axes.set(title=title, xlabel="networks $R$")
        axes.set_xscale("log", base=2)
    panels[0].set_ylabel("share read without a mistake")
    handles, labels = panels[0].get_legend_handles_labels()
    entries = {name: handle for handle, name in zip(handles, labels, strict=True) if not name.endswith("law")}
    entries["law of the limit"] = handles[1]
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=len(entries))
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "ntk/permutation-accuracy",
        "Accuracy of ensembles that learn a permutation, against their size",
        simulate,
        draw,
        caption,
        check,
    ),
)
