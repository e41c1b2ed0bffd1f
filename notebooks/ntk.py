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
# # The network that is a kernel
#
# A neural network has many parameters, and training changes all of them at once. It is hard to say what comes out. But
# make the network wide, and something happens that one can compute: the network behaves like a *linear* model, whose
# features are fixed before training starts. This lesson shows how that comes about, how wide is wide, and how to use
# it: at the end an ensemble of small networks learns a permutation of eight bits from eight examples, and we know
# beforehand how many networks it takes.
#
# You need linear algebra, a little probability, and to have seen gradient descent. Every figure has the same grammar:
# what theory says is dashed and black, what was measured is coloured.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch

plt.style.use("lemmata.paper_figures.lemmata")
plt.rcParams["figure.dpi"] = 150
torch.set_num_threads(1)  # small products: threads would only wait for one another

QUICK = os.environ.get("LEMMATA_NOTEBOOK_QUICK") == "1"  # smaller sizes, for an automatic run

# %% [markdown]
# ## 1. What moves when a parameter moves
#
# Let $f_\theta(x)$ be the output of a network with parameters $\theta$. One step of gradient descent on the loss
# $\tfrac12 \sum_i (f_\theta(x_i) - y_i)^2$ with a small learning rate $\eta$ moves $\theta$ by
# $-\eta \sum_i \nabla f_\theta(x_i)\,(f_\theta(x_i) - y_i)$, and so it moves the output at *any* point $x$ by
#
# $$ f_\theta(x) \;\to\; f_\theta(x) - \eta \sum_i \hat\Theta(x, x_i)\,(f_\theta(x_i) - y_i) , \qquad
#    \hat\Theta(x, x') = \nabla f_\theta(x) \cdot \nabla f_\theta(x') . $$
#
# The **tangent kernel** $\hat\Theta$ says how much a correction at $x'$ is felt at $x$. That is all one has to know to
# predict training, if only it stayed the same. Let us look at one. `Network` says what a network is like; its
# **parametrisation** is not optional, for reasons that we shall meet.

# %%
from lemmata.kernels.ntk import FullyConnected, empirical_ntk
from lemmata.problems.ntk import Network, sphere_points

network = Network(inputs=3, width=64, depth=1, activation="relu", sw2=2.0, parametrization="ntk")
model = FullyConnected(network, seed=0)
points = sphere_points(4, 3, seed=1)
X = torch.tensor(points)

gradients = []
for x in X:
    model.zero_grad()
    model(x[None]).sum().backward()
    gradients.append(torch.cat([p.grad.ravel() for p in model.parameters()]))
J = torch.stack(gradients)

kernel = empirical_ntk(model, X)
print("by hand and by the library agree:", torch.allclose(J @ J.T, kernel))
print(np.round(kernel.numpy(), 2))

# %% [markdown]
# `empirical_ntk` takes any `torch.nn.Module`. For a chain of layers it multiplies Gram matrices, layer by layer, and
# never forms a gradient; for anything else it stacks gradients (`method="jacobian"`) or pushes them through the network
# one at a time (`"vector_product"`). It says beforehand how much memory that takes, and refuses what it could not hold.

# %%
from lemmata.errors import DomainError
from lemmata.kernels.ntk import kernel_memory

big = torch.nn.Sequential(torch.nn.Linear(784, 4096), torch.nn.ReLU(), torch.nn.Linear(4096, 10))
images = torch.zeros(5000, 784)
for method in ("structured", "jacobian"):
    print(f"{method:10s} {kernel_memory(big, images, method=method, outputs='trace') / 2**30:8.1f} GiB in one piece")
try:
    empirical_ntk(big, images, method="jacobian", outputs="trace", block=1000)
except DomainError as error:
    print("refused:", error)

