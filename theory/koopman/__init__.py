"""Statements on Koopman operators learned from data.

Notation: K the operator ``(Kg)(x) = g(F(x))`` on the square-integrable functions of a probability, N the size of a
dictionary, M the number of snapshots, ``tau_N(z)`` the least ``||(K - z)g||/||g||`` over the dictionary's span.

How many limits does the approximate point spectrum take, one after the other, in general? For maps of a compact space
whose values can be had at any point of a dense set, after Colbrook, Mezić and Stepanenko (2024), in our words:

============================== =================== ================== ============================
class of maps                  eps-pseudospectrum  spectrum           limits, the outermost last
============================== =================== ================== ============================
continuous, K bounded          Sigma_2             Pi_3: three        M, N up; then eps down
and measure preserving         Sigma_2             Sigma_2: two       M, N up
known modulus of continuity    Sigma_1             Pi_2: two          N up; then eps down
and measure preserving         Sigma_1             Sigma_1: one       N up
============================== =================== ================== ============================

Sigma_1 is one limit with a certificate: every point of the output is known to be near the spectrum. A modulus of
continuity turns the limit in M into quadrature with a computable error. Where K is an isometry the least residual is a
distance, and the limit in eps falls away. "In general" is a statement on all algorithms, which no experiment can test:
what is run here are the inequalities on which the upper bounds rest, and the constructions behind the lower ones.
"""

from lemmata.theory.koopman.closed_forms import *  # noqa: F403
from lemmata.theory.koopman.limits import *  # noqa: F403
from lemmata.theory.koopman.quadrature import *  # noqa: F403
from lemmata.theory.koopman.residuals import *  # noqa: F403
from lemmata.theory.koopman.series import *  # noqa: F403
from lemmata.theory.koopman.spectral import *  # noqa: F403
