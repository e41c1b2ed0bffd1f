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
# # Believing all at once
#
# A lesson in theorems you can run. Many unknowns depend on one another: the pixels of an image, the label under it. The
# **mean field** gives each of them a distribution of its own that agrees with what all the others say. The obvious way
# to find it is to update all beliefs at once; we see it fail, see why, and meet the models for which there is exactly
# one mean field, a step that finds it, and a number that says how far away we still are. Then one such model completes
# a digit of which most pixels are missing.
#
# You need a little linear algebra, the softmax, and no physics. What theory says is dashed and black, what was measured
# is coloured.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch

from lemmata.errors import LemmataError
from lemmata.problems import monotone_dbm as problems
from lemmata.sims import monotone_dbm as simulators
from lemmata.theory import monotone_dbm as theory

plt.style.use("lemmata.paper_figures.lemmata")
plt.rcParams["figure.dpi"] = 150
torch.set_num_threads(1)

QUICK = os.environ.get("LEMMATA_NOTEBOOK_QUICK") == "1"  # smaller sizes, for an automatic run

# %% [markdown]
# ## 1. What is a mean field?
#
# Node $i$ is in one of $K_i$ states; write its state as a *one-hot* vector, and lay all of them end to end in $x$. A
# **pairwise model** says how likely a configuration is:
#
# $$ p(x) = \exp\bigl(\tfrac12 x^\top \Phi x + b^\top x - \log Z\bigr) . $$
#
# A positive entry of $\Phi$ means that two states like each other. To know $p$ one must sum over all configurations,
# and their number explodes. So we look among the *products* $q(x) = \prod_i q_i(x_i)$, which are cheap, for the one
# that is closest to $p$. The distance in question is a simple function of $q$, up to a constant:
#
# $$ \mathrm{KL}(q \,\|\, p) = G(q) + \log Z , \qquad
#    G(q) = \sum_k q_k \log q_k - \tfrac12 q^\top \Phi q - b^\top q . $$
#
# A distance is never negative, so $-G(q) \le \log Z$ for *every* $q$: the **evidence lower bound**, or ELBO. Setting
# the derivative of $G$ to zero (Lagrange multipliers keep each $q_i$ summing to 1) gives the equation of this lesson:
#
# $$ q_i = \mathrm{softmax}\bigl((\Phi q + b)_i\bigr) \quad\text{for every node } i . $$
#
# Each node looks at what the others believe, and answers with a softmax. A model of four nodes is small enough for us
# to enumerate its configurations and to check all of this.

# %%
model = problems.random_model(nodes=(4, 4), states=(2, 4), seed=11)
q = simulators.solve(model, tol=1e-12).q[0]


def softmax(field, states):
    """The softmax of each node."""
    parts = [np.exp(field[own] - field[own].max()) for own in problems.block_slices(states)]
    return np.concatenate([part / part.sum() for part in parts])


print("states of the nodes:", model.states, "  configurations:", theory.scores(model).size)
print("q solves its equation:", np.abs(q - softmax(model.phi @ q + model.bias, model.states)).max() < 1e-12)
print(f"ELBO = {-theory.free_energy(model, q):.6f}  <=  log Z = {theory.log_partition(model):.6f}")

p = np.exp(theory.scores(model) - theory.log_partition(model))
product = np.einsum("a,b,c,d->abcd", *(q[own] for own in problems.block_slices(model.states)))
divergence = (product * np.log(product / p)).sum()
gap = theory.free_energy(model, q) + theory.log_partition(model)
print(f"KL(q|p) = {divergence:.6f} = G(q) + log Z: {abs(divergence - gap) < 1e-12}")

# %% [markdown]
# ## 2. Why all at once goes wrong
#
# Forty people in a room would each like to do what the others do not. Each says yes or no, with probabilities. Nobody
# should be sure of anything: the mean field is one half each. Now let everybody answer *at once*. If a few more say
# yes, everybody switches to no; then everybody switches back. That is $q \leftarrow \mathrm{softmax}(\Phi q + b)$ on
# the *antiferromagnet*, the worst enemy of the parallel update. One node gets a small bias, so that the mean field is
# not plain from the start.