# %% [markdown]
# ## 2. Infinite width
#
# Draw another network of the same shape and its kernel is another matrix. With $n$ hidden units it is the mean of $n$
# independent terms, one a unit, so it must settle as $n$ grows. In the limit the first layer is Gaussian: for ReLU the
# expectations are the arc-cosine kernels,
#
# $$ \Theta(x, x') = \sigma_w^2\, \mathrm E[\phi(u)\phi(v)] + \sigma_w^2\, q(x, x')\, \mathrm E[\phi'(u)\phi'(v)],
#    \qquad q(x, x') = \sigma_w^2\, x \cdot x' / d , $$
#
# with $(u, v)$ Gaussian of covariance $q$. The first term belongs to the readout, the second to the hidden layer. Let
# us do one entry by hand. On the sphere of radius $\sqrt d$ and with $\sigma_w^2 = 2$ two points at the angle $\theta$
# have $q = 2\cos\theta$, and in polar coordinates the two expectations are
#
# $$ \mathrm E[\phi(u)\phi(v)] = \frac{\sin\theta + (\pi-\theta)\cos\theta}{\pi}, \qquad
#    \mathrm E[\phi'(u)\phi'(v)] = \frac{\pi-\theta}{2\pi} : $$
#
# the second is the probability that both preactivations are positive. `fc_kernels` does this for any depth and most
# activations, and returns K, the covariance of the outputs at initialisation, beside $\Theta$.

# %%
from lemmata.sims.ntk import fc_kernels

RELU = {"activation": "relu", "sw2": 2.0, "parametrization": "ntk"}
K, Theta = fc_kernels(points, depth=1, **RELU)
angle = np.arccos(points[0] @ points[1] / 3)
both = np.sin(angle) + (np.pi - angle) * np.cos(angle)  # pi times the first expectation
readout, hidden = 2 * both / np.pi, 2 * 2 * np.cos(angle) * (np.pi - angle) / (2 * np.pi)
print(f"by hand      {readout:.4f} (readout) + {hidden:.4f} (hidden layer) = {readout + hidden:.12f}")
print(f"fc_kernels   Theta = {Theta[0, 1]:.12f},  K = {K[0, 1]:.4f}: the readout's part")

# %% [markdown]
# And by Monte Carlo: the mean over many finite networks. With one hidden layer it is the limit at *every* width; with
# more layers it is off by order $1/n$. Below, pairs of points at every angle, in units of $\Theta(x, x)$. To a deeper
# network all points but very close ones look alike.

# %%
from lemmata.kernels.ntk import empirical_kernels

angles = np.linspace(0, np.pi, 60)
circle = np.sqrt(2) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
seen = np.arange(0, 60, 6)
draws = 100 if QUICK else 500

fig, ax = plt.subplots(figsize=(3.9, 2.8), layout="constrained")
for depth, color, marker in ((1, "C0", "o"), (3, "C1", "s")):
    curve = fc_kernels(circle, depth=depth, **RELU).ntk[0]
    ax.plot(angles, curve / curve[0], "--", color="black", zorder=3, label="limit" if depth == 1 else None)
    finite = Network(2, 128, depth=depth, **RELU)
    found = empirical_kernels(finite, torch.tensor(circle[seen]), replicates=draws, seed=0)["kernel"].values[:, 0]
    error = 3 * found.std(axis=0) / np.sqrt(draws) / curve[0]
    mean = found.mean(axis=0) / curve[0]
    ax.errorbar(angles[seen], mean, error, fmt=marker, color=color, label=f"{depth} hidden, n = 128, mean of {draws}")
    print(f"depth {depth}: largest distance to the limit {abs(mean - (curve / curve[0])[seen]).max():.3f}")
ax.set(
    xlabel="angle", ylabel=r"$\Theta(x, x')\,/\,\Theta(x, x)$", title="Exact and by Monte Carlo, three standard errors"
)
ax.legend()
plt.show()

# %% [markdown]
# How fast does it settle? For one hidden ReLU layer even the variance has a closed form, $V/n$ at every $n$.

# %%
from lemmata.theory import ntk as theory

widths = 2 ** np.arange(3, 10 if QUICK else 12)
draws = 200 if QUICK else 1000
error = []
for n in widths:
    wide = Network(3, int(n), activation="relu", sw2=2.0, parametrization="ntk")
    found = empirical_kernels(wide, X, replicates=draws, seed=0)["kernel"].values
    error.append(np.sqrt(((found - Theta) ** 2).sum(axis=(1, 2)).mean()) / np.linalg.norm(Theta))
exact = np.sqrt(theory.unit_variance(network, points).sum() / widths) / np.linalg.norm(Theta)

