"""Operators, step rules and hard instances of the fixed-point and monotone-inclusion family.

Plain data, numpy only: `lemmata.sims.halpern` and `lemmata.kernels.halpern` run it, and an `Operator` can be called on
numpy arrays.
"""

from lemmata.problems.halpern.finite_sums import *  # noqa: F403
from lemmata.problems.halpern.instances import *  # noqa: F403
from lemmata.problems.halpern.operators import *  # noqa: F403
from lemmata.problems.halpern.steps import *  # noqa: F403
