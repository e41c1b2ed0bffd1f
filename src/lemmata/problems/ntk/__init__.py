"""Networks, training sets and permutations of the tangent-kernel family.

Plain data, numpy only: `lemmata.kernels.ntk` and `lemmata.sims.ntk` run it.
"""

from lemmata.problems.ntk.activations import *  # noqa: F403
from lemmata.problems.ntk.dynamics import *  # noqa: F403
from lemmata.problems.ntk.infinite_width import *  # noqa: F403
from lemmata.problems.ntk.networks import *  # noqa: F403
from lemmata.problems.ntk.permutation import *  # noqa: F403
