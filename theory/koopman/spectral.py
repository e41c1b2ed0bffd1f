"""Statements on spectral measures: mpEDMD, rational kernels, filters, wave packets.

Why W_1 <= pi ||g||^2/N. On the Krylov space of g the compression of an isometry is itself isometric but for the last
vector, so its unitary polar factor U keeps ``U^n g = K^n g`` for n < N, and with it the moments ``|n| < N``. Two
measures of mass ``||g||^2`` that agree on trigonometric polynomials below degree N differ on a 1-Lipschitz function by
at most ``2 ||g||^2`` times its distance from those polynomials, which is ``pi/(2N)`` at most (Favard).

Why the order m. Smoothing by the rational kernel multiplies the moment ``m_n`` by ``sum_j alpha_j e^{i n eps a_j}``,
whose Taylor series has no terms between 1 and ``(n eps)^m``.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from lemmata.claims import Assumption, Claim
from lemmata.theory.koopman.sources import FAVARD, GOTTLIEB, MPEDMD, RIGGED, TOWNSEND

__all__ = [
    "bump_filter",
    "favard_bound",
    "favard_constant",
    "filter_order",
    "isometry_density",
    "krylov_moments",
    "rational_atom",
    "rational_kink",
    "rational_order",
    "rational_residues",
    "unit_eigenvalues",
    "wave_packet_density",
    "wave_packet_residual",
]


def _not_isometric(problem: Any) -> str | None:
    return None if problem.system.isometric else f"the {problem.system.name} does not preserve the measure"


ISOMETRY = Assumption("K is an isometry: the map preserves the measure", _not_isometric)
EXACT = Assumption("the moments are exact")
POSITIVE = Assumption("the density of the spectral measure is smooth and positive")
ANALYTIC = Assumption("the density of the spectral measure is analytic")
TEST = Assumption("the measure is tested against an analytic function")

_N, _n, _eps, _norm = (sp.Symbol(n, positive=True) for n in ("N", "n", "epsilon", "norm"))

unit_eigenvalues = Claim(
    id="koopman/unit-eigenvalues",
    kind="identity",
    quantity="|λ| of mpEDMD",
    expression=sp.Integer(1),
    symbols={},
    assumptions=(),
    source=MPEDMD,
    tolerance=1e-12,
    statement="mpEDMD's eigenvalues lie on the unit circle, whatever the data.",
)

krylov_moments = Claim(
    id="koopman/krylov-moments",
    kind="identity",
    quantity="∫ exp(inθ) dμ of mpEDMD's atoms, 0 <= n < N",
    expression=sp.Symbol("moment"),
    symbols={"moment": "<K^n g, g>"},
    assumptions=(ISOMETRY, EXACT),
    source=MPEDMD,
    tolerance=1e-10,
    statement="With the dictionary g, Kg, ..., K^{N-1} g mpEDMD reproduces the moments 0..N-1 of g.",
)

favard_bound = Claim(
    id="koopman/favard-bound",
    kind="bound",
    quantity="W₁(μ_g, μ_N) on the circle",
    expression=sp.pi * _norm / _N,
    symbols={"N": "delays in the dictionary", "norm": "‖g‖²"},
    assumptions=(ISOMETRY, EXACT),
    source=FAVARD,
    statement="The spectral measure of mpEDMD with N delays of g is within W_1 <= pi ||g||^2/N of the true one.",
)

favard_constant = Claim(
    id="koopman/favard-constant",
    kind="limit",
    quantity="N W₁(μ_g, μ_N)/‖g‖²",
    expression=sp.pi / 2,
    symbols={"N": "delays in the dictionary"},
    assumptions=(ISOMETRY, EXACT, POSITIVE),
    source=MPEDMD,
    exponent=1.0,
    tolerance=0.01,
    standing="checked",
    statement="For a smooth positive density N W_1/||g||^2 -> pi/2, half of the bound: the atoms become equispaced.",
)

rational_residues = Claim(
    id="koopman/rational-residues",
    kind="identity",
    quantity="residues of the rational kernels at equispaced poles",
    expression=sp.Symbol("fraction"),
    symbols={"fraction": "the published fractions, orders 1 to 6"},
    assumptions=(),
    source=RIGGED,
    tolerance=1e-11,
    statement="The Vandermonde system of the moment conditions has the residues that are printed.",
)

rational_order = Claim(
    id="koopman/rational-order",
    kind="rate",
    quantity="max_θ |ρ_ε - ρ|^(1/m), rational kernel of order m",
    expression=_eps,
    symbols={"epsilon": "width of the kernel"},
    assumptions=(ISOMETRY, EXACT, ANALYTIC),
    source=RIGGED,
    exponent=1.0,
    tolerance=0.08,  # order 6 leaves rounding 1.5 decades only if the widest kernel is no narrow one; order 5 has 5/6
    constant="asymptotic",
    statement="The kernel of order m smooths an analytic density with an error of order epsilon^m.",
)

rational_kink = Claim(
    id="koopman/rational-kink",
    kind="rate",
    quantity="|ρ_ε - ρ| at a kink of the density, rational kernel of order m >= 2",
    expression=_eps,
    symbols={"epsilon": "width of the kernel"},
    assumptions=(ISOMETRY, EXACT, Assumption("the density has a kink")),
    source=TOWNSEND,
    exponent=1.0,
    constant="asymptotic",
    statement=(
        "No order helps beyond the smoothness of the density: at a kink the error is epsilon times the first absolute "
        "moment of the kernel, which is finite from order 2 on."
    ),
)

rational_atom = Claim(
    id="koopman/rational-atom",
    kind="limit",
    quantity="π ε ρ_ε(θ₀), first order, at an eigenvalue exp(iθ₀)",
    expression=sp.Symbol("mass"),
    symbols={"mass": "‖P g‖², P the projection onto the eigenspace"},
    assumptions=(ISOMETRY, EXACT),
    source=TOWNSEND,
    exponent=1.0,
    tolerance=0.005,
    statement="At an eigenvalue the smoothed density times pi epsilon tends to the mass of the atom.",
)

isometry_density = Claim(
    id="koopman/isometry-density",
    kind="identity",
    quantity="ρ_ε from resolvents outside of the circle, non-invertible map",
    expression=sp.Symbol("density"),
    symbols={"density": "from exact moments, each damped by Σ_j α_j exp(inεa_j)"},
    assumptions=(ISOMETRY, EXACT),
    source=TOWNSEND,
    tolerance=1e-10,
    statement="The exterior resolvents of a finite section give the smoothed measure of a map that is not invertible.",
)

filter_order = Claim(
    id="koopman/filter-order",
    kind="rate",
    quantity="|∫ φ (ρ_N - ρ)|^(1/p), filter of order p",
    expression=1 / _N,
    symbols={"N": "moments"},
    assumptions=(ISOMETRY, EXACT, TEST),
    source=GOTTLIEB,
    exponent=1.0,
    constant="asymptotic",
    statement="Fejér's, the cosine and Vandeven's fourth filter err by N^-1, N^-2 and N^-4 against smooth functions.",
)

bump_filter = Claim(
    id="koopman/bump-filter",
    kind="bound",
    quantity="|∫ φ (ρ_N - ρ)|, bump filter",
    expression=sp.Symbol("tail"),
    symbols={"tail": "2 Σ |φ̂_n m_n| min(1, 2/(1 - n/N) exp(-0.10955 (N/n)⁴)) over n >= 1, φ = Σ φ̂_n exp(inθ)"},
    assumptions=(ISOMETRY, EXACT, TEST),
    source=TOWNSEND,
    statement="The bump filter errs by less than any power of 1/N: only moments near the N-th are damped.",
)

wave_packet_density = Claim(
    id="koopman/wave-packet-density",
    kind="identity",
    quantity="<g_θ, g>",
    expression=sp.Symbol("density"),
    symbols={"density": "ρ_ε(θ)"},
    assumptions=(),
    source=RIGGED,
    tolerance=1e-10,
    statement="The wave packet at theta, tested against g, is the smoothed density.",
)

wave_packet_residual = Claim(
    id="koopman/wave-packet-residual",
    kind="identity",
    quantity="‖(K - exp(iθ)) g_θ‖/‖g_θ‖, first order, g of uniform spectral measure",
    expression=sp.sqrt(2 * (1 - sp.sech(_eps))),
    symbols={"epsilon": "width of the kernel"},
    assumptions=(ISOMETRY, EXACT),
    source=RIGGED,
    tolerance=1e-6,  # N delays alias what lies beyond: exp(-N eps) = 2e-9 at the narrowest
    statement=(
        "Wave packets are approximate eigenfunctions. Where the spectral measure is uniform, ||(K - e^{i theta}) "
        "g_theta||^2/||g_theta||^2 = 2(1 - sech epsilon) <= epsilon^2: with q = e^{-epsilon} the packet is sum q^|n| "
        "e^{-i n theta} K^n g/(2 pi)."
    ),
)
