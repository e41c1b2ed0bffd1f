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
# # Learning, solved exactly
#
# Training is a dynamical system, and most of the time nobody can solve it. This lesson is about the times when one can:
# models whose whole course, or whose end, is a formula. Each formula is then met by a simulation that knows nothing
# of it.
#
# What theory says is dashed and black, what was measured is coloured.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch

from lemmata.theory import learning_dynamics as theory

plt.style.use("lemmata.paper_figures.lemmata")
plt.rcParams["figure.dpi"] = 150
torch.set_num_threads(1)

QUICK = os.environ.get("LEMMATA_NOTEBOOK_QUICK") == "1"  # smaller sizes, for an automatic run

# %% [markdown]
# ## 1. A deep linear network learns one mode after the other
#
# The product $W_2 W_1$ is a linear map, yet gradient descent is not: each singular value $u$ of the product
# obeys $\tau \dot u = 2u(s-u)$, a sigmoid that waits, then rises, the sooner the larger the strength $s$ in the target.

# %%
from lemmata.problems.learning_dynamics import aligned_network, stack
from lemmata.sims.learning_dynamics import deep_linear_descent

s, u0 = (3.0, 2.0, 1.0), 0.01
network = aligned_network((6, 8, 5), s, (u0,) * 3, seed=0)
time = np.linspace(0, 5, 51)
maps = deep_linear_descent(*stack([network]), 1e-3, np.round(time * 1000).astype(int))[0, :, :5, :6]
modes = np.diagonal(network.modes(maps), axis1=1, axis2=2)

fig, ax = plt.subplots(figsize=(3.6, 2.6), layout="constrained")
for k in range(3):
    ax.plot(time, modes[:, k], "o", markevery=3, label=f"$s = {s[k]:g}$")
    ax.plot(time, theory.mode_strength(time, u0, s[k], depth=2), "--", color="black")
ax.set(xlabel=r"time $t/\tau$", ylabel="mode strength $u$", title="Two layers")
ax.legend()
plt.show()
exact = np.stack([theory.mode_strength(time, u0, k, depth=2) for k in s], axis=1)
print(f"descent within .005 of the sigmoids: {abs(modes - exact).max() < 0.005}")

# %% [markdown]
# What does depth cost? With a learning rate of order $1/D$ it is $D\,t(D)$ that counts, and that has a limit:

# %%
for depth in (2, 4, 16, 256):
    print(f"D = {depth:3d}   D t = {depth * theory.learning_time(u0, 0.9, 1.0, depth=depth):7.2f}")
print(f"limit     D t = {theory.learning_time_limit(u0, 0.9, 1.0):7.2f}")

# %% [markdown]
# ## 2. Logistic regression with a huge step is the perceptron
#
# Take the step size $\gamma$ to infinity. The iterates blow up, but $\theta_t/\gamma$ tends to those of a much older
# algorithm, and it comes with a bound. On one point against 999 the normalized variant needs 2 steps, the plain 308:

# %%
from lemmata.problems.learning_dynamics import worst_case
from lemmata.sims.learning_dynamics import separation_steps

points = worst_case(1000).points[None]
plain = separation_steps(points, np.array([100.0]), rule="plain", most=1000)
gamma = np.array([100.0, 10.0, 1.0, 0.1])
normalized = separation_steps(np.repeat(points, 4, axis=0), gamma, rule="normalized", most=1000)
print("steps, plain and normalized:", plain.astype(int).tolist(), normalized.astype(int).tolist())
mu, R = theory.margin(points[0]), worst_case(1000).radius
print(
    "bounds, normalized:",
    theory.normalized_logistic_bound(n=1000, R=R, mu=mu, gamma=gamma).round().astype(int).tolist(),
)

# %% [markdown]
# ## 3. Evolution with low-rank noise
#
# An evolution strategy perturbs a matrix by noise. Drawing the noise as a product $AB^\top/\sqrt r$ of thin matrices is
# far cheaper, and biased. A general central limit theorem would give a bias of order $r^{-1/2}$; symmetry gives $1/r$.

# %%
from lemmata.problems.learning_dynamics import random_sine

p = random_sine(6, 4, sigma=0.8, seed=0)
ranks = 2 ** np.arange(9)
limit = theory.gaussian_gradient(p.C, p.M, sigma=p.sigma)
bias = [np.linalg.norm(theory.low_rank_gradient(p.C, p.M, sigma=p.sigma, rank=int(r)) - limit) for r in ranks]
fig, ax = plt.subplots(figsize=(3.6, 2.6), layout="constrained")
ax.loglog(ranks, bias, "o-", label="bias")
ax.loglog(
    ranks,
    np.linalg.norm(theory.leading_bias(p.C, p.M, sigma=p.sigma)) / ranks,
    "--",
    color="black",
    label="coefficient$/r$",
)
ax.set(xlabel="rank $r$", ylabel="Frobenius norm", title="Bias of low-rank noise")
ax.legend()
plt.show()

