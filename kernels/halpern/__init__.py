"""Batched PyTorch implementations of Halpern-type iterations, with the names of `lemmata.sims.halpern`."""

from lemmata.kernels.halpern.iterations import extragradient, halpern, krasnoselskii_mann, operator_on, restarted, solve
from lemmata.kernels.halpern.variance_reduced import (
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
    "operator_on",
    "restarted",
    "solve",
    "vr_halpern",
    "vr_solve",
]
