"""Numba simulators of Halpern-type iterations."""

from lemmata.sims.halpern.iterations import extragradient, halpern, krasnoselskii_mann, restarted, solve
from lemmata.sims.halpern.variance_reduced import (
    inexact_halpern,
    inexact_solve,
    loopless_vr,
    vr_halpern,
    vr_solve,
)

__all__ = [
    "extragradient",
    "halpern",
    "inexact_halpern",
    "inexact_solve",
    "krasnoselskii_mann",
    "loopless_vr",
    "restarted",
    "solve",
    "vr_halpern",
    "vr_solve",
]
