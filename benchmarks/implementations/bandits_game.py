"""The game of every implementation: ten Bernoulli arms, the best of mean .9, the others .8."""

import numpy as np

MEANS = np.array([0.9] + [0.8] * 9)


def rounds(case, fresh, choose, learn):
    """A run that plays one replicate round by round, as the interfaces of the peers want it.

    Its result is the share of each arm in the pulls.
    """

    def run():
        fresh()
        rng = np.random.default_rng(0)
        pulls = np.zeros(MEANS.size)
        for _ in range(case["horizon"]):
            arm = choose()
            learn(arm, float(rng.random() < MEANS[arm]))
            pulls[arm] += 1
        return pulls / case["horizon"]

    run.work = case["horizon"]
    return run
