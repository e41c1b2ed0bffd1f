"""What a residual says about one measured series, seen through delays of it.

A series ``g_0, g_1, ...`` and N delays: K takes ``g_j`` to ``g_{j+1}``, whatever the system. With the functions 1,
``g_0, ..., g_N`` orthonormal this is the shift of `tau_shift`, and with any others, of condition number kappa on the
data, norms are kept up to a factor kappa. So a residual has to beat ``tau_shift`` before it speaks of dynamics.

The functions are linear in the delays, so that Gram matrices, eigenvalues and residuals are functions of the mean and
the autocovariance alone: Gaussian noise with the same autocovariance has the same ones in the limit of long series.
"""

from __future__ import annotations

import sympy as sp

from lemmata.claims import Claim
from lemmata.theory.koopman.sources import EMBREE

__all__ = ["delay_residual"]

delay_residual = Claim(
    id="koopman/delay-residual",
    kind="bound",
    direction="lower",
    quantity="residual ‖(K - λ)g‖/‖g‖ on held-out data, g of N delays and the constant",
    expression=sp.Symbol("shift") / sp.Symbol("kappa"),
    symbols={
        "shift": "τ of λ for a shift on chains of N: √min(|1 - λ|², 1 + |λ|² - 2|λ| cos(π/(N + 1)))",
        "kappa": "condition number of the constant and N + 1 delays on these data",
    },
    assumptions=(),
    source=EMBREE,
    statement=(
        "Delays move like a shift, and a shift has small residuals all over the circle once there are many: noise "
        "reaches the pseudospectrum of a shift, and without nearly dependent delays nothing goes below it."
    ),
)
