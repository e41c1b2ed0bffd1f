"""Environments and policies of the bandit family, as frozen values.

Plain data, numpy only: `lemmata.sims.bandits` and `lemmata.kernels.bandits` run it. Conventions that change numbers:
arms are 0..K-1 and rounds t = 1, 2, ...; index policies pull every arm once, in order, in the first K rounds; ties
go to the lowest arm; regret after round t includes round t.
"""

from lemmata.problems.bandits.contextual import *  # noqa: F403
from lemmata.problems.bandits.dynamical import *  # noqa: F403
from lemmata.problems.bandits.environments import *  # noqa: F403
from lemmata.problems.bandits.last_switch import *  # noqa: F403
from lemmata.problems.bandits.policies import *  # noqa: F403
from lemmata.problems.bandits.recovering import *  # noqa: F403
from lemmata.problems.bandits.runs import *  # noqa: F403
from lemmata.problems.bandits.streaming import *  # noqa: F403
from lemmata.problems.bandits.tallying import *  # noqa: F403
