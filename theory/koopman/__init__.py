"""Statements on Koopman operators learned from data.

Notation: K the operator ``(Kg)(x) = g(F(x))`` on the square-integrable functions of a probability, N the size of a
dictionary, M the number of snapshots, ``tau_N(z)`` the least ``||(K - z)g||/||g||`` over the dictionary's span.

How many limits the spectrum of a class of maps takes, one after the other, is tabled in docs/koopman.md. "In general"
is there a statement on all algorithms, which no experiment can test: what is run here are the inequalities on which the
upper bounds rest, and the constructions behind the lower ones.
"""

from lemmata.theory.koopman.closed_forms import *  # noqa: F403
from lemmata.theory.koopman.limits import *  # noqa: F403
from lemmata.theory.koopman.quadrature import *  # noqa: F403
from lemmata.theory.koopman.residuals import *  # noqa: F403
from lemmata.theory.koopman.series import *  # noqa: F403
from lemmata.theory.koopman.spectral import *  # noqa: F403
