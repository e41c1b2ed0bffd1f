"""What the mean field is worth against the exact model, and its derivatives."""

from __future__ import annotations

import sympy as sp

from lemmata.claims import Claim, Source
from lemmata.theory.monotone_dbm.model import CONVEX, FENG, MONOTONE, WAINWRIGHT

__all__ = ["elbo", "elbo_gap", "elbo_gap_coefficient", "implicit_conditioning", "implicit_gradient"]

PLEFKA = Source(
    "plefka1982",
    "Plefka, Timm",
    "Convergence condition of the TAP equation for the infinite-ranged Ising spin glass model",
    "Journal of Physics A 15, 1971-1978",
    1982,
    doi="10.1088/0305-4470/15/6/035",
)

_s = sp.Symbol("s", positive=True)
_m, _trace, _response, _log_z = sp.symbols("m trace response log_z")

elbo = Claim(
    id="monotone_dbm/elbo",
    kind="bound",
    quantity="-G(q) at the mean field and elsewhere",
    expression=_log_z,
    symbols={"log_z": "log Z, by enumeration"},
    assumptions=(),
    source=WAINWRIGHT,
    statement="KL(q | p) = G(q) + log Z: the negative free energy of any product of distributions is below log Z.",
    hard_problem="no interactions, where the mean field is exact",
)

elbo_gap = Claim(
    id="monotone_dbm/elbo-gap",
    kind="rate",
    quantity="log Z + G(q*) of the interactions s Phi",
    expression=_s**2,
    symbols={"s": "strength of the interactions"},
    assumptions=(CONVEX,),
    source=PLEFKA,
    exponent=-2.0,
    statement="The mean field loses only what is of second order in the interactions.",
)

elbo_gap_coefficient = Claim(
    id="monotone_dbm/elbo-gap-coefficient",
    kind="identity",
    quantity="(log Z + G(q*))/s² of weak interactions s Phi",
    expression=_trace / 4,
    symbols={"trace": "tr(J Phi J Phi), J the covariance of the nodes at softmax(b)"},
    assumptions=(CONVEX,),
    source=PLEFKA,
    constant="asymptotic",
    tolerance=1e-2,  # of third order in s, which is 1e-3
    statement="The gap is half the variance of the doubly centred pair energy: s²/4 tr(J Phi J Phi) + O(s³).",
)

implicit_gradient = Claim(
    id="monotone_dbm/implicit-gradient",
    kind="identity",
    quantity="derivative of q* along a direction of bias and interactions, by differences of solutions or backwards",
    expression=_response,
    symbols={"response": "J (I - Phi J)^{-1} (db + dPhi q*)"},
    assumptions=(CONVEX,),
    source=FENG,
    tolerance=1e-6,
    statement="The mean field's derivatives solve one linear system whose operator is never singular.",
)

implicit_conditioning = Claim(
    id="monotone_dbm/implicit-conditioning",
    kind="bound",
    direction="lower",
    quantity="least eigenvalue of I - S Phi S, S = J^{1/2}",
    expression=(1 + _m) / 2,
    symbols={"m": "least eigenvalue of I - Phi"},
    assumptions=(MONOTONE,),
    source=FENG,
    statement="Since J <= I/2, the symmetric form of the backward system has eigenvalues of at least (1 + m)/2.",
    hard_problem="the antiferromagnet without bias",
)
