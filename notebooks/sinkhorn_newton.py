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
# # Moving earth, and the last few grains
#
# A lesson in theorems you can run. Some earth lies in heaps of masses $r_1, \dots, r_n$; holes of sizes $c_1, \dots,
# c_m$ wait for it; a unit from heap $i$ to hole $j$ costs $C_{ij}$. **Entropic optimal transport** looks for the plan
#
# $$ P^\star = \arg\min_{P \ge 0,\ P 1 = r,\ P^\top 1 = c} \ \langle C, P \rangle
#    + \varepsilon \sum_{ij} P_{ij} (\log P_{ij} - 1) . $$
#
# Sinkhorn's iteration finds it, and slows down as the temperature $\varepsilon$ falls. Newton's method ends the search
# in a few steps, and is cheap where the plan is nearly sparse. We see both, what theory says of them, and where it
# says nothing. Theory is dashed and black, what was measured is coloured.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

from lemmata.errors import LemmataError
from lemmata.problems import sinkhorn_newton as problems
from lemmata.sims import sinkhorn_newton as simulators
from lemmata.theory import sinkhorn_newton as theory

plt.style.use("lemmata.paper_figures.lemmata")
plt.rcParams["figure.dpi"] = 150

QUICK = os.environ.get("LEMMATA_NOTEBOOK_QUICK") == "1"  # smaller sizes, for an automatic run


def data(problem):
    return problem.C, problem.r, problem.c, problem.eps


# %% [markdown]
# ## 1. Sinkhorn's rate, seen
#
# The plan has the form $P_{ij} = \exp((f_i + g_j - C_{ij})/\varepsilon)$. Choose $f$ so that the rows are right, then
# $g$ so that the columns are right, and repeat: two such half steps make a step of Sinkhorn.
#
# Two theorems speak of its speed. Measure the error of $f$ by its spread, $\max (f - f^\star) - \min (f - f^\star)$, in
# units of $\varepsilon$. *Birkhoff* (Franklin and Lorenz 1989): every step shrinks it by at least $\kappa^2$, a number
# that one reads off the cost. *Linearised near the solution* (Knight 2008): in the end it shrinks by exactly
# $\sigma_2^2$, where $\sigma_2$ is the second singular value of $P^\star_{ij} / \sqrt{r_i c_j}$.

# %%
small = problems.random_transport(20, 20, eps=0.2, seed=0)
best = simulators.solve(*data(small), tol=1e-14)
run = simulators.sinkhorn(*data(small), 25)
spread = np.ptp(run["f"].values[1::2] - best.f, axis=1) / small.eps  # after each row update
spread = spread[spread > 1e-12]
steps = np.arange(spread.size)

kappa2 = theory.contraction(small.C, small.eps) ** 2
sigma2 = theory.slowest_mode(best.P)[0] ** 2
tail = spread[(spread < 1e-3) & (spread > 1e-11)]
rate = (tail[-1] / tail[0]) ** (1 / (tail.size - 1))
print(f"measured {rate:.4f} per step;  sigma_2^2 = {sigma2:.4f};  Birkhoff's bound kappa^2 = {kappa2:.4f}")
print("every step within Birkhoff's bound:", bool((spread[1:] <= kappa2 * spread[:-1]).all()))

fig, ax = plt.subplots(figsize=(4.2, 2.8), layout="constrained")
ax.semilogy(steps, spread, "o", color="C0", markersize=3.5, label="measured")
ax.semilogy(steps, spread[0] * kappa2**steps, ":", color="black", label=r"bound $\kappa^{2t}$")
anchor = spread.size // 2
ax.semilogy(steps, spread[anchor] * sigma2 ** (steps - anchor), "--", color="black", label=r"slope $\sigma_2^{2t}$")
ax.set_xticks(np.arange(0, 26, 5))
ax.set(xlabel="step $t$", ylabel=r"spread of $(f_t - f^\star)/\varepsilon$", title="Sinkhorn is linear")
ax.legend(loc="lower left")
plt.show()

# %% [markdown]
# The bound is true and very loose; the second number is sharp. It tells you in advance how long you would wait:
# $\ln 10 / (-\ln \sigma_2^2)$ steps for each decimal.
#
# ## 2. Why Newton
#
# The potentials maximise a concave function, $D(f, g) = \langle r, f \rangle + \langle c, g \rangle - \varepsilon
# \sum P_{ij}$. Near its maximum Newton's method squares the error at every step. Here is an assignment of 200 to 200 at
# a low temperature, 20 steps of Sinkhorn first. We count what is left by $\delta = |P1 - r|_1 + |P^\top 1 - c|_1$.

