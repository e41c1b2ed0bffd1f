"""Statements on bandits: regret over T rounds of K arms, and the arms named best.

Notation: mean of arm i mu_i, gap D_i = max mu - mu_i, pulls n_i(t), pseudo-regret ``R_t = sum_i D_i n_i(t)``.
"""

from lemmata.theory.bandits.adversarial import *  # noqa: F403
from lemmata.theory.bandits.contextual import *  # noqa: F403
from lemmata.theory.bandits.dynamical import *  # noqa: F403
from lemmata.theory.bandits.exact import *  # noqa: F403
from lemmata.theory.bandits.last_switch import *  # noqa: F403
from lemmata.theory.bandits.linear import *  # noqa: F403
from lemmata.theory.bandits.recovering import *  # noqa: F403
from lemmata.theory.bandits.stochastic import *  # noqa: F403
from lemmata.theory.bandits.streaming import *  # noqa: F403
from lemmata.theory.bandits.tallying import *  # noqa: F403
