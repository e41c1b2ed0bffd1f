"""What a monotone model that was learnt from data is worth."""

from __future__ import annotations

import sympy as sp

from lemmata.claims import Claim
from lemmata.theory.monotone_dbm.model import FENG

__all__ = ["completion_gains"]

completion_gains = Claim(
    id="monotone_dbm/completion-gains",
    kind="bound",
    direction="lower",
    standing="checked",
    quantity="accuracy at missing pixels and at labels: the control's, plus the lower end of the gain's 95 % interval",
    expression=sp.Symbol("control"),
    symbols={"control": "accuracy of the most frequent level, and of logistic regression on masked images"},
    assumptions=(),
    source=FENG,
    statement=(
        "One monotone model fills in pixels better than their most frequent level and names labels better than "
        "logistic regression on masked images: the paired interval over splits, starts and masks lies above 0."
    ),
)