# %%
n, eta = (100, 300.0) if QUICK else (200, 500.0)
cold = problems.random_assignment(n, eta=eta, seed=1)
methods = {
    "Sinkhorn": simulators.solve(*data(cold), method="log", max_steps=60, tol=1e-13, on_fail="return"),
    "Newton, whole Hessian": simulators.solve(*data(cold), method="newton", tol=1e-13),
    "Newton, sparse Hessian": simulators.solve(*data(cold), tol=1e-13),
}
sigma2 = theory.slowest_mode(methods["Newton, sparse Hessian"].P)[0] ** 2
print(f"sigma_2^2 = {sigma2:.5f}: Sinkhorn needs {np.log(10) / -np.log(sigma2):.0f} steps for each decimal")
for name, result in methods.items():
    print(f"{name:23} {result.sinkhorn_steps:3} + {result.newton_steps:2} steps, delta = {result.delta:.0e}")

fig, ax = plt.subplots(figsize=(4.2, 2.8), layout="constrained")
for (name, result), color, marker in zip(methods.items(), ("C0", "C1", "C2"), "osv", strict=True):
    ax.semilogy(result.trace["delta"], color=color, marker=marker, markersize=2.5, label=name)
ax.axvline(20, color="0.7", linewidth=0.8)
ax.set(xlabel="step (Newton from 20 on)", ylabel=r"marginal error $\delta$", title="A knee, and then a cliff")
ax.legend(loc="lower left")
plt.show()

# %% [markdown]
# ## 3. Why sparse, and what the theorem does not say
#
# A whole Hessian costs $n^3$ a step. But a cold plan puts nearly all its mass on few entries, and one may leave out the
# others *off the diagonal* of the Hessian.

# %%
plan = np.sort(methods["Newton, sparse Hessian"].P, axis=None)[::-1]
beyond = np.cumsum(plan[::-1])[::-1]  # the mass from an entry on, small ones first
kept = np.arange(plan.size) / n
trace = methods["Newton, sparse Hessian"].trace
newton_steps = trace["kind"].values == "newton"
print("entries kept a row, step by step:", np.round(trace["kept"].values[newton_steps] / n, 1))

fig, ax = plt.subplots(figsize=(4.2, 2.8), layout="constrained")
ax.loglog(kept[1:], beyond[1:], color="C2", label=r"plan $P^\star$")
ax.axvline(1, color="black", linestyle="--", label="a vertex: one a row")
ax.set(
    xlabel="entries kept, by row",
    ylabel="share of mass dropped",
    title="A sparse plan",
    xlim=(0.1, n),
    ylim=(1e-12, 1.5),
)
ax.legend(loc="upper right")
plt.show()

# %% [markdown]
# Tang et al. 2024 prove (Theorem 1) that the plan is near the sparse vertex as soon as $\eta = 1/\varepsilon$ exceeds
# $(1 + 2 \ln n)/\Delta$, where $\Delta$ is the gap in cost between the best and the second-best vertex. How large is
# that here?

# %%
gap = theory.vertex_gap(cold.C)
print(f"the theorem asks for eta > {(1 + 2 * np.log(n)) / gap:.1e}; here eta = {eta:g}")

# %% [markdown]
# Far away. The same holds for the paper's own experiment, $n = 500$ and $\eta = 1200$: the theorem is right and does
# not cover it. Newton works there because the plan is *sparse enough*, which is seen and not proved.
#
# ## 4. When it fails
#
# **Mass that does not match.** No plan exists, and the potentials would drift for ever. You are told at once:

# %%
try:
    simulators.solve(small.C, small.r, 1.01 * small.c, small.eps)
except LemmataError as error:
    print("refused:", error)

# %% [markdown]
# **A temperature too low for the naive formula.** Sinkhorn is often written with the kernel $\exp(-C/\varepsilon)$. At
# $\varepsilon = 10^{-4}$ whole rows of it are zero in double precision, and the next division gives NaN. In the log
# domain nothing happens. (Here a constant is added to the cost, which changes no plan.)

# %%
print("rows of the kernel that vanish:", int((np.exp(-(small.C + 0.1) / 1e-4).sum(axis=1) == 0).sum()), "of 20")
print("log domain, delta:", f"{simulators.solve(small.C + 0.1, small.r, small.c, 1e-4).delta:.0e}")

# %% [markdown]
# **A diagonal that is thresholded too.** Drop small entries and let the diagonal be the row sums of what is *left*:
# each part of the plan that has come loose may then shift freely, and the system is singular. With the exact diagonal
# it never is. From a point near the solution:

# %%
tiny = problems.random_assignment(30, eta=60.0, seed=0)
solved = simulators.solve(*data(tiny), tol=1e-14)
rng = np.random.default_rng(0)
start = [p + 0.3 * tiny.eps * rng.uniform(-1, 1, 30) for p in (solved.f, solved.g)]
fig, ax = plt.subplots(figsize=(4.2, 2.8), layout="constrained")
for diagonal, color, marker in (("exact", "C2", "v"), ("kept", "C3", "x")):
    run = simulators.newton(*data(tiny), *start, 12, density=1.5 / 30, diagonal=diagonal, damped=True)
    ax.semilogy(run["delta"], color=color, marker=marker, markersize=3.5, label=f"diagonal: {diagonal}")
    print(f"diagonal {diagonal:5}  delta after 12 steps: {run['delta'].values[-1]:.1e}")
