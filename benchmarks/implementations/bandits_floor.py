"""What no index policy can beat: a reward word and the largest of K indices a pull, on one thread."""

import numpy as np
from numba import njit

from lemmata.sims._philox import words


@njit
def floor(arms, horizon, replicates):
    index = np.ones(arms)
    last = 0
    for replicate in range(replicates):
        for t in range(horizon):
            if t & 3 == 0:
                w0, w1, w2, w3 = words(t >> 2, 0, replicate, 0)
            arm, best = 0, index[0]
            for i in range(1, arms):
                if index[i] > best:
                    arm, best = i, index[i]
            # the next index depends on the word, or the compiler would drop it
            index[arm] = np.float64(w0) * 2.0**-32
            w0, w1, w2 = w1, w2, w3
            last += arm
    return last


def prepare(case):
    def run():
        return np.array([floor(10, case["horizon"], case["replicates"])])

    run.work = case["horizon"] * case["replicates"]
    return run
