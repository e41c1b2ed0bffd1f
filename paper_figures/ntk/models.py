"""How many networks a permutation needs: sampled outputs, exact tails, and what union bounds ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lemmata.experiments.ntk.permutation import dense_law
from lemmata.figures import DOUBLE_COLUMN, Check, Figure, Progress, canvas, measured, theory
from lemmata.paper_figures.ntk.shared import LEVEL, slope
from lemmata.problems.ntk import binary_inputs
from lemmata.results import dataset
from lemmata.stats import clopper_pearson
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES", "needed"]

#: failure probability
DELTA = 0.1
PARAMETRIZATIONS = ("ntk", "standard")
SCOPES = ("single", "all")


def needed(k: int, scope: str, parametrization: str, draws: int, *, seed: int) -> tuple[float, float, float]:
    """Networks with which 9 of 10 ensembles make no mistake, and the interval of this number, from drawn outputs.

    The mean of R networks is ``v + z/sqrt(R)`` with z drawn from the law of one. It reads a bit rightly from the R on
    at which ``z/sqrt(R)`` no longer outweighs v, so that a draw needs ``R = max (z/v)^2`` over the bits that z speaks
    against; the quantile of that number over draws is what is asked for, and order statistics bound it.
    """
    bits = binary_inputs(k, 2)[:1] if scope == "single" else binary_inputs(k)
    mean, covariance = dense_law(k, bits, gates=float(parametrization == "ntk"))
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    rng = np.random.default_rng([seed, k])
    asked = np.empty(draws)
    piece = max(1, 2**22 // (k * len(bits)))
    for start in range(0, draws, piece):
        count = min(piece, draws - start)
        noise = (rng.standard_normal((count, k, len(bits))) @ root.T).swapaxes(1, 2)
        against = np.minimum(noise / mean, 0)  # negative where the draw speaks against the bit
        asked[start : start + count] = (against**2).max(axis=(1, 2))
    asked.sort()
    # the rank below which a share 1 - DELTA of the law lies is within these limits
    below = round((1 - DELTA) * draws)
    limits = clopper_pearson(below, draws, level=LEVEL / 2)
    low, high = (asked[min(draws - 1, int(p * draws))] for p in (limits.lower, limits.upper))
    return float(asked[below - 1]), float(low), float(high)


def simulate(
    budget: Budget, seed: int, progress: Progress, *, draws: int = 0, largest: int = 0, last: int = 0
) -> xr.Dataset:
    """Counts for k = 3, ..., 2^last; all inputs are drawn up to k = `largest`."""
    from lemmata.theory.ntk import ensemble_size, sub_gaussian_size

    draws = draws or (4000 if budget == "quick" else 40000)
    largest = largest or (8 if budget == "quick" else 11)
    k = np.unique(np.geomspace(4, 2 ** (last or 9), 22).round().astype(int))
    k = np.unique(np.append(k, np.arange(4, 13)))
    sampled, low, high = np.full((3, len(PARAMETRIZATIONS), len(SCOPES), k.size), np.nan)
    exact, crude, bound = np.full((3, len(PARAMETRIZATIONS), len(SCOPES), k.size), np.nan)
    for p, parametrization in enumerate(PARAMETRIZATIONS):
        for s, scope in enumerate(SCOPES):
            for i, q in enumerate(map(int, k)):
                progress((p + (s + i / k.size) / 2) / 2, f"{parametrization}, {scope}, k = {q}")
                options: dict[str, Any] = {"delta": DELTA, "scope": scope, "parametrization": parametrization}
                exact[p, s, i] = ensemble_size(q, union="weighted", **options)
                crude[p, s, i] = ensemble_size(q, union="crude", **options)
                bound[p, s, i] = sub_gaussian_size(q, **options)
                if q <= (64 if scope == "single" else largest):
                    found = needed(q, scope, parametrization, draws, seed=seed)
                    sampled[p, s, i], low[p, s, i], high[p, s, i] = found
    dims = ("parametrization", "scope", "k")
    return dataset(
        {
            "sampled": (dims, sampled, "networks, 9 of 10 drawn ensembles right"),
            "low": (dims, low, "lower end of its interval"),
            "high": (dims, high, "upper end"),
            "exact": (dims, exact, "union bound over bits with exact tails, inputs weighted by their number of ones"),
            "crude": (dims, crude, "the same with the tail of the hardest input for all"),
            "bound": (dims, bound, "sub-Gaussian tail and crude union bound"),
        },
        {"parametrization": list(PARAMETRIZATIONS), "scope": list(SCOPES), "k": k},
        draws=draws,
    )


def _slope(ds: xr.Dataset, name: str, scope: str, log: bool = False) -> float:
    """Slope in k from k = 64 on under ntk, with ln k divided out where it is asked for."""
    curve = ds[name].sel(parametrization="ntk", scope=scope)[(ds.k >= 64).values]
    return slope(curve.k, curve / np.log(curve.k) if log else curve)


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    above = float((ds.low / ds.exact).max())
    single = ds.sel(scope="single")
    near = float((single.exact / single.high).max())
    order = float((ds.crude / ds.bound).max())
    crude, weighted, one = (
        _slope(ds, "crude", "all"),
        _slope(ds, "exact", "all"),
        _slope(ds, "exact", "single", log=True),
    )
    fewer = float((ds.exact.sel(parametrization="standard") / ds.exact.sel(parametrization="ntk")).max())
    return [
        Check("no drawn ensemble needs more than the exact tails promise: largest ratio", above <= 1, above),
        Check("for one input the promise is within 15 % of what is needed: largest ratio", near <= 1.15, near),
        Check("exact tails ask for less than sub-Gaussian ones: largest ratio", order <= 1, order),
        Check("all inputs, crude union: slope 1.75 to 2 in k", 1.75 <= crude <= 2, crude),
        Check("all inputs, weighted union: slope below 1.2", weighted <= 1.2, weighted),
        Check("one input: slope 1 ± .15 after ln k", abs(one - 1) <= 0.15, one),
        Check("the standard parametrisation needs at most half as many: largest ratio", fewer <= 0.5, fewer),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    last = int(ds.k[ds.sampled.sel(parametrization="ntk", scope="all").notnull().values][-1])
    at = ds.sel(k=last, scope="all", parametrization="ntk")
    return (
        f"Networks with which an ensemble reads a permutation of k places without a mistake with probability "
        f"{1 - DELTA:g}, at infinite width. Markers: {int(ds.attrs['draws']):,} draws of the outputs, with "
        f"{100 * (1 - LEVEL):g} % intervals. Dashed: union bounds with exact Gaussian tails. (a) One input with two "
        f"ones. (b) All inputs with two ones or more, under ntk: a bound that gives all 2^k - 1 inputs the margin of "
        f"the hardest grows like k² (slope {_slope(ds, 'crude', 'all'):.2f} from k = 64 on), one that weighs inputs by "
        f"their number of ones like k ln k ({_slope(ds, 'exact', 'all'):.2f}): few inputs have two ones. At k = {last} "
        f"the draws need {float(at.sampled):.0f} ({float(at.low):.0f} to {float(at.high):.0f}), the bounds ask for "
        f"{float(at.exact):.0f} and {float(at.crude):.0f}; the quadratic order is an upper bound that is not attained."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """One input on the left, all inputs on the right."""
    figure, (left, right) = canvas(1, 2, width=DOUBLE_COLUMN, height=3.1)
    for parametrization, color, marker, filled in zip(PARAMETRIZATIONS, ("C0", "C2"), "oD", (True, False), strict=True):
        at = ds.sel(parametrization=parametrization, scope="single")
        seen = at.dropna("k")
        ends = seen.low, seen.high
        measured(
            left,
            seen.k,
            seen.sampled,
            f"drawn, {parametrization}",
            color=color,
            marker=marker,
            filled=filled,
            band=ends,
        )
        theory(left, at.k, at.exact, f"exact tails, {parametrization}")
    at = ds.sel(parametrization="ntk", scope="all")
    seen = at.dropna("k")
    measured(right, seen.k, seen.sampled, "drawn, ntk", color="C0", band=(seen.low, seen.high))
    theory(right, at.k, at.exact, "weighted union")
    right.plot(at.k, at.crude, color="C1", linestyle="-.", label="crude union")
    for axes, power, name, start in (
        (left, 1, r"order $k\,\ln k$", float(ds.exact.sel(parametrization="ntk", scope="single")[-1])),
        (right, 2, r"order $k^2$", float(at.crude[-1])),
    ):
        guide = ds.k[(ds.k >= 40).values]
        shape = guide * np.log(guide) if power == 1 else guide**2
        axes.plot(guide, 2.5 * start * shape / shape[-1], color="0.4", linestyle=":", label=name)
    left.set(title="(a) one input with two ones", ylabel="networks needed")
    right.set(title="(b) every input")
    for axes in (left, right):
        axes.set(yscale="log", xlabel="places $k$")
        axes.set_xscale("log", base=2)
        handles, labels = axes.get_legend_handles_labels()
        entries = dict(zip(labels, handles, strict=True))
        if axes is left:
            entries["exact tails"] = entries.pop("exact tails, ntk")
            entries.pop("exact tails, standard")
        axes.legend(entries.values(), entries.keys(), loc="upper left")
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure(
        "ntk/permutation-models",
        "Networks that a permutation needs, against its length",
        simulate,
        draw,
        caption,
        check,
    ),
)