fig, ax = plt.subplots(figsize=(3.6, 2.6), layout="constrained")
ax.loglog(widths, error, "o-", color="C0", label=f"{draws} draws")
ax.loglog(widths, exact, "--", color="black", zorder=3, label=r"$\sqrt{V/n}$")
ax.set_xscale("log", base=2)
ax.set(
    xlabel="width $n$", ylabel=r"$\Vert\hat\Theta-\Theta\Vert\,/\,\Vert\Theta\Vert$", title="The kernel concentrates"
)
ax.legend()
plt.show()
print(f"measured / closed form: {np.mean(error / exact):.2f}")

# %% [markdown]
# ## 3. Lazy training
#
# At initialisation the kernel is nearly the same for every wide network. The second half of the story is that it
# *stays* nearly the same. Each weight needs to move only by $O(n^{-1/2})$ of its size, since $n$ of them pull together;
# so the features hardly move, although the output goes all the way from a random function to the targets. Below, three
# ways to write the same network. In **mean-field scaling** the readout is smaller by $\sqrt n$ and the learning rate
# larger by $n$: the kernel at the start is the same, and yet the weights move by order one and learn features.

# %%
from lemmata.kernels.ntk import train

task_X = sphere_points(3, 5, seed=0)
task_Y = np.array([[1.0], [-1.0], [1.0]])
cases = {
    "ReLU, mean-field": {"activation": "relu", "sw2": 2.0, "parametrization": "mean_field"},
    "ReLU, ntk": {"activation": "relu", "sw2": 2.0, "parametrization": "ntk"},
    "erf, ntk": {"activation": "erf", "sw2": 1.0, "parametrization": "ntk"},
}
widths = 2 ** np.arange(4, 10 if QUICK else 12)
drift = {}
for name, options in cases.items():
    drift[name] = []
    for n in widths:
        net = Network(5, int(n), **options)
        limit = fc_kernels(task_X, depth=1, activation=net.activation, sw2=net.sw2, parametrization="ntk")
        eta = 1 / np.linalg.eigvalsh(limit.ntk)[-1]
        run = train(
            net,
            torch.tensor(task_X),
            torch.tensor(task_Y),
            eta=eta,
            steps=30,
            loss="half_sum",
            kernels=True,
            replicates=100 if QUICK else 300,
            seed=0,
        )
        before, after = run["kernel"].values[:, 0], run["kernel"].values[:, 1]
        change = np.linalg.norm(after - before, axis=(1, 2)) / np.linalg.norm(before, axis=(1, 2))
        drift[name].append(change.mean())

fig, ax = plt.subplots(figsize=(3.9, 2.8), layout="constrained")
for (name, values), color, marker in zip(drift.items(), ("C5", "C0", "C1"), "Do^", strict=True):
    ax.loglog(widths, values, marker + "-", color=color, label=name)
order = 1.5 * drift["ReLU, ntk"][0] * (widths / widths[0]) ** -0.5
ax.loglog(widths, order, ":", color="0.4", label="order $n^{-1/2}$")
ax.set_xscale("log", base=2)
ax.set(xlabel="width $n$", ylabel="relative change of the kernel", title="What training does to the kernel")
ax.legend(loc="lower left")
plt.show()
for name, values in drift.items():
    print(f"{name:18s} slope {np.polyfit(np.log(widths), np.log(values), 1)[0]:5.2f}")

# %% [markdown]
# The theorem of Lee et al. says $O(n^{-1/2})$, and that is an *upper bound*: with a smooth activation the drift falls
# like $1/n$. Whoever tested for the exponent $1/2$ would reject correct code. For ReLU the bound is the truth, though
# it shows late. A unit that the gradient pushes through zero closes, and a closed unit has no gradient that could open
# it again: gates are lost on one side only. On a single point one can count them.

# %%
gates = Network(2, 4096, activation="relu", sw2=1.0, rates=(1.0, 0.0), parametrization="ntk")  # readout frozen
run = train(
    gates,
    torch.ones(1, 2, dtype=torch.float64),
    torch.full((1, 1), 2.0, dtype=torch.float64),
    eta=1.0,
    steps=30,
    loss="half_sum",
    kernels=True,
    replicates=100 if QUICK else 1000,
    seed=0,
)
lost = (run["kernel"].values[:, 0] - run["kernel"].values[:, 1]).ravel() / 0.5
expected = theory.gate_loss(run["output"].values[:, 0, 0, 0] - 2, sw2=1.0, q=1.0, n=4096)
print(f"share of the kernel lost: measured {lost.mean():.4f}, theory {expected.mean():.4f}")

