"""What a residual proves, and what a pseudospectrum shows.

``tau_N(z) >= sigma_inf(K - z) = inf ||(K - z)g||/||g||`` always. Where K is normal this is the distance of z from the
spectrum, and where K is an isometry it is at least ``|1 - |z||``, for ``||(K - z)g|| >= |(||Kg|| - |z| ||g||)|``. For
other operators a residual bounds no distance: on a Jordan block of size p residuals of size e^p are reached at a
distance of e.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from lemmata.claims import Assumption, Claim
from lemmata.theory.koopman.sources import AYTON, EMBREE, LIMITS, STOCHASTIC, TOWNSEND, WILLIAMS, WIRSING_PAPER

__all__ = [
    "averaged_residual",
    "certified_error",
    "certified_inclusion",
    "contraction_disc",
    "contraction_pseudospectrum",
    "exact_eigenvalues",
    "exact_residual",
    "gauss_map_pollution",
    "inverse_pseudospectrum",
    "nested_dictionaries",
    "one_image",
    "pseudospectrum_lipschitz",
    "residual_isometry",
    "residual_non_normal",
    "residual_normal",
    "rotation_pseudospectrum",
    "shift_pseudospectrum",
    "spurious_eigenvalues",
    "variance_residual",
    "wirsing_constant",
]

# ------------------------------------------------------------------------------------------ assumptions


def _not_isometric(problem: Any) -> str | None:
    return None if problem.system.isometric else f"the {problem.system.name} does not preserve the measure"


def _not_normal(problem: Any) -> str | None:
    return None if problem.system.normal else f"the {problem.system.name} is not known to be invertible and isometric"


def _named(*names: str) -> Any:
    def broken(problem: Any) -> str | None:
        return None if problem.system.name in names else f"the system is the {problem.system.name}"

    return broken


EXACT = Assumption("the quadrature integrates all products of the dictionary exactly")
ISOMETRY = Assumption("K is an isometry: the map preserves the measure", _not_isometric)
NORMAL = Assumption("K is unitary: the map preserves the measure and is invertible", _not_normal)
SHIFT = Assumption("the map shifts chains k -> 2k", _named("doubling map", "tent map", "logistic map"))
ROTATION = Assumption("the system is a rotation", _named("rotation"))
CONTRACTION = Assumption("the map is a contraction x -> ax of the interval", _named("contraction"))
INDEPENDENT = Assumption("the two images of a point are independent")

_z, _lam, _tau, _a, _k, _t = (sp.Symbol(n) for n in ("z", "modulus", "tau", "a", "k", "t"))

# ----------------------------------------------------------------------------------------------- claims

residual_isometry = Claim(
    id="koopman/residual-isometry",
    kind="bound",
    direction="lower",
    quantity="residual ‖(K - λ)g‖/‖g‖",
    expression=sp.Abs(1 - _lam),
    symbols={"modulus": "|λ|"},
    assumptions=(ISOMETRY, EXACT),
    source=TOWNSEND,
    statement="For an isometry no residual is below |1 - |lambda||: eigenvalues off the circle give themselves away.",
)

residual_normal = Claim(
    id="koopman/residual-normal",
    kind="bound",
    direction="lower",
    quantity="residual ‖(K - λ)g‖/‖g‖",
    expression=sp.Symbol("distance"),
    symbols={"distance": "distance of λ from the spectrum"},
    assumptions=(NORMAL, EXACT),
    source=TOWNSEND,
    statement="For a normal operator no residual is below the distance from the spectrum: it is an error bound.",
)

residual_non_normal = Claim(
    id="koopman/residual-non-normal",
    kind="demonstration",
    quantity="distance of z from the spectrum over τ(z), on linear functions",
    expression=sp.Integer(2),
    symbols={},
    assumptions=(EXACT,),
    source=EMBREE,
    statement=(
        "Where K is not normal a residual bounds no distance: linear maps with a Jordan block have residuals far "
        "smaller than the distance from the spectrum. (Control: a rotation of the plane, scaled.)"
    ),
)

rotation_pseudospectrum = Claim(
    id="koopman/rotation-pseudospectrum",
    kind="identity",
    quantity="τ_N(z)",
    expression=sp.Symbol("nearest"),
    symbols={"nearest": "min over |k| <= K of |exp(2πikα) - z|"},
    assumptions=(ROTATION, EXACT),
    source=TOWNSEND,
    tolerance=1e-10,
    statement="For a rotation and Fourier functions tau is the distance from the nearest eigenvalue.",
)

shift_pseudospectrum = Claim(
    id="koopman/shift-pseudospectrum",
    kind="identity",
    quantity="τ_N(z)",
    expression=sp.Symbol("chain"),
    symbols={"chain": "√min(|1 - z|², 1 + |z|² - 2|z| cos(π/(p + 1)))"},
    assumptions=(SHIFT, EXACT),
    source=TOWNSEND,
    tolerance=1e-10,
    statement=(
        "For the doubling, tent and logistic maps tau is that of the longest chain k -> 2k in the dictionary: it falls "
        "to |1 - |z|| like 1/log(N)^2, and on the circle like 1/log(N)."
    ),
)

spurious_eigenvalues = Claim(
    id="koopman/spurious-eigenvalues",
    kind="demonstration",
    quantity="residual of each of EDMD's eigenvalues but 1",
    expression=sp.Rational(99, 100),
    symbols={},
    assumptions=(SHIFT, EXACT),
    source=AYTON,
    statement=(
        "On a shift all eigenvalues of EDMD but 1 are at 0, far from the approximate point spectrum, whatever the size "
        "of the dictionary, and their residuals are 1: any threshold removes them. (Control: the constant's residual.)"
    ),
)

nested_dictionaries = Claim(
    id="koopman/nested-dictionaries",
    kind="bound",
    quantity="τ of a larger dictionary, same z and data",
    expression=sp.Symbol("smaller"),
    symbols={"smaller": "τ of the dictionary within it"},
    assumptions=(),
    source=TOWNSEND,
    statement="tau_N(z) does not rise with the dictionary, on any data.",
)

pseudospectrum_lipschitz = Claim(
    id="koopman/pseudospectrum-lipschitz",
    kind="bound",
    quantity="|τ(z) - τ(w)|",
    expression=sp.Symbol("apart"),
    symbols={"apart": "|z - w|"},
    assumptions=(),
    source=EMBREE,
    statement="tau is Lipschitz with constant 1, so that a grid tells what lies between its points.",
)

inverse_pseudospectrum = Claim(
    id="koopman/inverse-pseudospectrum",
    kind="identity",
    quantity="τ(1/z) with X and Y swapped",
    expression=_tau / sp.Abs(_z),
    symbols={"tau": "τ(z)", "z": "|z|"},
    assumptions=(NORMAL, EXACT),
    source=TOWNSEND,
    tolerance=1e-9,
    statement="||(K* - w)g|| = |w| ||(K - 1/w)g|| for unitary K: the inverse system has tau(1/z) = tau(z)/|z|.",
)

contraction_pseudospectrum = Claim(
    id="koopman/contraction-pseudospectrum",
    kind="identity",
    quantity="τ_N(z), polynomials in L²(0, 1)",
    expression=sp.Symbol("hilbert"),
    symbols={"hilbert": "from Hilbert's matrices in 60 digits"},
    assumptions=(CONTRACTION, EXACT),
    source=TOWNSEND,
    tolerance=1e-8,  # τ = 6e-4 is a singular value of a matrix of norm 1.4: 1e-16/6e-4 and some
    statement="The pseudospectrum of a contraction from stacked QR is that of the exact Gram matrices of monomials.",
)

contraction_disc = Claim(
    id="koopman/contraction-disc",
    kind="demonstration",
    quantity="distance of z from EDMD's eigenvalues a^k over τ_N(z)",
    expression=sp.Integer(20),
    symbols={},
    assumptions=(CONTRACTION, EXACT),
    source=LIMITS,
    statement=(
        "On L^2(0, 1) every x^s with Re s > -1/2 is an eigenfunction of x -> ax: the disc |z| < a^-1/2 is spectrum, "
        "where EDMD with polynomials sees a^k alone, without a residual. Which spectrum there is depends on the space. "
        "(Control: z beyond the disc.)"
    ),
)

exact_eigenvalues = Claim(
    id="koopman/exact-eigenvalues",
    kind="identity",
    quantity="eigenvalues of EDMD on invariant dictionaries",
    expression=sp.Symbol("known"),
    symbols={"known": "those of the system in closed form"},
    assumptions=(),
    source=WILLIAMS,
    tolerance=1e-10,
    statement="On an invariant dictionary EDMD gives the eigenvalues of K, from any data that determine them.",
)

exact_residual = Claim(
    id="koopman/exact-residual",
    kind="bound",
    quantity="residuals of EDMD on invariant dictionaries",
    expression=sp.Float(1e-12),
    symbols={},
    assumptions=(),
    source=AYTON,
    statement="On an invariant dictionary every residual vanishes: 1e-12 is what stacked QR leaves of rounding.",
)

certified_inclusion = Claim(
    id="koopman/certified-inclusion",
    kind="bound",
    quantity="distance of each point of the output from the approximate point spectrum",
    expression=sp.Symbol("error"),
    symbols={"error": "the error bound that comes with the output"},
    assumptions=(NORMAL, EXACT),
    source=LIMITS,
    statement="Every point that the certified algorithm returns lies within its own error bound of the spectrum.",
)

certified_error = Claim(
    id="koopman/certified-error",
    kind="demonstration",
    quantity="largest residual of EDMD's eigenpairs over the bound of the certified algorithm",
    expression=sp.Integer(2),
    symbols={},
    assumptions=(ISOMETRY, EXACT),
    source=LIMITS,
    statement=(
        "On a shift EDMD's largest residual stays at 1 whatever the size of the dictionary, and the certified "
        "algorithm's bound falls below half of it. (Control: the rotation, which EDMD does not pollute.)"
    ),
)

gauss_map_pollution = Claim(
    id="koopman/gauss-map-pollution",
    kind="demonstration",
    quantity="how far an eigenvalue above 0.02 moves from one degree to another, relative to itself",
    expression=sp.Rational(1, 100),
    symbols={},
    assumptions=(Assumption("the operator is collocated on monomials at Chebyshev points"),),
    source=WIRSING_PAPER,
    statement=(
        "Collocating the Gauss map's transfer operator gives a real eigenvalue between the true ones that belongs to "
        "nothing: in long arithmetic too it moves with the degree. (Control: 1 and Wirsing's constant.)"
    ),
)

wirsing_constant = Claim(
    id="koopman/wirsing-constant",
    kind="identity",
    quantity="second eigenvalue of the Gauss map's transfer operator, monomials at Chebyshev points",
    expression=sp.Symbol("wirsing"),
    symbols={"wirsing": "-0.30366300289873265860"},
    assumptions=(),
    source=WIRSING_PAPER,
    tolerance=5e-12,  # degree 16 leaves 1.3e-12
    statement="Collocation finds Wirsing's constant.",
)

variance_residual = Claim(
    id="koopman/variance-residual",
    kind="identity",
    quantity="residual along single steps of the Hermite functions under the Ornstein-Uhlenbeck process",
    expression=sp.sqrt(1 - sp.exp(-2 * _k * _t)),
    symbols={"k": "degree", "t": "time θτ between snapshots"},
    assumptions=(INDEPENDENT, EXACT),
    source=STOCHASTIC,
    tolerance=1e-6,
    statement="E |g(F(x)) - lambda g(x)|^2 = 1 - e^{-2kt} for the Hermite function of degree k: L sees the noise.",
)

averaged_residual = Claim(
    id="koopman/averaged-residual",
    kind="bound",
    quantity="residual of the averaged operator, Hermite functions under the Ornstein-Uhlenbeck process",
    expression=sp.Integer(0),
    symbols={},
    assumptions=(INDEPENDENT, EXACT),
    source=STOCHASTIC,
    statement="The Hermite functions are eigenfunctions of the averaged operator, and two images show it.",
)

one_image = Claim(
    id="koopman/one-image",
    kind="demonstration",
    quantity="residual from one image in both places, Hermite functions under the Ornstein-Uhlenbeck process",
    expression=sp.Rational(1, 2),
    symbols={},
    assumptions=(),
    source=STOCHASTIC,
    statement=(
        "With one image of each point exact eigenfunctions of the averaged operator have residuals of order 1. "
        "(Control: two images.)"
    ),
)
