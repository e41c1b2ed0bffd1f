"""Networks, training sets and permutations of the tangent-kernel family.

Plain data, numpy only: `lemmata.kernels.ntk` runs it.
"""

from lemmata.problems.ntk.networks import *  # noqa: F403
from lemmata.problems.ntk.permutation import *  # noqa: F403
