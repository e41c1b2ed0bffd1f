"""The errors of lemmata: each message says what was wrong, the number that shows it, and what to try.

A wrong Python type stays `TypeError`. Input errors are raised before any work.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AssumptionError",
    "DomainError",
    "LemmataError",
    "NonFiniteError",
    "NotConverged",
    "ShapeError",
    "UnknownName",
]


class LemmataError(Exception):
    """Base class of every error that lemmata raises on purpose."""


class ShapeError(LemmataError, ValueError):
    """An array has the wrong shape; the message names the expected and the given one."""


class DomainError(LemmataError, ValueError):
    """A number lies outside its admissible set; the message names the symbol, the value and the set."""


class NonFiniteError(DomainError):
    """An operator or an input gave NaN or infinity.

    Attributes
    ----------
    step : int or None
        Step k at which the operator was evaluated, counted from 0; None for an input.
    index : tuple of int or None
        Index of the first bad entry.
    last_residual : float or None
        Last finite residual before the failure, where one was computed.
    """

    def __init__(
        self,
        message: str,
        *,
        step: int | None = None,
        index: tuple[int, ...] | None = None,
        last_residual: float | None = None,
    ) -> None:
        super().__init__(message)
        self.step = step
        self.index = index
        self.last_residual = last_residual


class AssumptionError(LemmataError, ValueError):
    """An assumption of a claim fails on a problem; the message carries the number that breaks it."""


class UnknownName(LemmataError, KeyError):
    """No claim, family or figure has this name; the message lists the nearest ones."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0])


class NotConverged(LemmataError, RuntimeError):
    """A solver spent its budget before it met its tolerance.

    Attributes
    ----------
    result : object
        What the solver had reached; returned instead of raised with ``on_fail="return"``.
    """

    def __init__(self, message: str, result: Any = None) -> None:
        super().__init__(message)
        self.result = result
