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
# ## 3. A system with a memory
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
# ## 4. Contexts, and regression
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