# %% [markdown]
# ## 4. An ensemble, and its law
#
# With a fixed kernel, training is linear algebra. After $t$ steps of gradient descent
#
# $$ f_t(x) = f_0(x) + P_t(x)\,(y - f_0(X)), \qquad
#    P_t(x) = \Theta(x, X)\,\Theta^{-1}\bigl(I - (I - \eta\Theta)^t\bigr), \quad \Theta = \Theta(X, X) . $$
#
# The random part is $f_0$, a Gaussian process of covariance $K$. So an *ensemble* of trained networks has the mean
# $P_t\,y$ and the covariance $(I - P_t) K (I - P_t)^\top$, at every step, and in gradient flow with
# $e^{-\eta\Theta t}$ for the power. `ensemble_law` gives both at any times, 0 and infinity among them, from one
# eigendecomposition. It asks which loss is meant: the mean of squares runs $NC/2$ times slower than half their sum.
#
# First a picture. The inputs are points of a circle, five of them have targets. At the start the law is that of the
# prior; then the targets pull, along the large eigenvalues first; at infinity every member passes through them.

# %%
from lemmata.kernels.ntk import train
from lemmata.sims.ntk import ensemble_law

ERF = {"activation": "erf", "sw2": 2.0, "sb2": 0.1, "parametrization": "ntk"}
where = np.array([0.4, 1.3, 2.2, 3.9, 5.1])
targets = np.array([[1.0], [-0.5], [0.5], [-1.0], [0.8]])
grid = np.linspace(0, 2 * np.pi, 80)
every = np.sqrt(2) * np.stack([np.cos(np.append(where, grid)), np.sin(np.append(where, grid))], axis=1)
K, Theta = fc_kernels(every, depth=1, **ERF)
steps = [0, 10, 100, 3000]
law = ensemble_law(K, Theta, targets, steps, eta=0.2, loss="half_sum", dynamics="descent", covariance="diagonal")
print(f"condition number {law.condition:.0f}, largest learning rate {law.largest_eta:.3f}")
few = train(
    Network(2, 256 if QUICK else 1024, **ERF),
    torch.tensor(every[:5]),
    torch.tensor(targets),
    X_test=torch.tensor(every[5:]),
    eta=0.2,
    steps=steps[-1],
    at=steps,
    loss="half_sum",
    replicates=8,
    seed=0,
)

fig, axes = plt.subplots(1, 4, figsize=(7.2, 2.2), layout="constrained", sharey=True)
for i, (ax, t) in enumerate(zip(axes, steps, strict=True)):
    mean, spread = law.mean[i, 5:, 0], np.sqrt(law.variance[i, 5:])
    ax.fill_between(grid, mean - 2 * spread, mean + 2 * spread, color="0.85", label="law, two s.d.")
    lines = ax.plot(grid, few["output"].values[:, i, 5:, 0].T, color="C0", linewidth=0.6, alpha=0.8)
    lines[0].set_label("trained networks")
    ax.plot(grid, mean, "--", color="black", zorder=3, label="law, mean")
    ax.plot(where, targets[:, 0], "k.", label="targets")
    ax.set(title=f"$t = {t}$", xlabel="angle")
axes[0].set_ylabel("$f_t(x)$")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
plt.show()

# %% [markdown]
# Eight trained networks move within the band. Now with numbers: `train` draws and trains networks by the thousand, each
# from a random stream of its own: member 17 is the same network in whatever company.

# %%
X5 = sphere_points(6, 4, seed=23)[:5]  # four training points, one test point
Y4 = np.array([[1.0], [-1.0], [1.0], [-1.0]])
K, Theta = fc_kernels(X5, depth=1, **ERF)
values = np.linalg.eigvalsh(Theta[:4, :4])
eta = 0.5 / values[-1]
steps = np.unique(np.append(0, np.geomspace(1, 6 / (eta * values[0]), 20).round().astype(int)))
run = train(
    Network(4, 512, 8, **ERF),
    torch.tensor(X5[:4]),
    torch.tensor(np.tile(Y4, (1, 8))),
    X_test=torch.tensor(X5[4:]),
    eta=eta,
    steps=int(steps[-1]),
    at=steps.tolist(),
    loss="half_sum",
    replicates=200 if QUICK else 600,
    seed=0,
)
f = run["output"].values
law = ensemble_law(K, Theta, Y4, steps, eta=eta, loss="half_sum", dynamics="descent")

