"""Statements on networks without biases that learn to add modulo M: where the loss leads, and what generalises.

Notation: theta all weights of a network of L matrices with activation max(h, 0), f its logits.
"""

from __future__ import annotations

import sympy as sp

from lemmata.claims import Assumption, Claim
from lemmata.theory.learning_dynamics.stability import PRIETO

__all__ = ["grokking_orthogonal", "naive_loss_direction"]

HOMOGENEOUS = Assumption("the network has no biases, its activation is max(h, 0)")
FITTED = Assumption("all training pairs are classified correctly on the way")

naive_loss_direction = Claim(
    id="learning_dynamics/naive-loss-direction",
    kind="identity",
    quantity="derivative of the logits f by the weights, along the weights",
    expression=sp.Symbol("L") * sp.Symbol("f"),
    symbols={"L": "number of weight matrices", "f": "logits"},
    assumptions=(HOMOGENEOUS,),
    source=PRIETO,
    tolerance=1e-12,
    statement=(
        "Along its own weights a homogeneous network only rescales its logits: the loss of data that are fitted falls, "
        "and no decision changes. This is the direction that perpGrad takes out."
    ),
)

grokking_orthogonal = Claim(
    id="learning_dynamics/grokking-orthogonal",
    kind="demonstration",
    quantity="share of the pairs left out that are wrong after training on cross-entropy",
    expression=sp.Rational(4, 5),
    symbols={},
    assumptions=(HOMOGENEOUS, FITTED),
    source=PRIETO,
    standing="checked",
    statement=(
        "Without weight decay AdamW on cross-entropy fits the pairs for training and stays near chance on the others; "
        "with the part of the gradient along the weights taken out (plain, or rescaled to its length), the same "
        "networks on the same pairs generalise in a quarter of the steps."
    ),
)
