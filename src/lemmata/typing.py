"""Shared type names. Shapes are written in jaxtyping's names and checked in the tests."""

from __future__ import annotations

from typing import Any, Literal

__all__ = ["Backend", "Budget", "Constant", "Direction", "Kind", "Order", "Standing", "Status"]

Kind = Literal["identity", "bound", "mean-bound", "mean-identity", "tail-bound", "rate", "limit", "demonstration"]
Direction = Literal["upper", "lower", "tight"]
Standing = Literal["derived", "checked", "quoted"]
Constant = Literal["finite", "asymptotic", "order-only"]
Order = Literal["Theta", "O"]
Status = Literal["holds", "demonstrated", "violated", "inconclusive", "error"]
Backend = Literal["sims", "kernels", "triton"]
Budget = Literal["quick", "full"]
#: numpy array or torch tensor; `lemmata.sims` takes the first, `lemmata.kernels` the second
Array = Any
