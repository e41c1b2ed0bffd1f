"""Whether an eigenfunction on the torus exists hangs on all digits of a rotation number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lemmata.figures import SINGLE_COLUMN, Check, Figure, Progress, canvas, theory
from lemmata.results import dataset
from lemmata.theory.koopman import torus_diophantine
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure as Canvas

__all__ = ["FIGURES"]


def simulate(budget: Budget, seed: int, progress: Progress, *, largest: int = 0) -> xr.Dataset:
    """Sums in exact fractions; nothing is random. The third stage of the Liouville number is at 2^18."""
    from lemmata.experiments.koopman.limits import RATIO, golden, liouville
    from lemmata.sims.koopman import torus_sum

    largest = largest or (3000 if budget == "quick" else 2**18 + 50_000)
    # every frequency up to 100, and the last one before each stage
    k = np.unique(np.concatenate([np.arange(1, 100), np.geomspace(100, largest, 200).round(), [2**18 - 1, 2**18]]))
    k = k[k <= largest].astype(np.int64)
    sums = []
    for i, alpha in enumerate((golden(), liouville())):
        progress(i / 2, alpha.name)
        sums.append(torus_sum(alpha.numerator, alpha.denominator, largest, RATIO)[k - 1])
    bound = float(torus_diophantine(ratio=RATIO, constant=(3 - np.sqrt(5)) / 2))
    return dataset(
        {"log": (("alpha", "k"), np.log10(sums), "log10 of the squared norm"), "bound": ((), bound, "squared norm")},
        {"alpha": ["golden", "liouville"], "k": k},
        ratio=RATIO,
    )


def check(ds: xr.Dataset) -> list[Check]:
    """What the figure says, as statements that could fail."""
    golden, liouville = ds.log.values
    k = ds.k.values
    over = float(np.max(golden)) - float(np.log10(ds.bound))
    # what is left out from k on is bounded by the same series: 4 digits from 200 on
    still = float(golden[-1] - golden[k >= 200][0])
    stages = [stage for stage in (4, 64, 2**18) if stage in k]
    jump = float(np.min([liouville[k == stage] - liouville[k == stage - 1] for stage in stages]))
    least = float(np.min(np.diff(ds.log.values)))
    return [
        Check("no sum falls: least step, log10", least >= 0, least),
        Check("golden mean: the sum keeps the bound: log10 of the ratio", over <= 0, over),
        Check("golden mean: it has converged", abs(still) < 1e-4, still),
        Check("Liouville number: it doubles at every stage: least jump, log10", jump > np.log10(2), jump),
    ]


def caption(ds: xr.Dataset) -> str:
    """The caption, with every number read from the dataset."""
    golden, liouville = ds.log.values[:, -1]
    stages = ", ".join(f"{s:,}" for s in (4, 64, 2**18) if s <= int(ds.k[-1]))
    return (
        f"Squared norm, up to the frequency k, of the phase u of an eigenfunction exp(2πi(y + u(x))) of the skew map "
        f"(x + α, y + β + f(x)) with Fourier coefficients {ds.attrs['ratio']:.3f}^|j| of f, in exact fractions. For "
        f"the golden mean it ends at {10**golden:.1f}, below the bound {float(ds.bound):.1f} (dashed): the "
        f"eigenfunction exists. For a Liouville number it jumps at the stages {stages} (dotted) to "
        f"10^{liouville:.0f}, and so on without end. Numbers of either kind agree to any finite number of digits."
    )


def draw(ds: xr.Dataset) -> Canvas:
    """One panel."""
    figure, axes = canvas(1, 1, width=SINGLE_COLUMN, height=2.6)
    for i, (alpha, label) in enumerate((("golden", "golden mean"), ("liouville", "Liouville number"))):
        axes.step(ds.k, ds.log.sel(alpha=alpha), where="post", color=f"C{i}", label=label, linewidth=1.3)
    theory(axes, ds.k.values[[0, -1]], [float(np.log10(ds.bound))] * 2, "bound, golden mean")
    for stage in (4, 64, 2**18):
        if stage <= int(ds.k[-1]):
            axes.axvline(stage, color="0.4", linestyle=":", linewidth=0.7)
    axes.set(title="Does the eigenfunction exist?", xscale="log", xlabel="largest frequency $k$")
    axes.set_ylabel(r"$\log_{10} \sum_{|j| \leq k} |\hat u_j|^2$")
    axes.set_ylim(-0.8, 1.5 * float(ds.log.max()))
    axes.legend(loc="lower right")
    return figure


FIGURES: tuple[Figure, ...] = (
    Figure("koopman/torus", "An eigenfunction that hangs on all digits", simulate, draw, caption, check),
)