# %%
crowd = problems.antiferromagnet(40, m=0.1, bias=0.3)
uniform = np.full(crowd.n, 0.5)
best = simulators.solve(crowd, method="sequential", tol=1e-12).q[0]

fig, ax = plt.subplots(figsize=(4.2, 2.9), layout="constrained")
for color, method in (
    ("C1", "parallel"),
    ("C0", "forward-backward"),
    ("C3", "peaceman-rachford"),
    ("C4", "sequential"),
):
    path = simulators.trajectory(crowd, uniform, 300, method=method)[0]
    if method == "peaceman-rachford":  # its own variable drives it; the beliefs are the activation of that
        path = simulators.prox(path, problems.check_step(crowd, method, None), crowd.states)
    distance = np.linalg.norm(path - best, axis=1)
    ax.semilogy(np.maximum(distance, 1e-11), color=color, label=method)
ax.set(xlabel="steps (sweeps)", ylabel=r"$\|q_k - q^\star\|$", ylim=(1e-11, 1e5), title="Forty nodes that repel")
ax.legend(loc="upper right", ncols=2)
plt.show()

flip = simulators.trajectory(crowd, uniform, 1000, method="parallel")[0, -3:]
print(
    f"parallel, last move: {np.linalg.norm(flip[2] - flip[1]):.4f}   two moves: {np.linalg.norm(flip[2] - flip[0]):.4f}"
)
print("the library says:", problems.STATUS[simulators.solve(crowd, method="parallel", raise_on_fail=False).status[0]])

# %% [markdown]
# The nodes move together, so one number describes them all, and its amplitude is a formula: the positive root of
# $s = \tanh(g s)$ with $g = (1 - m)(N - 1)/2$. Below $g = 1$ there is none, and the update settles.

# %%
for N in (2, 3, 4, 6, 10):
    last = simulators.trajectory(problems.antiferromagnet(N), np.tile([0.6, 0.4], N), 2000, method="parallel")[0, -2:]
    g = 0.9 * (N - 1) / 2
    print(f"N = {N:2d}: swing {abs(last[1, 0] - last[0, 0]):.6f}   theory {theory.ising_magnetisation(g):.6f}")

# %% [markdown]
# ## 3. Models with exactly one mean field
#
# If $I - \Phi \succeq m I$ with $m > 0$, call the model **monotone**. Then $G$ is strongly convex: on directions that
# keep every node's total, $\mathrm{diag}(1/q) \succeq 2 I$, so
#
# $$ \nabla^2 G = \mathrm{diag}(1/q) - \Phi \;\succeq\; (2 - (1 - m)) I = (1 + m) I , $$
#
# and a strongly convex function has one minimiser. How do we *train* such a model without leaving the set? Feng,
# Winston and Kolter (2023) parametrise it. Take any matrix $A = (A_1 \dots A_N)$, a block of columns for each node, and
# put
#
# $$ \hat A_i = A_i \min\Bigl(1, \frac{\sqrt{1 - m}}{\|A_i\|_2}\Bigr) , \qquad
#    D = \mathrm{blkdiag}(\hat A_i^\top \hat A_i) , \qquad \Phi = D - \hat A^\top \hat A . $$
#
# The diagonal blocks of $\Phi$ vanish, so no node talks to itself. And it is monotone, in one line:
#
# $$ I - \Phi = I - D + \hat A^\top \hat A \succeq I - D \succeq (1 - (1 - m)) I = m I . $$

# %%
rng = np.random.default_rng(0)
states, m = (2, 3, 4), 0.2
slices = problems.block_slices(states)