# %% [markdown]
# ## 4. Where softmax ends
#
# Cross-entropy falls like $(C-1)e^{-\text{gap}}$ until $1 + $ that rounds to 1. Then the loss is *exactly* zero,
# and so is the gradient of the right class.

# %%
from lemmata.problems.learning_dynamics import CollapseCase
from lemmata.sims.learning_dynamics import softmax_loss

gap = np.arange(1, 45, 0.05)
for precision in ("float16", "float32", "float64"):
    case = CollapseCase(precision, 113, "pairwise")
    alive = softmax_loss(case.logits(gap), order="pairwise") > 0
    low, high = theory.collapse_lower(p=case.bits), theory.collapse_upper(p=case.bits, C=113)
    print(f"{precision}: above 0 up to {gap[alive][-1]:.1f}, theory says up to between {low:.1f} and {high:.1f}")

# %% [markdown]
# Long before that, a network without biases that fits its data can lower the loss by growing alone: along its own
# weights it only rescales its logits. Take that part of the gradient out (perpGrad), and the same network learns to add
# modulo 19 from 85 % of all pairs. With the whole gradient it fits them, too, and gets none of the others right.

# %%
from lemmata.kernels.learning_dynamics import modular_training
from lemmata.problems.learning_dynamics import Recipe, modular_networks

weights, mask = modular_networks(19, (64, 64), [0.85, 0.85], seed=0)
weights = [torch.tensor(w, dtype=torch.float32) for w in weights]
at = np.unique(np.geomspace(1, 200 if QUICK else 1000, 40).astype(int))
fig, ax = plt.subplots(figsize=(3.6, 2.6), layout="constrained")
for color, recipe in (("C1", Recipe(rate=0.02)), ("C0", Recipe(rate=0.02, projection="plain"))):
    path = modular_training(weights, torch.tensor(mask), recipe, at=at)
    label = "whole gradient" if recipe.projection == "none" else "perpGrad"
    ax.semilogx(at, path.train.mean(0), ":", color=color, label=f"train, {label}")
    ax.semilogx(at, path.test.mean(0), color=color, label=f"test, {label}")
    print(f"{label}: {float(path.train[:, -1].min()):.2f} of the pairs for training right,", end=" ")
    print("most of the others" if path.test[:, -1].min() > 0.8 else "almost none of the others")
ax.set(xlabel="step", ylabel="accuracy", title="Addition modulo 19")
ax.legend()
plt.show()

# %% [markdown]
# ## 5. From lazy to rich
#
# A network with a slightly curved activation learns a quadratic. Only the mean and the second moment of its weights
# count, so training is a recursion for a vector and a matrix, and the test loss is a formula. The lazier the network
# (large $\alpha$), the later it generalises after it has fitted its data. Dashed: its tangent at the start, which keeps
# the kernel of the start; its course is a formula, and it hardly generalises at all.

# %%
from lemmata.problems.learning_dynamics import lazy_rich_batch, random_lazy_rich
from lemmata.sims.learning_dynamics import lazy_rich_train

alphas = np.array([0.25, 1.0])
runs = [random_lazy_rich(20, 80, 200, alpha=float(a), eps=0.1, seed=0) for a in alphas]
at = np.unique(np.geomspace(1, 1000 if QUICK else 4000, 60).astype(int))
path = lazy_rich_train(*lazy_rich_batch(runs), at=at)
beta = np.array([r.beta for r in runs])[:, None]
test = theory.population_loss(path.mean, path.second, beta, alphas[:, None], np.full((2, 1), 0.1))
fig, ax = plt.subplots(figsize=(3.6, 2.6), layout="constrained")
for i, color in enumerate(("C0", "C1")):
    ax.loglog(at, path.loss[i], ":", color=color, label=rf"train, $\alpha = {alphas[i]:g}$")
    ax.loglog(at, test[i], color=color, label=rf"test, $\alpha = {alphas[i]:g}$")
tangent = theory.linearised_statistics(runs[1], at)
ax.loglog(at, theory.population_loss(*tangent, runs[1].beta, 1.0, 0.1), "--", color="black", label="test, linearised")
ax.set(xlabel="step", ylabel="mean squared error", title="Delayed generalisation")
ax.legend()
plt.show()
print("lazy generalises later:", bool(np.argmax(test[1] < 0.3) > np.argmax(test[0] < 0.3)))

# %% [markdown]
# ## 6. What a hidden unit climbs
#
# A network that learns to add modulo $M$ has hidden units that climb an energy, a sum over Fourier frequencies. Every
# local maximum is a single frequency. For odd $M$ all are worth $M/4$; for even $M$ the frequency $M/2$ is worth twice
# as much.

# %%
from lemmata.problems.learning_dynamics import random_units
from lemmata.sims.learning_dynamics import energy_ascent

for M in (23, 10):
    energy = theory.spectral_energy(energy_ascent(random_units(M, 60, seed=0), steps=400))
    print(f"M = {M}: energies {sorted({round(float(e), 6) for e in energy})}")
