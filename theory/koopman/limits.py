"""What no algorithm can do, as far as it can be watched, and limits that do not commute.

"For every algorithm" is a theorem and no experiment: what is run here are the constructions of its proof. The classes
of problems, by how many limits an algorithm needs, are tabled in docs/koopman.md.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from lemmata.claims import Assumption, Claim
from lemmata.theory.koopman.sources import LIMITS, MPEDMD, TOWNSEND

__all__ = [
    "adversarial_disc",
    "atoms_show_through",
    "involution_data",
    "rage",
    "rage_limits",
    "torus_diophantine",
    "torus_liouville",
    "vacuous_residual",
]

adversarial_disc = Claim(
    id="koopman/adversarial-disc",
    kind="demonstration",
    quantity="Hausdorff distance of an algorithm's answer from the spectrum, on the worse of two systems of equal data",
    expression=1 / sp.sqrt(2),
    symbols={},
    assumptions=(),
    source=LIMITS,
    # {1, -1} and the circle are sqrt(2) apart, and one answer serves both
    statement=(
        "A twist of the disc, whose spectrum is the circle, and an involution, whose spectrum is {1, -1}, have the "
        "same data: whatever is answered is wrong by 1/sqrt(2) for one of them."
    ),
)

involution_data = Claim(
    id="koopman/involution-data",
    kind="identity",
    quantity="images of the data under the involution",
    expression=sp.Symbol("image"),
    symbols={"image": "image under the twist; of G(G(x)): x"},
    assumptions=(),
    source=LIMITS,
    # ellipses of half-axes gap/2.5: an error of rounding is enlarged by the inverse of the smaller one
    tolerance=1e-9,
    statement="H^-1 R H takes every point of the data where the twist takes it, and any point back in two steps.",
)

_x = sp.Symbol("ratio", positive=True)
_c = sp.Symbol("constant", positive=True)


def _golden(problem: Any) -> str | None:
    return None if problem.golden else f"alpha = {problem.name} is approximated too well by fractions"


torus_diophantine = Claim(
    id="koopman/torus-diophantine",
    kind="bound",
    direction="upper",
    quantity="squared norm of the phase of the eigenfunction, of frequencies up to k",
    # |e^{2 pi i j a} - 1| = 2 sin(pi ||ja||) >= 4 ||ja|| >= 4c/|j|, and sum j^2 x^j = x(1 + x)/(1 - x)^3
    expression=2 * _x**2 * (1 + _x**2) / (1 - _x**2) ** 3 / (4 * _c) ** 2,
    symbols={"ratio": "r, f has the Fourier coefficients r^|j|", "constant": "c, ||jα|| >= c/|j|: (3 - sqrt 5)/2"},
    assumptions=(Assumption("||j alpha|| >= c/|j| for all j", _golden),),
    source=LIMITS,
    statement="For a rotation by the golden mean the skew product has an eigenfunction in L^2.",
)

torus_liouville = Claim(
    id="koopman/torus-liouville",
    kind="demonstration",
    quantity="growth of the same norm at the frequency 2^18",
    expression=sp.Integer(2),
    symbols={},
    assumptions=(),
    source=LIMITS,
    statement=(
        "Two beginnings of Liouville numbers, with a gap of 16,404 binary digits after the 18th; the first 18 of one "
        "are those of the golden mean. At the frequency 2^18 the norm more than doubles; for the golden mean it has "
        "converged."
    ),
)

_n, _L = sp.symbols("dimension length", nonnegative=True)

rage = Claim(
    id="koopman/rage",
    kind="identity",
    quantity="mean of ||P_n K^l g||^2 over l <= L",
    expression=sp.Rational(1, 2) + sp.Min(1, (_n + 1) / (_L + 1)) / 2,
    symbols={"dimension": "n, P_n keeps n + 1 modes of the chain", "length": "L"},
    assumptions=(),
    source=LIMITS,
    # K moves the chain on by one mode a step: n + 1 of L + 1 steps are inside
    tolerance=1e-12,
    statement="Half of g is an eigenfunction and stays; the other half leaves every finite dimension after n steps.",
)

rage_limits = Claim(
    id="koopman/rage-limits",
    kind="demonstration",
    quantity="difference of the two iterated limits of the mean of ||P_n K^l g||^2",
    expression=sp.Rational(2, 5),
    symbols={},
    assumptions=(),
    source=LIMITS,
    statement="First L, then n gives the weight 1/2 of the eigenfunction; first n, then L gives 1.",
)

vacuous_residual = Claim(
    id="koopman/vacuous-residual",
    kind="demonstration",
    quantity="true residual of eigenpairs less that on the data, of which there are M = N",
    expression=sp.Rational(1, 2),
    symbols={},
    assumptions=(),
    source=TOWNSEND,
    statement="With as many functions as snapshots every eigenpair fits the data exactly, and nearly all are false.",
)

atoms_show_through = Claim(
    id="koopman/atoms-show-through",
    kind="demonstration",
    quantity="error of a smoothed spectral density, over the density, at epsilon a tenth of the spacing of eigenvalues",
    expression=sp.Integer(1),
    symbols={},
    assumptions=(),
    source=MPEDMD,
    statement="First N to infinity, then epsilon to 0: at a fixed N a small epsilon shows N spikes, and no density.",
)
