"""Pairwise models of categorical nodes and their monotone parametrisation, hard instances, and what solvers agree on.

``p(x) = exp(x' Phi x / 2 + b' x - log Z)``, x the one-hot states of N nodes laid end to end; the mean field q has the
same layout, ``q_i = softmax((Phi q + b)_i)``. A positive entry of Phi says that two states like each other.

Plain data, numpy only: `lemmata.sims.monotone_dbm` and `lemmata.kernels.monotone_dbm` solve it.
"""

from lemmata.problems.monotone_dbm.instances import *  # noqa: F403
from lemmata.problems.monotone_dbm.models import *  # noqa: F403
from lemmata.problems.monotone_dbm.solving import *  # noqa: F403