ax.set(xlabel="sparse Newton step", ylabel=r"marginal error $\delta$", title="Never threshold the diagonal")
ax.legend(loc="best")
plt.show()

# %% [markdown]
# **Potentials that must travel far.** Between images, with the cost $|x - y|_1$, many plans are equally good, and
# Newton from a cold start comes to a halt. Heat the problem, solve it, halve the temperature, solve again:
# *annealing*. A good solver tells you that it failed; this one also tries the ladder of itself.

# %%
image = problems.digits(size=10 if QUICK else 14, cost="l1")
for anneal in (False, True):
    result = simulators.solve(*data(image), tol=1e-12, anneal=anneal, on_fail="return")
    print(f"anneal={anneal!s:5}  {result.status:9}  delta = {result.delta:.0e}", end="  ")
    print(f"{result.stages} temperatures, {result.newton_steps} Newton steps, {result.cg_steps} of conjugate gradients")

# %% [markdown]
# ## 5. An interval that cannot lie
#
# How far is the entropic plan from the true optimum, at $\varepsilon = 0$? Round the plan to exact marginals: its
# cost is an *upper* bound. Make the potentials feasible for the linear programme: their value is a *lower* bound.
# Both hold whatever the solver did, converged or not.

# %%
temperatures = np.geomspace(1, 1e-3, 10)
bounds = np.array([simulators.solve(small.C, small.r, small.c, eps).interval for eps in temperatures])
exact = float((small.C * theory.exact_plan(small.C, small.r, small.c)).sum())
print(
    "the optimum lies in every interval:",
    bool(((bounds[:, 0] <= exact + 1e-12) & (exact <= bounds[:, 1] + 1e-12)).all()),
)

fig, ax = plt.subplots(figsize=(4.2, 2.8), layout="constrained")
ax.fill_between(temperatures, bounds[:, 0], bounds[:, 1], color="C0", alpha=0.3, label="certified interval")
ax.semilogx(temperatures, bounds, color="C0", marker="o", markersize=2.5)
ax.axhline(exact, color="black", linestyle="--", label="exact optimum")
ax.set(xlabel=r"temperature $\varepsilon$", ylabel="cost", title="Certified")
ax.legend(loc="upper left")
plt.show()

# %% [markdown]
# ## 6. Gradients
#
# The *value* is easy. By the envelope theorem its gradient in $C$ is the plan, in $r$ and $c$ the potentials: no
# derivative of the solver is needed. The *plan* is harder. It solves $P 1 = r$, $P^\top 1 = c$, and the implicit
# function theorem turns its derivative into one more linear system. `lemmata.kernels` does that behind PyTorch's
# `backward`. We compare both with central differences.

# %%
import torch

from lemmata.kernels import sinkhorn_newton as kernels

C, r, c = (torch.tensor(x) for x in (small.C, small.r, small.c))
C.requires_grad_()
W, dC = (torch.tensor(rng.standard_normal(small.C.shape)) for _ in range(2))
losses = {
    "value, by the envelope": lambda result: result.dual,
    "plan, by implicit differentiation": lambda result: (W * result.P).sum(),
}
for name, loss in losses.items():
    (gradient,) = torch.autograd.grad(loss(kernels.solve(C, r, c, small.eps, tol=1e-13)), C)
    h = 1e-5
    up, down = (float(loss(kernels.solve(C.detach() + s * dC, r, c, small.eps, tol=1e-13))) for s in (h, -h))
    difference, derivative = (up - down) / (2 * h), float((gradient * dC).sum())
    print(f"{name:34} {derivative:+.8f}   agrees to 1e-6: {abs(derivative / difference - 1) < 1e-6}")

# %% [markdown]
# ## Try it
#
# 1. In section 1 halve $\varepsilon$ again and again. How does $\sigma_2^2$ move, how does $\kappa^2$, and which of
#    the two still tells you something at $\varepsilon = 0.02$?
# 2. In section 2 pass `density=k / n` to `solve`, with $k = 2, 3, 5, 10$ entries a row, in place of the budget that
#    shrinks with $\delta$. The cliff becomes a slope. Compare it with `theory.frozen_contraction`.
# 3. In section 4 push the temperature of `tiny` up. At what $\eta$ does the thresholded diagonal do no more harm, and
#    how many connected parts do the kept entries then have?
# 4. *Prove* the lower bound of section 5: for any $f$, $g_j = \min_i (C_{ij} - f_i)$ makes $\langle r, f \rangle +
#    \langle c, g \rangle$ at most $\langle C, P \rangle$, for every plan $P$. One line is enough.