fig, (left, right) = plt.subplots(1, 2, figsize=(6.5, 2.6), layout="constrained")
for point, color, label in ((0, "C0", "training point"), (4, "C1", "test point")):
    left.semilogx(steps + 1, f[:, :, point].mean(axis=(0, 2)), "o", color=color, label=label)
    left.semilogx(steps + 1, law.mean[:, point], "--", color="black", zorder=3)
    right.loglog(steps + 1, f[:, :, point].var(axis=0).mean(axis=1), "o", color=color)
    right.loglog(steps + 1, law.variance[:, point], "--", color="black", zorder=3)
left.set(xlabel="$t + 1$", ylabel="mean of $f_t(x)$", title="Mean of the ensemble")
right.set(xlabel="$t + 1$", ylabel="variance of $f_t(x)$", title="Variance", ylim=(2e-3, 2))
left.legend()
plt.show()
frozen = fc_kernels(X5, depth=1, **ERF, rates=(0, 1)).ntk  # the readout alone is trained
posterior = ensemble_law(K, frozen, Y4, np.inf, eta=eta, loss="half_sum").variance[0, 4]
print(f"test variance at the end: {f[:, -1, 4].var(axis=0).mean():.2f}")
print(f"law: {law.variance[-1, 4]:.2f}, posterior of the prior K: {posterior:.2f}")

# %% [markdown]
# Note the last number. It is tempting to read a trained ensemble as Bayesian inference with the prior $K$. It is not:
# the hidden layer moves too, and what is left of the variance is another number. Only where the readout alone is
# trained, $\Theta = K$, is the ensemble the posterior: that is how the number was computed.
#
# **How large a learning rate?** Along an eigenvector of $\Theta$ a step multiplies the residual by $1 - \eta\lambda$.
# So training converges up to $\eta = 2/\lambda_{\max}$ and blows up beyond, and there is nothing in between: one per
# cent is enough. `linear_descent` trains linear models step by step and knows no eigenvalues.

# %%
from lemmata.sims.ntk import linear_descent

J = np.linalg.cholesky(Theta[:4, :4])  # explicit features with this kernel
shares = np.array([0.5, 0.99, 1.01])
at = np.arange(0, 401, 2)
paths = linear_descent(J, np.zeros((4, 3)), np.repeat(Y4, 3, axis=1), shares * law.largest_eta, at)
loss = ((paths - Y4) ** 2).sum(axis=1) / 2

fig, ax = plt.subplots(figsize=(3.6, 2.6), layout="constrained")
for share, curve, color in zip(shares, loss.T, ("C0", "C2", "C5"), strict=True):
    ax.semilogy(at, curve, color=color, label=rf"$\eta = {share:g} \cdot 2/\lambda_{{\max}}$")
top = np.linalg.eigh(Theta[:4, :4])[1][:, -1]
ax.semilogy(at, (Y4[:, 0] @ top) ** 2 / 2 * 1.02 ** (2 * at), "--", color="black", label="largest mode")
ax.set(xlabel="step", ylabel="training loss", title="One per cent below, one above", ylim=(1e-9, 1e5))
ax.legend()
plt.show()
try:
    ensemble_law(K, Theta, Y4, 10, eta=1.01 * law.largest_eta, loss="half_sum", dynamics="descent")
except DomainError as error:
    print(error)

# %% [markdown]
# ## 5. Learning a permutation from signs
#
# Now a task in which all of this is exact. Take the $k$ unit vectors as inputs and let a two-layer ReLU network learn
# $e_i \mapsto e_{\pi(i)}$. Then show it a binary vector with several ones, which it has never seen. Does it permute the
# bits? The training kernel is $\alpha I + \beta \mathbf 1 \mathbf 1^\top$, and everything can be worked out: the
# coordinates that should be 1 have a positive mean, those that should be 0 have a *negative* one, of order $-1/k$.
# The bits can be read from signs. But the negative mean is far smaller than the noise of a single network:

