"""Find experiments by name, lazily, through the entry-point group ``lemmata.experiments``.

Each entry point is named after a family and gives a tuple of `lemmata.verification.Experiment`; any installed
package can add its own.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from lemmata.errors import DomainError, UnknownName

if TYPE_CHECKING:
    from lemmata.verification import Experiment

__all__ = ["GROUP", "experiments", "families", "load", "nearest"]

GROUP = "lemmata.experiments"


def families() -> list[str]:
    """Names of the families that are installed, sorted; nothing of theirs is imported."""
    return sorted({point.name for point in entry_points(group=GROUP)})


@cache
def load(family: str) -> tuple[Experiment, ...]:
    """Experiments of one family, imported on first use.

    Raises
    ------
    UnknownName
        Where no entry point has this name.
    DomainError
        Where two different claims share an id.
    """
    points = [point for point in entry_points(group=GROUP) if point.name == family]
    if not points:
        raise UnknownName(nearest(family, families(), "family"))
    found = tuple(experiment for point in points for experiment in point.load())
    claims: dict[str, object] = {}
    for experiment in found:
        if claims.setdefault(experiment.claim.id, experiment.claim) is not experiment.claim:
            raise DomainError(f"two different claims are called {experiment.claim.id}")
    return found


def experiments(name: str) -> tuple[Experiment, ...]:
    """Experiments of a family (``"halpern"``) or of one claim (``"halpern/residual"``).

    Raises
    ------
    UnknownName
        Where there is none; the message lists the nearest names.
    """
    found = load(name.partition("/")[0])
    if "/" not in name:
        return found
    chosen = tuple(e for e in found if e.claim.id == name)
    if not chosen:
        raise UnknownName(nearest(name, sorted({e.claim.id for e in found}), "claim"))
    return chosen


def nearest(name: str, known: list[str], what: str) -> str:
    """The words of an `UnknownName`: what was asked for and what there is."""
    close = difflib.get_close_matches(name, known, n=3) or known
    return f"no {what} is called {name!r}; there {'is' if len(close) == 1 else 'are'} {', '.join(close) or 'none'}"
