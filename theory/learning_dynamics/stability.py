"""Statements on the end of softmax's arithmetic, on StableMax, and on gradients orthogonal to the weights."""

from __future__ import annotations

import numpy as np
import sympy as sp

from lemmata.claims import Assumption, Claim, Source

__all__ = [
    "collapse_lower",
    "collapse_upper",
    "perp_growth",
    "perp_orthogonality",
    "softmax_of_logarithms",
    "stablemax_softmax",
    "stablemax_tail",
]

PRIETO = Source(
    "prieto2025",
    "Prieto, Lucas and Barsbey, Melih and Mediano, Pedro A. M. and Birdal, Tolga",
    "Grokking at the edge of numerical stability",
    "International Conference on Learning Representations",
    2025,
    arxiv="2501.04697",
)


def softmax_of_logarithms(x: np.ndarray) -> np.ndarray:
    """Softmax of ``sign(x) ln(1 + |x|)`` over the last axis."""
    z = np.sign(x) * np.log1p(abs(x))
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


NEAREST = Assumption("arithmetic rounds to nearest, with p bits")
MOVING = Assumption("w is not 0 and has two entries at least")

stablemax_softmax = Claim(
    id="learning_dynamics/stablemax-softmax",
    kind="identity",
    quantity="StableMax of logits x",
    expression=sp.Symbol("softmax"),
    symbols={"softmax": "softmax of sign(x) ln(1 + |x|)"},
    assumptions=(),
    source=PRIETO,
    tolerance=1e-12,
    statement="StableMax is softmax of logits that grow only like a logarithm.",
)

stablemax_tail = Claim(
    id="learning_dynamics/stablemax-tail",
    kind="rate",
    quantity="probability of all wrong classes where the right logit is x and the others are 0",
    expression=1 / sp.Symbol("x"),
    symbols={"x": "logit of the right class"},
    assumptions=(),
    source=PRIETO,
    exponent=1.0,
    statement="Under StableMax the wrong classes keep a probability of order 1/x, where softmax leaves e^(-x).",
)

perp_orthogonality = Claim(
    id="learning_dynamics/perp-orthogonality",
    kind="identity",
    quantity="<w, g⊥>, g⊥ plain or rescaled to the length of g",
    expression=sp.Integer(0),
    symbols={},
    assumptions=(MOVING,),
    source=PRIETO,
    tolerance=1e-12,
    statement="The projected gradient is orthogonal to the weights, rescaled or not.",
)

perp_growth = Claim(
    id="learning_dynamics/perp-growth",
    kind="identity",
    quantity="|w - η g⊥|²",
    expression=sp.Symbol("w2") + sp.Symbol("eta") ** 2 * sp.Symbol("p2"),
    symbols={"w2": "|w|²", "eta": "learning rate", "p2": "|g⊥|²"},
    assumptions=(MOVING,),
    source=PRIETO,
    tolerance=1e-12,
    statement="A step along g⊥ lengthens the weights in second order only: gradient flow keeps their length.",
)

_p, _C = sp.symbols("p C", positive=True)
_ARITHMETIC = {"p": "bits of the significand: 11, 24, 53", "C": "number of classes"}

collapse_upper = Claim(
    id="learning_dynamics/collapse-upper",
    kind="bound",
    quantity="least gap from which on the computed cross-entropy is exactly 0",
    expression=sp.log((_C - 1) * 2**_p),
    symbols=_ARITHMETIC,
    assumptions=(NEAREST,),
    source=PRIETO,
    statement="In any order of summation the loss is 0 once (C-1) e^(-gap) < 2^(-p).",
)

collapse_lower = Claim(
    id="learning_dynamics/collapse-lower",
    kind="bound",
    direction="lower",
    quantity="least gap from which on the computed cross-entropy is exactly 0",
    expression=_p * sp.log(2),
    symbols={"p": _ARITHMETIC["p"]},
    assumptions=(NEAREST,),
    source=PRIETO,
    statement=(
        "In any order of summation the loss is above 0 while e^(-gap) > 2^(-p). A sum that goes from the largest term "
        "to the others meets the bound."
    ),
    hard_problem="a sequential sum that starts from the largest term",
)