# %%
k = 8
law = theory.permutation_law(k, 2, parametrization="ntk")
print(f"inside  {law.inside:+.4f}   outside {law.outside:+.4f}   standard deviation {np.sqrt(law.variance):.4f}")
print(f"networks that bring the outside mean to one standard deviation: {law.hardness:.0f}")

# %% [markdown]
# So we average. The theory says beforehand how many networks it takes to read one input, or all 247, with probability
# 9/10. And here is where the parametrisation matters. Write the same network the usual way, with weights of variance
# $1/n$ and one learning rate for all layers, and its kernel is $n$ times the readout's part plus something of order
# one: as the width grows, the readout alone learns. It is another kernel, with another law, and fewer networks do.

# %%
for parametrization in ("ntk", "standard"):
    one, every = (theory.ensemble_size(k, scope=scope, parametrization=parametrization) for scope in ("single", "all"))
    print(f"{parametrization:9s} one input: {one:4d} networks, every input: {every:4d}")

# %%
import math

from lemmata.problems.ntk import Permutation, binary_inputs, normalized, read_bits

k = 4 if QUICK else 8
pi, bits = Permutation.shift(k), binary_inputs(k)
beta = 1 / (2 * math.pi)
networks = 1200
run = train(
    Network(k, 128 * k, k, parametrization="ntk"),
    torch.tensor(pi.X),
    torch.tensor(pi.Y),
    X_test=torch.tensor(normalized(bits)),
    eta=k / (1 + (k - 1) * beta),
    steps=60,
    at=[60],
    loss="half_sum",
    replicates=networks,
    seed=0,
)
outputs = run["output"].values[:, 0, k:]
R = 2 ** np.arange(8)
share = []
for size in R:
    groups = outputs[: networks // size * size].reshape(-1, size, *outputs.shape[1:]).mean(axis=1)
    right = (read_bits(groups) == pi(bits)).all(axis=2)
    share.append(right[:, bits.sum(axis=1) == 2].mean())

fig, ax = plt.subplots(figsize=(3.6, 2.6), layout="constrained")
ax.semilogx(R, share, "o", color="C0", base=2, label="trained networks")
exact = [1 - theory.failure_bound(k, 2, size, parametrization="ntk") for size in R]
ax.semilogx(R, exact, "--", color="black", base=2, zorder=3, label="theory, infinite width")
ax.set(xlabel="networks $R$", ylabel="share read without a mistake", title=f"Inputs with two ones, $k = {k}$")
ax.legend()
plt.show()
print("all networks together read every input:", bool((read_bits(outputs.mean(axis=0)) == pi(bits)).all()))

# %% [markdown]
# ## 6. A factor of n, caught
#
# The commonest mistake in this field is a missing factor. Someone writes the network in standard parametrisation,
# divides the learning rate by $n$ so that nothing explodes, and compares with the tangent kernel. The training curve
# falls, the plots look healthy. `lm.verify` runs the claim, and then the claim's **saboteurs**, small defects of
# exactly this kind, each of which must come out *violated*:

# %%
import lemmata as lm

verdict = lm.verify("ntk/kernel-mean", backend="kernels")
print(verdict)
for saboteur in verdict.decisive.saboteurs:
    print(f"  {saboteur.name:48s} {saboteur.status}")

# %% [markdown]
# A claim also looks at a problem before it speaks about it:

# %%
from lemmata.errors import AssumptionError
from lemmata.problems.ntk import Regression

ordinary = Network(5, 256, activation="erf", parametrization="standard")
try:
    theory.kernel_drift_smooth.check(Regression(ordinary, task_X, task_Y))
except AssumptionError as error:
    print(error)

# %% [markdown]
# And training refuses a learning rate that belongs to another parametrisation:

# %%
try:
    train(
        ordinary,
        torch.tensor(task_X),
        torch.tensor(task_Y),
        eta=1.0,
        steps=10,
        loss="half_sum",
        replicates=1,
        seed=0,
    )
except DomainError as error:
    print(error)

# %% [markdown]
# ## Where to go from here
#
# * `lemmata list ntk` prints every claim of the family with its source.
# * `lemmata figure ntk/width` and its neighbours draw the figures of this lesson in full, with intervals.
# * The statement that all inputs together need $O(k^2)$ networks is an upper bound, too: `ntk/permutation-models` shows
#   that few inputs are hard, and that $k \ln k$ is what one sees.