def interactions(A, *, one_side=False):
    """Phi from any A; with all of the scaling on one side to see what that does."""
    scale = np.concatenate([np.full(own.stop - own.start, np.linalg.norm(A[:, own], 2)) for own in slices])
    s = np.minimum(1, np.sqrt(1 - m) / scale)
    D = np.zeros((A.shape[1],) * 2)
    for own in slices:
        D[own, own] = A[:, own].T @ A[:, own]
    return (s**2)[:, None] * (D - A.T @ A) if one_side else s[:, None] * (D - A.T @ A) * s


least, wrong = np.inf, 0
for _ in range(1000):
    A = rng.standard_normal((6, 9)) * rng.lognormal(0, 1.5, 9)
    phi = interactions(A)
    least = min(least, np.linalg.eigvalsh(np.eye(9) - phi)[0])
    lopsided = interactions(A, one_side=True)
    wrong += np.linalg.eigvalsh(np.eye(9) - (lopsided + lopsided.T) / 2)[0] < m
print(f"least eigenvalue of I - Phi over 1000 models: {least:.6f}   m = {m}")
print(f"scaled on one side only, {wrong} of 1000 are not monotone")
library = problems.MonotoneModel(states, A, np.zeros(9), m)
print("by hand and by the library agree:", np.abs(library.phi - phi).max() < 1e-12)

# %% [markdown]
# Scaling the rows alone looks innocent, and is a mistake that has been made. The result is not even symmetric; no
# pairwise model has it.
#
# ## 4. A step, and the cliff behind it
#
# The remedy for the crowd is to move part of the way. **Forward-backward** takes a step of length $\alpha$ along the
# smooth part and then applies an *activation*,
#
# $$ q \leftarrow \mathrm{prox}_{\alpha f}\bigl((1 - \alpha) q + \alpha (\Phi q + b)\bigr) , \qquad
#    f(q) = \sum_k q_k \log q_k - \tfrac12 \|q\|^2 \text{ on the simplices.} $$
#
# With $m$ and $L$ the extreme eigenvalues of $I - \Phi$, the linear half contracts by
# $\max(|1 - \alpha m|, |1 - \alpha L|)$, and the activation by $1/(1 + \alpha)$, for $f$ is still 1-strongly convex:
#
# $$ \|q_{k+1} - q^\star\| \le \rho(\alpha)\, \|q_k - q^\star\| , \qquad
#    \rho(\alpha) = \frac{\max(|1 - \alpha m|, |1 - \alpha L|)}{1 + \alpha} . $$
#
# It is below 1 exactly for $\alpha < 2/(L - 1)$, and best at $\alpha = 2/(m + L)$. On the antiferromagnet without bias
# every point of this curve is met with equality.

# %%
flat = problems.antiferromagnet(10)
directions = np.stack([np.tile([1.0, -1.0], 10) / np.sqrt(20), np.r_[1.0, -1, -1, 1, np.zeros(16)] / 2])
shares = np.array([0.1, 0.3, 0.5, 0.7, 0.8, 0.88, 0.95, 0.99, 1.02, 1.1])
measured = []
for share in shares:
    path = simulators.trajectory(flat, 0.5 + 1e-4 * directions, 1, alpha=share * flat.step_limit)
    measured.append((np.linalg.norm(path[:, 1] - 0.5, axis=1) / 1e-4).max())

fine = np.linspace(0.02, 1.15, 300)
rho = theory.contraction_tight(alpha=fine * flat.step_limit, m=flat.m, lipschitz=flat.lipschitz)
fig, ax = plt.subplots(figsize=(4.2, 2.9), layout="constrained")
ax.plot(shares, measured, "o", color="C0", label="measured")
ax.plot(fine, rho, "--", color="black", zorder=3, label=r"theory: $\rho(\alpha)$")
ax.axhline(1, color="0.4", linewidth=0.8)
ax.axvline(1, color="0.4", linewidth=0.8, linestyle=":")
ax.set(xlabel=r"$\alpha$ as a share of $2/(L-1)$", ylabel="contraction per step", title="Ten nodes that repel")
ax.legend(loc="lower left")
plt.show()

