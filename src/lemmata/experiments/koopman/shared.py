"""Problems that the experiments of this family share: a system seen through a dictionary, and an observable."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from lemmata.problems.koopman import Dictionary, Rule, System
from lemmata.typing import Backend
from lemmata.verification import Experiment, Measurement

__all__ = ["SIMS", "Case", "Observable", "quiet", "single_threaded"]

#: Backends of the experiments that have no implementation in torch.
SIMS: tuple[Backend, ...] = ("sims",)


@dataclass(frozen=True, eq=False)
class Case:
    """A system, a dictionary and the points at which both are seen.

    Attributes
    ----------
    system : System
    dictionary : callable
    rule : Rule
    size : int
        What the dictionary's size is counted by: a largest frequency, or N.
    """

    system: System
    dictionary: Dictionary
    rule: Rule
    size: int = 0

    def features(self) -> tuple[np.ndarray, np.ndarray]:
        """Psi_X and Psi_Y."""
        from lemmata.sims.koopman import images

        return self.dictionary(self.rule.x), self.dictionary(images(self.system, self.rule.x))

    def section(self) -> Any:
        """The finite section."""
        from lemmata.sims.koopman import section

        return section(*self.features(), self.rule.w)


@dataclass(frozen=True, eq=False)
class Observable:
    """An observable of a system, by its moments ``<K^n g, g>``.

    Attributes
    ----------
    system : System
    name : str
    moments : complex128[n]
    """

    system: System
    name: str
    moments: np.ndarray


def quiet(call: Callable[[], Any], *categories: type[Warning]) -> Any:
    """The result of a call that is known to warn."""
    with warnings.catch_warnings():
        for category in categories:
            warnings.simplefilter("ignore", category)
        return call()


def single_threaded(experiment: Experiment) -> Experiment:
    """The experiment with one BLAS thread: on matrices this small a second one costs more than it gives."""

    def measure(*arguments: Any, **changes: Any) -> Measurement:
        with threadpool_limits(1, "blas"):
            return experiment.measure(*arguments, **changes)

    return replace(experiment, measure=measure)
