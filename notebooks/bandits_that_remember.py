# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Bandits that remember
#
# A sequel to *The price of not knowing* (`notebooks/bandits.py`). There an arm paid the same law whenever it was
# pulled, every arm could be pulled at any time, and nothing was known of a round before it was played. Here each of
# these is given up in turn: arms pass by in a stream, tire and recover, grow with repetition, move a hidden state, or
# depend on a context. Each section has one idea that makes the problem tractable, one theorem, and one policy that
# fails to heed it. The sections can be read in any order.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

from lemmata.problems import bandits as problems
from lemmata.sims import bandits as simulators
from lemmata.theory import bandits as theory

plt.style.use("lemmata.paper_figures.lemmata")
plt.rcParams["figure.dpi"] = 150

QUICK = os.environ.get("LEMMATA_NOTEBOOK_QUICK") == "1"  # smaller sizes, for an automatic run

# %% [markdown]
# ## 1. Arms that come in a stream
#
# Five thousand candidates come to the door one after another. Each may be tried as often as we like while it is there;
# whoever is sent away does not come back, and we remember one of them only: the **champion**. Everyone is tried $N$
# times and takes the champion's place by strictly more successes. After the last one the champion is played to the end.
#
# To try costs $N K$ times a gap. To be wrong by $\varepsilon \approx 1/\sqrt{N}$ costs $\varepsilon T$. The balance is
# at $N = (T/K)^{2/3}$, and both are then $K^{1/3} T^{2/3}$: more than the $\sqrt{KT}$ of policies that may go back.
#
# Three arms are few enough to know everything exactly.

# %%
order = (0.5, 0.4, 0.8)
run = simulators.simulate_stream(problems.Champion(10), problems.Stream(np.array(order)), 300, 20_000, seed=0)
share = np.bincount(run["kept"].values[0], minlength=3) / 20_000
print("champion, simulated:", share.round(4), " exact:", theory.champion_law(order, 10).round(4))
print(f"regret, simulated: {float(run['regret'].mean()):.2f}   exact: {theory.champion_regret(order, 10, 300):.2f}")

# %% [markdown]
# With a few more arms in memory, in *levels*, one need not try everyone equally long: a newcomer gets a short trial,
# and the winner of many short trials a longer one. Here are $K$ arms and $T = 1000 K^3$ rounds, some $10^{14}$ of them.
# We never play them one by one: the successes of $n$ pulls are one binomial number.

# %%
arms = 500 if QUICK else 5000
horizon = 1000 * arms**3
stream = problems.clear_cut_streams(arms, 50, seed=0)
rules = {
    "uniform": problems.uniform_exploration(arms, horizon),
    "eps-best": problems.eps_best(arms, horizon),
    "log-levels": problems.LogLevels(),
    "log-star": problems.LogStarLevels(),
}
cost = {
    (name, charge): float(simulators.simulate_stream(rule, stream, horizon, charge=charge, seed=1)["regret"].mean())
    for name, rule in rules.items()
    for charge in ("pulled", "stored")
}
for name in rules:
    ratios = [cost[name, charge] / cost["uniform", "pulled"] for charge in ("pulled", "stored")]
    wrong = f"; charged to the arm stored {ratios[1]:.3f}" if name.startswith("log") else ""
    print(f"{name:11} costs {ratios[0]:.3f} of uniform exploration{wrong}")
print(f"one unit of pulls an arm: {np.log(horizon) ** (-1 / 3):.3f}")

# %% [markdown]
# The second number is a bug, and an instructive one. A newcomer is pulled, and the program charges the gap of the arm
# it is compared *with*, which is the better one. Nothing crashes, and the curve looks fine. How could one know? By
# arithmetic: a policy that pulls every arm $(T/K)^{2/3}$ times cannot cost less than $(\ln T)^{-1/3}$ of one that pulls
# it $(\ln T)^{1/3}$ times as often. A ratio below that number is not a good policy, it is a wrong sum.
#
# **Try it.** Send in the better arms first, `Stream(np.sort(stream.means)[:, ::-1])`. Which policies profit?

# %% [markdown]
# ## 2. Arms that want to be played again and again
#
# A medicine works after the sixteenth day. Who takes it for two days, and another one for two, and so on, never learns
# that it works. Let the **tally** $y_t = \sum_{j<m} w_j\,[a_{t-j} = a_t]$ count recent plays of the arm, and let the
# loss be $h_a(y)$. We compare with the best *sequence* of arms, which under **repeated-exposure optimality** keeps one
# arm for ever and costs $h^\star = \min_a h_a(\sum w)$ a round.
#
# UCB1 does not know that there is a tally. Elimination by blocks plays each arm for $M + 2^s$ rounds in phase $s$ and
# forgets the first $M$ of them.

