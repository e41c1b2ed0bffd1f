"""Assert that an algorithm does what a claim says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lemmata.claims import Verdict
from lemmata.errors import DomainError
from lemmata.typing import Budget
from lemmata.verification import Setup, choose, run

__all__ = ["assert_claim"]


def assert_claim(
    algorithm: Callable[..., Any],
    claim: str,
    *,
    instance: str | None = None,
    budget: Budget = "quick",
    seed: int = 0,
) -> Verdict:
    """Run a user's algorithm through the experiments of a claim and fail unless every one holds.

    Parameters
    ----------
    algorithm : callable
        Put in place of the implementation in lemmata; ``lemmata show CLAIM`` prints its signature under "your
        own". For the fixed-point claims: ``algorithm(T, x0, steps) -> iterates``, float64[steps + 1, d], where T
        maps float64[d] to float64[d]. What it returns is measured by the experiment, not by the algorithm.
    claim : str
        Claim id.
    instance : str, optional
        Only the experiment on this instance.
    budget : {"quick", "full"}
    seed : int
        Seed of the problems.

    Returns
    -------
    Verdict
        With one row an instance.

    Raises
    ------
    AssertionError
        Where a row is violated, inconclusive or an error; the message is the verdict.
    UnknownName
        Where there is no such claim.
    DomainError
        Where the claim has no experiment that takes an algorithm, or none on `instance`.
    """
    if not callable(algorithm):
        raise TypeError(f"algorithm must be callable, got {type(algorithm).__name__}")
    if "/" not in claim:
        raise DomainError(f"assert_claim takes one claim, family/name; got {claim!r}")
    here, elsewhere = choose([claim], "sims")
    able = [e for e in here + elsewhere if e.protocol]
    if not able:
        raise DomainError(f"no experiment of {claim} takes an algorithm")
    chosen = [e for e in able if instance in (None, e.instance)]
    if not chosen:
        raise DomainError(f"{claim} has no instance {instance!r}; there are {', '.join(e.instance for e in able)}")
    rows = tuple(
        run(e, Setup(e.backends[0], budget=budget, seed=seed), changes={"algorithm": algorithm}, sabotage=False)
        for e in chosen
    )
    verdict = Verdict(chosen[0].claim, rows)
    if verdict.status not in ("holds", "demonstrated"):
        raise AssertionError(str(verdict))
    return verdict
