"""Experiments on exact worst cases: the semidefinite programme against the closed form."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from lemmata.claims import Claim
from lemmata.theory import halpern as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]


def _sizes(setup: Setup) -> Sequence[int]:
    return range(1, setup.size(5, 10) + 1)


def _worst_case(
    sizes: Sequence[int],
    setup: Setup,
    *,
    claim: Claim,
    method: str,
    stretch: float = 1.0,
    shift: int = 0,
    **options: Any,
) -> Measurement:
    """Certified worst case after N steps against the claim; `stretch` (of every step) and `shift` are sabotage."""
    values = {"dist": 1.0, **{name: v for name, v in options.items() if name in claim.symbols}}
    if "lipschitz" in claim.symbols:
        values["lipschitz"] = 1.0
    measured = []
    for n in sizes:
        if stretch == 1.0 and not shift:
            measured.append(theory.certify(method, n, **options).value)
        else:
            matrix = stretch * theory.step_matrix(method, n + shift, **options)
            gamma = {"gamma": options["gamma"]} if "gamma" in options else {}
            operator = theory.certify(method, 1, **options).operator
            measured.append(theory.certify(matrix, operator=operator, **gamma).value)
    expected = claim(k=np.asarray(sizes), **values)
    # values below 1e-3 are compared absolutely, to 1e-8: what a solver of double precision resolves
    return Measurement(measured, expected, {"N": np.asarray(sizes)}, scale=np.maximum(expected, 1e-3))


_SABOTEURS = (
    Saboteur("every step 1 % too long", {"stretch": 1.01}),
    Saboteur("one step more than counted", {"shift": 1}),
)

_CASES: tuple[tuple[Claim, str, str, dict[str, Any]], ...] = (
    (theory.residual_certificate, "nonexpansive maps", "halpern", {}),
    (theory.km_certificate, "nonexpansive maps, step 1/2", "km", {"step": 0.5}),
    (theory.km_certificate, "nonexpansive maps, step 0.98", "km", {"step": 0.98}),
    (theory.ohm_certificate, "contractions, gamma 1.1", "ohm", {"gamma": 1.1}),
    (theory.ohm_certificate, "contractions, gamma 2", "ohm", {"gamma": 2.0}),
    (theory.cocoercive_certificate, "cocoercive fields", "halpern-cocoercive", {}),
    (theory.feg_certificate, "monotone Lipschitz fields", "feg", {}),
)

EXPERIMENTS: tuple[Experiment, ...] = tuple(
    Experiment(
        claim,
        instance,
        _sizes,
        partial(_worst_case, claim=claim, method=method, **options),
        _SABOTEURS,
        backends=("sims",),
    )
    for claim, instance, method, options in _CASES
)