at = theory.contraction_tight(alpha=shares * flat.step_limit, m=flat.m, lipschitz=flat.lipschitz)
print("measured = theory at every step:", np.abs(measured / at - 1).max() < 1e-6)
for share in (0.98, 1.02):
    path = simulators.trajectory(crowd, uniform, 3000, alpha=share * crowd.step_limit)[0, -2:]
    print(f"at {share} of the limit, the last of 3000 moves: {np.linalg.norm(path[1] - path[0]):.1e}")
try:
    simulators.solve(crowd, alpha=0.125)
except LemmataError as error:
    print("refused:", error)

# %% [markdown]
# ## 5. The softmax is the activation at step 1 only
#
# At $\alpha = 1$ the activation *is* the softmax: forward-backward with step 1 is the parallel update. For ReLU the
# activation does not depend on the step, and one is tempted to keep the softmax at every step. Try it:

# %%
alpha = 0.3
damped = np.repeat(1 / np.array(model.states), model.states)
for _ in range(2000):
    damped = softmax((1 - alpha) * damped + alpha * (model.phi @ damped + model.bias), model.states)
again = softmax((1 - alpha) * damped + alpha * (model.phi @ damped + model.bias), model.states)
print("the damped softmax has settled:", np.abs(again - damped).max() < 1e-12)
print(f"and is wrong by {np.abs(damped - q).max():.2f}")

x = np.array([1.0, 0.0, -1.0])
for alpha in (1e-3, 0.125, 0.5, 1.0, 1e3):
    print(f"alpha = {alpha:7g}:", *(f"{z:.6f}" for z in simulators.prox(x, alpha, (3,))))
print("softmax         :", *(f"{z:.6f}" for z in softmax(x, (3,))))

# %% [markdown]
# From the projection onto the simplex ($\alpha \to 0$) through the softmax to indifference ($\alpha \to \infty$). The
# activation solves $\alpha \log z_k + (1 - \alpha) z_k = x_k + \nu - \alpha$ with $\sum z_k = 1$, to full precision at
# any step.
#
# ## 6. How far away are we?
#
# A small move is not a small error: if each step shrinks the error by $\rho = 0.97$, the error is 30 times the move.
# But strong convexity turns the *gradient* at any point into a bound on the distance,
#
# $$ \|q - q^\star\| \;\le\; \frac{\|\Pi \nabla G(q)\|}{1 + m} . $$
#
# `solve` computes this **certificate** for every sample of a batch and stops each when its certificate, not its move,
# is small enough.

# %%
bias = rng.standard_normal((4, crowd.n))
exact = simulators.solve(crowd, bias=bias, method="sequential", tol=1e-11).q
sure = True
for tol in (1e-2, 1e-4, 1e-6):
    found = simulators.solve(crowd, bias=bias, tol=tol)
    error = np.linalg.norm(found.q - exact, axis=1)
    print(f"tol {tol:.0e}: steps {found.steps}, largest error {error.max():.1e}")
    sure &= bool((error <= found.certificate).all() and (found.certificate <= tol).all())
print("error <= certificate <= tol in every sample:", sure)
alpha = crowd.step / 20
path = simulators.trajectory(crowd, uniform, 400, alpha=alpha)[0]
move, error = np.linalg.norm(path[-1] - path[-2]), np.linalg.norm(path[-1] - best)
print(f"a short step: the last move is {move:.1e}, the error {error / move:.0f} times that")

# %% [markdown]
# ## 7. Seeing some, believing the rest
#
# Observe some nodes: clamp them to their values at every step. What is left is again a pairwise model, with
# $\Phi_{UU}$ and bias $b_U + \Phi_{UC} x_C$. A principal submatrix of $I - \Phi \succeq m I$ is one, too: the guarantee
# holds for *every* set of observed nodes, without any new training.

# %%
observed, mask = np.eye(crowd.n)[0] + np.eye(crowd.n)[3], np.zeros(40, dtype=bool)
mask[:2] = True  # node 0 says yes, node 1 says no
clamped = simulators.solve(crowd, observed=observed, mask=mask, tol=1e-11).q[0]
reduced = simulators.solve(problems.condition(crowd, observed, mask), method="sequential", tol=1e-11).q[0]
print("clamping is conditioning:", np.abs(clamped[4:] - reduced).max() < 1e-10)

