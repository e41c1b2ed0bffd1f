"""Problems that the experiments of this family share: a system seen through a dictionary, and an observable."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from lemmata.problems.koopman import Dictionary, Rule, System
from lemmata.typing import Backend
from lemmata.verification import Experiment, Measurement, Setup

__all__ = ["BOTH", "SIMS", "Case", "Observable", "library", "quiet", "single_threaded"]

#: Backends of the experiments that are run in one room alone, and in both.
SIMS: tuple[Backend, ...] = ("sims",)
BOTH: tuple[Backend, ...] = ("sims", "kernels")


class OnDevice:
    """`lemmata.kernels.koopman` on numpy's arrays: they go to the device, and what comes back is numpy's again.

    Sections stay where they are.
    """

    def __init__(self, device: str) -> None:
        self.device = device

    def __getattr__(self, name: str) -> Callable[..., Any]:
        import torch

        def there(value: Any) -> Any:
            return torch.as_tensor(value.copy(), device=self.device) if isinstance(value, np.ndarray) else value

        def back(value: Any) -> Any:
            if isinstance(value, torch.Tensor):
                return value.cpu().numpy()
            if isinstance(value, tuple):
                return tuple(map(back, value))
            if hasattr(value, "values"):  # eigenpairs
                return replace(value, **{name: back(part) for name, part in vars(value).items()})
            return value

        function = getattr(import_module("lemmata.kernels.koopman"), name)
        return lambda *arguments, **changes: back(function(*map(there, arguments), **changes))


def library(setup: Setup) -> Any:
    """The functions of the setup's backend, from arrays to arrays; the arithmetic is double precision in both."""
    return import_module("lemmata.sims.koopman") if setup.backend == "sims" else OnDevice(setup.device)


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

    def section(self, setup: Setup | None = None) -> Any:
        """The finite section, of the setup's backend."""
        return library(setup or Setup()).section(*self.features(), self.rule.w)


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
    """The experiment with one thread of linear algebra: matrices this small gain nothing from a second one."""

    def measure(instances: Any, setup: Setup, **changes: Any) -> Measurement:
        if setup.backend == "kernels":
            import_module("torch")  # only libraries that are there can be limited
        with threadpool_limits(1):
            return experiment.measure(instances, setup, **changes)

    return replace(experiment, measure=measure)
