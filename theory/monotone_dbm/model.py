"""The parametrisation, strong convexity of the free energy, and where the mean field is unique."""

from __future__ import annotations

from typing import Any

import sympy as sp

from lemmata.claims import Assumption, Claim, Source

__all__ = [
    "conditioning",
    "couplings",
    "magnetisation",
    "modulus",
    "strong_convexity",
    "unique_fixed_point",
    "uniqueness_threshold",
]

FENG = Source(
    "feng2023",
    "Feng, Zhili and Winston, Ezra and Kolter, J. Zico",
    "Monotone deep Boltzmann machines",
    "Transactions on Machine Learning Research",
    2023,
    arxiv="2307.04990",
)
WAINWRIGHT = Source(
    "wainwright2008",
    "Wainwright, Martin J. and Jordan, Michael I.",
    "Graphical models, exponential families, and variational inference",
    "Foundations and Trends in Machine Learning 1, 1-305",
    2008,
    "Section 5.3",
    doi="10.1561/2200000001",
)


def _attractive(model: Any) -> str | None:
    return None if model.convexity > 0 else f"its largest eigenvalue is {1 - model.modulus:.6g}"


def _not_monotone(model: Any) -> str | None:
    return None if model.modulus > 0 else f"the least eigenvalue of I - Pi Phi Pi is {model.modulus:.6g}"


CONVEX = Assumption("the largest eigenvalue of Pi Phi Pi is below 2", _attractive)
MONOTONE = Assumption("I - Pi Phi Pi is positive definite", _not_monotone)

_m, _tol, _convexity, _distance = sp.symbols("m tol convexity distance")
_product, _root, _reduced = sp.symbols("product root reduced")

modulus = Claim(
    id="monotone_dbm/modulus",
    kind="bound",
    direction="lower",
    quantity="least eigenvalue of the symmetric part of I - Phi",
    expression=_m,
    symbols={"m": "modulus of the parametrisation, in (0, 1)"},
    assumptions=(),
    source=FENG,
    statement="Phi = D - A_hat' A_hat has I - Phi >= m I whatever A is: I - D >= m I and A_hat' A_hat >= 0.",
    hard_problem="the antiferromagnet, along the directions in which its nodes differ",
)

couplings = Claim(
    id="monotone_dbm/couplings",
    kind="identity",
    quantity="blocks Phi_ij of the matrix",
    expression=-_product,
    symbols={"product": "A_hat_i' A_hat_j, zero for i = j"},
    assumptions=(),
    source=FENG,
    tolerance=1e-14,
    statement="No node interacts with itself and Phi is symmetric, so that it is the matrix of a pairwise model.",
)

strong_convexity = Claim(
    id="monotone_dbm/strong-convexity",
    kind="bound",
    direction="lower",
    quantity="G(q) - G(q*)",
    expression=_convexity * _distance**2 / 2,
    symbols={"convexity": "2 - lambda_max(Pi Phi Pi)", "distance": "||q - q*||"},
    assumptions=(CONVEX,),
    source=FENG,
    statement=(
        "The entropy has curvature at least 2 along changes that keep each node's total, so the free energy is "
        "strongly convex with modulus 2 - lambda_max(Pi Phi Pi), at least 1 + m here."
    ),
    hard_problem="the antiferromagnet without bias, near its uniform mean field",
)

unique_fixed_point = Claim(
    id="monotone_dbm/unique-fixed-point",
    kind="bound",
    quantity="largest distance between solutions from different starts",
    expression=2 * _tol,
    symbols={"tol": "certificate of each solution, Euclidean"},
    assumptions=(CONVEX,),
    source=FENG,
    statement="From vertices, uniform and random starts alike the iteration arrives at the one mean field.",
)

uniqueness_threshold = Claim(
    id="monotone_dbm/uniqueness-threshold",
    kind="demonstration",
    quantity="distance between the mean fields reached from two ordered starts",
    expression=_root,
    symbols={"root": "largest root of m = tanh(c m), half the distance of the two ordered mean fields"},
    assumptions=(),
    source=FENG,
    statement=(
        "The threshold 2 on the largest eigenvalue of Pi Phi Pi is sharp: two Ising spins have it at coupling 1, a "
        "little above which there are three mean fields and a little below one."
    ),
)

magnetisation = Claim(
    id="monotone_dbm/magnetisation",
    kind="identity",
    quantity="|m_1| of the mean field of two Ising spins reached from an ordered start",
    expression=_root,
    symbols={"root": "largest root of m = tanh(c m)"},
    assumptions=(),
    source=WAINWRIGHT,
    tolerance=1e-8,
    statement="The ordered branch bifurcates from 0 at c = 1 and follows m = tanh(c m).",
)

conditioning = Claim(
    id="monotone_dbm/conditioning",
    kind="identity",
    quantity="mean field of the unobserved nodes, evidence imposed at every step",
    expression=_reduced,
    symbols={"reduced": "mean field of the reduced model, Phi_UU and b_U + Phi_UC x_C"},
    assumptions=(CONVEX,),
    source=FENG,
    tolerance=1e-8,
    statement=(
        "Observing nodes leaves a model of the others to which the same guarantee applies, whatever the mask: a "
        "principal submatrix of I - Phi is at least m I."
    ),
)