# %%
worlds = {"threshold, m = 16": problems.threshold_tallying(16), "smooth, m = 4": problems.smooth_tallying()}
rules = {"UCB1": problems.UCB1(), "elimination": problems.TallyingElimination(16)}
horizons = 2 ** np.arange(10, 14 if QUICK else 17)
fig, panels = plt.subplots(1, 2, figsize=(6.4, 2.8), layout="constrained")
for ax, (world, env) in zip(panels, worlds.items(), strict=True):
    for (name, rule), color, marker in zip(rules.items(), ("C0", "C1"), "o^", strict=True):
        mean = [
            float(simulators.simulate_tallying(rule, env, int(t), 50, checkpoints=[int(t)], seed=0)["regret"].mean())
            for t in horizons
        ]
        ax.loglog(horizons, mean, color=color, marker=marker, label=name)
    ax.set(title=world, xlabel="rounds $T$", ylabel="complete policy regret")
panels[0].loglog(horizons, 0.3 * horizons, "--", color="black", label="the gap .3 a round")
panels[0].legend()
plt.show()

# %% [markdown]
# Behind a threshold UCB1 hardly ever sees the better arm. Where losses fall gradually it sees enough of it, and is the
# cheaper of the two: a theorem about the worst case does not promise to win the ordinary one.
#
# What does memory cost? Let every loss be 1, but that of one arm 0 from its $m$-th play in a row on. Nothing is random
# then, and the regret of elimination is a formula: each unit of $M$ costs one round a block.

# %%
for M in (3, 13, 103):
    env = problems.hidden_tallying(2, 4, 1)
    run = simulators.simulate_tallying(problems.TallyingElimination(M), env, 4096, 1, checkpoints=[4096], seed=0)
    exact = theory.tallying_exact(arms=2, discarded=M, memory=4, rounds_of_phases=5, moved=0)
    print(f"M = {M:3}: simulated {float(run['regret'][0, 0]):.0f}, exact {exact}")

# %% [markdown]
# No policy can do without: until the hidden arm was played $m$ times in a row, all losses are alike. So each arm must
# be tried for $m$ rounds, half of them before the right one: $m (K + 1)/2 - 1$.
#
# **Try it.** Take `hidden_tallying(8, 20, best)` and `TallyingElimination(19, scale=0.0)`, which drops all arms but the
# leader after its first phase. How near to the lower bound does it come, averaged over `best`?

# %% [markdown]
# ## 3. Arms that recover
#
# A song is best when it has not been heard for a while. Arm $i$ pays $R_i(\tau)$, where $\tau$ is the number of rounds
# since its last pull, and $R_i$ rises; up to $K$ arms are pulled a round. Even one who knows all $R_i$ has a hard
# puzzle to solve: which rounds for which arm? The idea is to ask only *how often*. If arm $i$ is pulled at delay $\tau$
# in a share $z_{i\tau}$ of the rounds, then $\sum_\tau \tau z_{i\tau} \le 1$, because delays add up to time, and $\sum
# z \le K$. The best $z$ under these two conditions is a linear programme, and no schedule earns more.
#
# Here are two arms, small enough to look at all schedules.

# %%
pair = problems.recovering_pair()
print(pair.rewards)
print("relaxation", simulators.recovering_relaxation(pair)[1], "  best schedule", simulators.recharging_optimum(pair))

# %% [markdown]
# From shares to a schedule: pull arm $i$ every $d_i$ rounds, where $d_i$ is $1/\sum_\tau z_{i\tau}$ rounded up.
# Arbitrary periods would collide; powers of 2 never need to. They cost up to a factor 2, though, and with $K$ pulls a
# round one can do better: allow $a$ families $b\,2^j$ of periods, $a \le b < 2a$, each with slots of its own.

# %%
K, N = 16, 50
env = problems.recovering_steps(N, K, seed=0)
above = simulators.recovering_relaxation(env)[1]
for a in (1, 2, 4, 8, 16):
    plan = simulators.periodic_policy(env, a)
    promise = (1 - (a - 1) / K) * a / (a + 1)
    print(f"a = {a:2}: {plan.value / above:.3f} of the relaxation; promised, but for one arm, {promise:.3f}")