# %% [markdown]
# Now a model with a purpose: 64 pixels, black or white, and a label, trained to complete images of which each pixel is
# missing with probability 0.6. One mean field answers for the pixels and the label together. The derivative of the mean
# field that training needs is the subject of section 10. (`learning.fit` takes longer, by a way of its own, and then
# beats logistic regression on masked images at the labels, too.) In the picture missing pixels are blue, and the last
# row shows the model's probabilities with its label below.

# %%
from lemmata.experiments.monotone_dbm.digits import digits, majority, masks
from lemmata.kernels.monotone_dbm.learning import accuracy, dense, train

data = digits(2, seed=0)
digit_model = dense(64, 2, 10, hidden=0, rank=128, seed=0)
train(digit_model, data.train, data.train_labels, epochs=10 if QUICK else 40, seed=0)
seen = masks(1, data.test, 0.6, seed=1)
pixels, labels = accuracy(digit_model, data.test, data.test_labels, seen)
common = majority(data, seen)
print(f"missing pixels right: {pixels:.3f}   most frequent value: {common:.3f}")
print(f"better by 3 points: {pixels > common + 0.03}")
print(f"labels right: {labels:.3f}   six times chance: {labels > 0.6}")

with torch.no_grad():
    image, label = digit_model(torch.tensor(data.test[:6]), torch.tensor(seen[0, :6]))
filled = np.where(seen[0, :6], data.test[:6], torch.softmax(image, -1)[..., 1].numpy())
fig, grid = plt.subplots(3, 6, figsize=(4.6, 2.8), layout="constrained")
rows = (("truth", data.test[:6]), ("seen", np.where(seen[0, :6], data.test[:6], np.nan)), ("completed", filled))
for line, (name, images) in zip(grid, rows, strict=True):
    for j, ax in enumerate(line):
        ax.imshow(images[j].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[], facecolor="#c6dbef")
    line[0].set_ylabel(name)
for j in range(6):
    grid[0, j].set_title(f"{data.test_labels[j]}")
    grid[2, j].set_xlabel(f"{int(label[j].argmax())}")
plt.show()

# %% [markdown]
# ## 8. What a mean field ignores
#
# One mean field is not a *right* one. It ignores correlations, and pays: with interactions $s \Phi$ the gap of the ELBO
# is of second order in $s$, with a coefficient that we can write down,
#
# $$ \log Z - \mathrm{ELBO} = \frac{s^2}{4} \mathrm{tr}(J \Phi J \Phi) + O(s^3) , \qquad
#    J = \mathrm{blkdiag}(\mathrm{diag}(q_i) - q_i q_i^\top) \text{ at } q = \mathrm{softmax}(b) . $$

# %%
strength = np.geomspace(1e-3, 1, 13)
gap, error = [], []
for s in strength:
    weak = problems.PairwiseModel(model.states, s * model.phi, model.bias, "required")
    mean_field = simulators.solve(weak, method="sequential", tol=1e-13).q[0]
    gap.append(theory.log_partition(weak) + theory.free_energy(weak, mean_field))
    error.append(np.abs(theory.marginals(weak) - mean_field).max())
law = theory.gap_coefficient(model) * strength**2

fig, ax = plt.subplots(figsize=(4.2, 2.9), layout="constrained")
ax.loglog(strength, gap, "o", color="C0", label=r"$\log Z - \mathrm{ELBO}$")
ax.loglog(strength, error, "s", color="C1", label="largest error of a marginal")
ax.loglog(strength, law, "--", color="black", zorder=3, label=r"theory: $s^2\,\mathrm{tr}(J\Phi J\Phi)/4$")
ax.set(xlabel="strength $s$", ylabel="error", title="What is lost")
ax.legend(loc="upper left")
plt.show()
print(f"gap / law at s = .001: {gap[0] / law[0]:.3f}   at s = 1: {gap[-1] / law[-1]:.3f}")

