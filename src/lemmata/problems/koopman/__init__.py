"""Systems, snapshots, quadrature rules and dictionaries of the Koopman family.

Plain data, numpy only but for two measured series: `lemmata.sims.koopman` runs it.
"""

from lemmata.problems.koopman.data import *  # noqa: F403
from lemmata.problems.koopman.dictionaries import *  # noqa: F403
from lemmata.problems.koopman.series import *  # noqa: F403
from lemmata.problems.koopman.systems import *  # noqa: F403
