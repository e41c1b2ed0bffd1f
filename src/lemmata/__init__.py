"""lemmata: theorems you can run.

Each algorithm's analytic statement stands beside a Numba simulator, a batched PyTorch implementation and an
experiment that could refute it.

>>> import lemmata as lm
>>> verdict = lm.verify("halpern/residual-tight")
>>> verdict.status
'holds'

Importing this package loads none of torch, cvxpy, matplotlib or sympy; names are resolved on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lemmata.claims import Claim, Verdict
    from lemmata.verification import verify

_HOME = {"Claim": "lemmata.claims", "Verdict": "lemmata.claims", "verify": "lemmata.verification"}

__all__ = ["Claim", "Verdict", "__version__", "verify"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'lemmata' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