# %% [markdown]
# ## 9. Your own interactions
#
# You have a $\Phi$ of your own? `PairwiseModel` takes it, and looks at one number: the largest eigenvalue of
# $\Pi \Phi \Pi$, where $\Pi$ takes away the mean over each node's states. Below 2 the mean field is unique: twice as
# much as monotonicity asks for. And 2 is sharp. Two spins that like each other with coupling $c$ have
# $\lambda_{\max} = 2c$ and magnetisations $s = \tanh(c s)$: at $c = 1$ the one solution splits into three.

# %%
spins = np.array([[1.0, -1.0], [-1.0, 1.0]])
zero = np.zeros((2, 2))
for c in (0.9, 1.1):
    phi = c * np.block([[zero, spins], [spins, zero]])
    try:
        mine = problems.PairwiseModel((2, 2), phi, np.zeros(4), "required")
        print(f"c = {c}: accepted, lambda_max = {mine.attraction:.1f}, strongly convex with {mine.convexity:.1f}")
    except LemmataError as error:
        print(f"c = {c}: refused: {error}")
pair = problems.PairwiseModel((2, 2), phi, np.zeros(4), "none")  # at your own risk
both = simulators.solve(pair, start=[[1, 0, 1, 0], [0, 1, 0, 1]], tol=1e-12)
print("two starts, two mean fields:", (both.q[:, 0] - both.q[:, 1]).round(6), " certificates:", both.certificate)
print(f"root of s = tanh(1.1 s): {theory.ising_magnetisation(1.1):.6f}")
try:
    problems.PairwiseModel((2, 2), np.eye(4), np.zeros(4))
except LemmataError as error:
    print("refused:", error)

# %% [markdown]
# ## 10. Differentiating an answer, not the way to it
#
# To train we need $\mathrm{d}q^\star/\mathrm{d}b$. There is no need to remember the iteration. Differentiate the
# equation $q = \mathrm{softmax}(\Phi q + b)$ itself: with $J$ as above, at the mean field,
#
# $$ \mathrm{d}q = J (\Phi\, \mathrm{d}q + \mathrm{d}b) \quad\Longrightarrow\quad
#    \frac{\mathrm{d}q}{\mathrm{d}b} = J (I - \Phi J)^{-1} , $$
#
# a symmetric positive semidefinite matrix, whose system is never singular: the eigenvalues of $I - \Phi J$ are at least
# $(1 + m)/2$. `MonotoneDBM` solves it by conjugate gradients, whatever method found $q$.

# %%
from lemmata.kernels.monotone_dbm import MonotoneDBM

module = MonotoneDBM.from_model(model)
weights = torch.tensor(rng.standard_normal(model.n))
b = torch.tensor(model.bias, requires_grad=True)
(module(b, tol=1e-13).q[0] @ weights).backward()

h = 1e-5
up, down = (simulators.solve(model, bias=model.bias + t * h * np.eye(model.n), tol=1e-13).q for t in (1, -1))
difference = (up - down) @ weights.numpy() / (2 * h)
response = theory.response(model, q)
print(f"against finite differences: {np.abs(b.grad.numpy() - difference).max():.0e}".replace("e-0", "e-"))
print("agrees to 1e-8:", np.abs(b.grad.numpy() - difference).max() < 1e-8)
print("symmetric:", np.abs(response - response.T).max() < 1e-14, end="   ")
print("positive semidefinite:", np.linalg.eigvalsh(response)[0] > -1e-14)

# %% [markdown]
# **Exercises.** *One.* In section 2, give *every* node the bias of node 0: at what $N$ does the parallel update begin
# to swing? *Two.* In section 3 the model can repel as strongly as it likes, but attract only weakly,
# $\lambda_{\max}(\Phi) \le 1 - m$. Which sentence of the proof says so? *Three.* In section 6 run the parallel update
# on the crowd with `raise_on_fail=False` and compare its certificate with its error: the bound holds there, too. Why?