# %% [markdown]
# The promise is best near $a = \sqrt K$, where it is about $1 - 2/\sqrt K$. It is a statement about the *worst* arms;
# random ones do better, and no exponent can be read off them.
#
# Rounding can waste rounds. Four arms that hardly need a rest: the relaxation likes three of them every third round,
# which becomes every fourth, and one round in four is nobody's. Among powers of 2 the best plan is a small knapsack.

# %%
alike = problems.Recovering(np.tile([0.50, 0.51, 0.52], (4, 1)))
rounded, best = simulators.periodic_policy(alike), simulators.periodic_optimum(alike)
print("rounded", rounded.periods, rounded.value, "  best", best.periods, best.value)

# %% [markdown]
# Who does not know the rewards plans with upper confidence limits, plays that plan for a while, and plans again. The
# limits of equal arms are never quite equal, so a learner who rounds would waste rounds for ever; ours solves the
# knapsack. UCB1 sees arms that disappoint: it pulls the best one until it is tired.

# %%
ladder, T = problems.recovering_ladder(), 2**13 if QUICK else 2**16
for policy in (problems.PeriodicUCB(), "UCB1"):
    run = simulators.simulate_recovering(policy, ladder, T, 20, checkpoints=[T // 4, T], seed=2)
    early, late = run["regret"].values.mean(axis=0)
    print(f"{policy!s:36} regret {early:7.0f} at T/4 and {late:7.0f} at T: {late / early:.1f} times as much")

# %% [markdown]
# ## 4. Arms that wear off
#
# Add fatigue to recovery: $f_i(s)$ is paid after $s > 0$ rounds of rest, or, with $s < 0$, after $-s$ plays in a row,
# and it rises in $s$. Between two rests an arm makes a cycle, $\tau$ rounds of rest and $r$ plays. The best *mixture of
# cycles*, no arm busy for more than all the time and one arm a round, is a linear programme again, and an upper bound.

# %%
worn = problems.last_switch_pair()
print("best schedule ", simulators.last_switch_optimum(worn), "= 37/60 =", 37 / 60)
print("relaxation    ", round(simulators.last_switch_relaxation(worn), 6))
print("play the best now", round(simulators.greedy_last_switch(worn, 6000), 4))

# %% [markdown]
# Playing what pays best now looks good here. It has no guarantee at all: one arm that pays 1 after four rounds of rest,
# and next to nothing earlier, is enough.

# %%
tempting = problems.never_rested(4)
print(
    "greedy",
    round(simulators.greedy_last_switch(tempting, 6000), 3),
    "  best",
    simulators.last_switch_optimum(tempting),
)

# %% [markdown]
# What can be promised? Let every arm draw a period from the relaxation and a random offset, all independently; of the
# arms whose turn it is, play the best. If $N$ equal arms want every $N$-th round each, a round is wasted with
# probability $(1 - 1/N)^N$. That is the worst case: the best of independent candidates is always worth $1 - 1/e$ of
# what they would earn without collisions.
#
# The relaxation used here is that of the *recharging* bandit, which takes every play in a row for the most worn one.
# Where plays in a row all pay alike, that is no loss. Beyond, how much of the optimum one can be sure of is not derived
# in `lemmata`, and nothing is claimed.

# %%
for seed in range(3):
    env = problems.last_switch_random(3, 3, 2, seed=seed)
    drawn = simulators.interleave(env, 240, 2000, seed=1).mean()
    proved = (1 - np.exp(-1)) * simulators.recovering_relaxation(env.recharging)[1]
    print(f"proved {proved:.3f} <= interleaved {drawn:.3f} <= best {simulators.last_switch_optimum(env):.3f}")

# %% [markdown]
# ## 5. A system with a memory
#
# Advertising works late: what you show today is bought next week. So let an action $u_t$ move a hidden state, and let
# the reward depend on both,
#
# $$ y_t = \langle \omega, x_t \rangle + \langle \theta, u_t \rangle + \text{noise}, \qquad
#    x_{t+1} = A x_t + B u_t + \text{noise} . $$
#
# Keep $u$ for ever, and the state settles; each round then pays $J(u) = \langle h, u \rangle$ with
# $h = \theta + B^\top (I - A)^{-\top} \omega$. The best one can do is to find the best $u$ and to keep it. How much of
# an action's worth comes late?

# %%
system = problems.budget_system()
print("h     =", np.round(system.markov, 4))
print("theta =", system.theta, " spectral radius", system.spectral_radius)
print(
    "best action:",
    system.actions[system.best],
    " best at once:",
    system.actions[(system.actions @ system.theta).argmax()],
)

# %% [markdown]
# Six ways to spend a budget, and the one that pays most at once is not the one that pays most. Who judges an action by
# one round, as every policy above does, is shown the past of the *other* actions. Here is the trap in its purest form.
# Action 0 pays nothing at once and 0.8 a round in the long run; action 1 pays 0.5, at once and for good.

# %%
late, T = problems.delayed_reward(0.8), 2**13 if QUICK else 2**15
persistent = problems.DynLinUCB.of(late)
rules = {
    "DynLin-UCB": persistent,
    "UCB1": problems.UCB1(),
    "Exp3": problems.Exp3(),
    "OFUL": problems.OFUL(late.actions),
}
for name, policy in rules.items():
    run = simulators.simulate_dynamical(policy, late, T, 8, checkpoints=[T], seed=12)
    print(f"{name:10s}  regret a round {float(run['regret'].mean()) / T:.3f}   (0.3 is all there is to lose)")

# %% [markdown]
# **DynLin-UCB** is OFUL with one more idea: *persist*. In epoch $m$ it plays the same action $1 + H_m$ times,
# $H_m = \lfloor \ln m / \ln(1/\rho) \rfloor$, where $\rho$ bounds the spectral radius of $A$, and learns from the last
# reward alone, when the state has settled. What is left of the earlier state is then a factor $\rho^{H_m} \approx 1/m$:
# as small as the statistical error, so that it costs a logarithm and no more.
#
# One has to know $\rho$. What if it is wrong? Overestimate it, and the epochs are too long: a constant factor. Take it
# for 0, and you are OFUL again.

# %%
T, told = 2**14 if QUICK else 2**17, np.array([0.0, 0.5, 1.0, 1.5, 2.0])
for factor in told:
    policy = problems.DynLinUCB.of(system, factor * system.spectral_radius)
    run = simulators.simulate_dynamical(policy, system, T, 6, checkpoints=[T], seed=13)
    print(f"told {factor:.1f} of the true radius: regret {float(run['regret'].mean()):6.0f}")

# %% [markdown]
# Half of it was better still. The theorem fears the worst system with that radius; this one is milder. But below that
# there is a cliff, and nothing in the data tells you how near it is.
#
# One thing can be checked to the last digit. Add up the equation of the state over all rounds: what $T$ rounds pay is
# what their actions are worth for ever, *less what the last state still owes*. `lemmata` holds its simulator to this
# identity, on random systems and for three policies.

# %%
from lemmata import verification

print(verification.verify("bandits/dynamical-regret").decisive.status, "to", theory.dynamical_regret.tolerance)

# %% [markdown]
# ## 6. Contexts, and regression
#
# A newcomer walks in, and you see something of them before you choose: a **context**. Arms are now actions whose loss
# depends on it. One idea is enough to reduce this to a task that everybody can do, *regression*. Predict the loss
# $\hat y_a$ of every action. Let $b$ be the one that looks best, and play another action $a$ with probability
#
# $$ p_a = \frac{1}{K + \gamma\,(\hat y_a - \hat y_b)} : $$
#
# **inverse-gap weighting**. Those that look nearly as good are played nearly as often; those that look bad, rarely, but
# never never. With $\gamma = 0$ that is uniform, with $\gamma = \infty$ greedy.

# %%
predicted = [0.3, 0.1, 0.15, 0.9]
for gamma in (0.0, 10.0, 100.0, np.inf):
    print(f"gamma = {gamma:5g}:", np.round(problems.inverse_gap(predicted, gamma), 3))

# %% [markdown]
# Why this formula? It does one thing, exactly. Whatever the true losses $f$ are, and however wrong the predictions,
#
# $$ \sum_a p_a (f_a - f_i) \;\le\; \frac{2(K-1)}{\gamma} + \frac{\gamma}{4} \sum_a p_a (\hat y_a - f_a)^2
#    \qquad \text{for every action } i . $$
#
# A round costs a fixed price for exploring, and the squared error *of what is played*, which is what a regression keeps
# small. *Proof.* The difference is a parabola in each $f_a$. At its top it is $\sum p_a \Delta_a - \Delta_i + (1 - p_i)
# / (\gamma p_i)$, with $\Delta$ the predicted gaps. For $i \ne b$ the last two terms are $(K - 1)/\gamma$, that is what
# the formula is made for; for $b$ they are no more, as $p_b \ge 1/K$. And $p_a \Delta_a \le 1/\gamma$. $\blacksquare$
#
# Sum over $T$ rounds and choose $\gamma$: $\mathbb E R_T \le \sqrt{2 (K-1) T S}$, where $S$ bounds the squared errors,
# of order $d \ln T$ for a good linear regression in $d$ dimensions. That is **SquareCB**.

# %%
independent = problems.contextual_hard(2, 3, 0.4, seed=1)
T, runs = 2**12 if QUICK else 2**14, 100
squares = ((independent.means - 0.5) ** 2).sum() + 6 / 4 * np.log(1 + T / 6)
gamma = problems.squarecb_gamma(3, T, squares)
for name, value in (("SquareCB", gamma), ("uniform", 0.0), ("greedy", np.inf)):
    run = simulators.simulate_contextual(problems.InverseGap(value), independent, T, runs, checkpoints=[T], seed=14)
    regret = run["regret"].values[:, 0]
    print(f"{name:9s} mean {regret.mean():7.1f}   worst run {regret.max():7.1f}")
print(f"theorem   {float(theory.squarecb_regret(arms=3, horizon=T, squares=squares)):12.1f}")

# %% [markdown]
# Greedy is splendid in most runs and lost in some: where the good action fails at first, nobody looks again. Where
# contexts tell of one another, it does better than it deserves; try `problems.linear_contexts`.
#
# **Small losses.** If the best actions hardly ever fail, can one explore less? **FastCB** weighs by $p_a = \hat y_b /
# (K \hat y_b + \gamma (\hat y_a - \hat y_b))$ and predicts with the logarithmic loss: what looks as if it costs nothing
# leaves nothing to explore. Its regret is $O(\sqrt{K L^\star \ln T} + K \ln T)$, with $L^\star$ what the best actions
# cost altogether.

# %%
kt = problems.TabularOracle()
for least in (0.0, 0.25):
    means = np.where(independent.gaps == 0, least, 0.5)
    env = problems.Contextual(independent.features, means, turn=True)
    careful = max(12.0, np.sqrt(3 * least * T / (6 * np.log(2 * np.sqrt(T)))))  # max(4K, sqrt(K L* / regret of kt))
    for name, policy in (
        ("SquareCB", problems.InverseGap(gamma)),
        ("FastCB", problems.InverseGap(careful, "fast", kt)),
    ):
        run = simulators.simulate_contextual(policy, env, T, runs, checkpoints=[T], seed=15)
        print(f"best actions cost {least:.2f}: {name:9s} {float(run['regret'].mean()):7.1f}")

# %% [markdown]
# **Networks.** The theorem asks the regression for small squared errors, and does not ask how. So put a network in its
# place. On a ring of contexts whose losses are $\sin^2$ of twice an angle, a linear regression sees nothing at all.

# %%
from lemmata.kernels.bandits import contextual as kernels

ring, T = problems.ring_contexts(16, 4), 600 if QUICK else 2000
for name, rule, oracle in (
    ("linear", "square", problems.LinearOracle()),
    ("NeuSquareCB", "square", problems.NeuralOracle(64, "square", rate=0.5)),
    ("NeuFastCB", "fast", problems.NeuralOracle(64, "kl", rate=0.5)),
):
    run = kernels.simulate_contextual(problems.InverseGap(100.0, rule, oracle), ring, T, 8, checkpoints=[T], seed=16)
    print(f"{name:12s} regret a round {float(run['regret'].mean()) / T:.3f}   (at random: {ring.gaps.mean():.3f})")

# %% [markdown]
# **Logs that come late.** In practice a policy is fitted once a day to yesterday's logs. A greedy one has no logs of
# what it did not play. If it believes the best of what it does not know, it flips from day to day; inverse-gap weights
# keep their own logs worth reading.

# %%
days, each = 8, 200
clinic = problems.Contextual(np.zeros((4, 2, 1)), np.array([[0.3, 0.6], [0.6, 0.3], [0.4, 0.5], [0.7, 0.4]]))
hopeful = problems.TabularOracle(prior=0.0)
for name, value in (("greedy", np.inf), ("inverse gap", 20.0)):
    policy = problems.InverseGap(value, oracle=hopeful, generation=each, keep="last")
    run = simulators.simulate_contextual(
        policy, clinic, days * each, 100, checkpoints=each * np.arange(1, days + 1), seed=17
    )
    daily = np.diff(run["regret"].values.mean(axis=0), prepend=0.0) / each
    print(f"{name:12s} regret a round, by day:", np.round(daily, 3))
print(f"at random    {clinic.gaps.mean():.3f}")
