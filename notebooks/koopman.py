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
# # Can you trust an eigenvalue?
#
# Give a computer snapshots of a moving system and it will give you eigenvalues, frequencies, modes: as many as you ask
# for. Some of them belong to the system. Others belong to the functions that you chose, to the noise, or to nobody.
# This lesson is about telling them apart: by a **residual** that can be computed from the same snapshots, by theorems
# on what it proves, and by a theorem on what no computation can do.
#
# You need linear algebra, and some patience with the letter $K$. What theory says is dashed and black, what was
# measured is coloured.

# %%
import os
import warnings
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

from lemmata.sims import koopman as sims
from lemmata.theory import koopman as theory

plt.style.use("lemmata.paper_figures.lemmata")
plt.rcParams["figure.dpi"] = 150
threadpool_limits(1, "blas")  # small matrices: a second thread costs more than it gives

QUICK = os.environ.get("LEMMATA_NOTEBOOK_QUICK") == "1"  # smaller sizes, for an automatic run
CIRCLE = np.exp(1j * np.linspace(0, 2 * np.pi, 400))

# %% [markdown]
# # Part I. Eigenvalues and residuals
#
# ## 1. An operator that looks one step ahead
#
# A map $F$ moves points $x$. Its **Koopman operator** moves functions, by asking them a step later:
#
# $$ (Kg)(x) = g(F(x)) . $$
#
# The map may be as nonlinear as it likes, $K$ is linear. An eigenfunction, $Kg = \lambda g$, is an observable that
# does nothing but multiply by $\lambda$ at every step: a clock inside the system, or something that decays.
#
# Take the rotation $F(x) = x + \alpha$ of a circle of length 1. Everything is known: $e^{2\pi i k x}$ is an
# eigenfunction with the eigenvalue $e^{2\pi i k \alpha}$.
#
# **EDMD** finds such eigenvalues from snapshots. Choose functions $\psi_1, \dots, \psi_N$, write their values at
# $x_m$ and at $F(x_m)$ into two matrices $\Psi_X, \Psi_Y$, and solve $\Psi_X K \approx \Psi_Y$ by least squares. We
# give it one orbit, and functions among which the eigenfunctions are.

# %%
from lemmata.problems.koopman import GOLDEN, Fourier, rotation

path = sims.orbit(rotation(GOLDEN), [0.2], 200)
psi = Fourier(10)  # e^{2 pi i k x} for |k| <= 10
turning = sims.section(psi(path[:-1]), psi(path[1:]))
found = sims.edmd(turning)
known = np.exp(2j * np.pi * GOLDEN * np.arange(-10, 11))

x = np.linspace(0, 1, 401)
g = np.abs(x % 1 - 0.5)
fig, (left, right) = plt.subplots(1, 2, figsize=(6.5, 2.7), layout="constrained", width_ratios=(1.3, 1))
left.plot(x, g, color="C0", label="$g$")
left.plot(x, np.abs((x + GOLDEN) % 1 - 0.5), color="C1", label="$Kg$")
left.set(xlabel="$x$", ylabel="value", title=r"An observable of the rotation, and a step later", ylim=(0, 0.72))
left.legend(loc="upper center", ncols=2)
right.plot(CIRCLE.real, CIRCLE.imag, color="0.8", linewidth=0.6)
right.plot(known.real, known.imag, "o", color="black", markerfacecolor="none", markersize=6, label="closed form")
right.plot(found.values.real, found.values.imag, ".", color="C0", label="EDMD")
right.set(xlabel="real part", ylabel="imaginary part", aspect="equal", title="21 eigenvalues of $K$")
right.legend(loc="center")
plt.show()

off = np.abs(found.values[:, None] - known).min(axis=1).max()
print(f"EDMD and the closed form agree to 1e-12: {off < 1e-12}")

# %% [markdown]
# ## 2. An eigenvalue that belongs to nobody
#
# Now the doubling map, $F(x) = 2x \bmod 1$. It takes $e^{2\pi i k x}$ to $e^{2\pi i 2k x}$: every function but the
# constant wanders off to higher frequencies and never returns. Apart from the constant there is no eigenfunction at
# all. Ask EDMD anyway.

# %%
from lemmata.problems.koopman import doubling, rule

psi = Fourier(10)
learned = {}
for size in (210, 4200 if QUICK else 42_000):
    x = np.random.default_rng(0).random((size, 1))
    learned[f"{size:,} random points"] = sims.section(psi(x), psi(sims.images(doubling(), x)))

fig, (left, right) = plt.subplots(1, 2, figsize=(6.5, 2.9), layout="constrained", width_ratios=(1, 1.3))
left.plot(CIRCLE.real, CIRCLE.imag, color="0.8", linewidth=0.6)
for (label, made), color, marker in zip(learned.items(), ("C1", "C0"), "os", strict=True):
    eigen = sims.edmd(made)
    left.plot(eigen.values.real, eigen.values.imag, marker, color=color)
    right.plot(np.abs(eigen.values), eigen.residuals, marker, color=color, label=label)
    print(f"{label}: second largest |eigenvalue| {np.sort(np.abs(eigen.values))[-2]:.2f}")
r = np.linspace(0, 1, 50)
right.plot(r, theory.residual_isometry(modulus=r), "--", color="black", label=r"theorem: $\geq 1 - |\lambda|$")
left.set(xlabel="real part", ylabel="imaginary part", aspect="equal", title="EDMD on the doubling map")
right.set(xlabel=r"$|\lambda|$", ylabel="residual", ylim=(-0.05, 1.2), title="The residual gives them away")
right.legend(loc="lower left")
plt.show()

# %% [markdown]
# Twenty eigenvalues, and none of them is one of $K$. More data pull them in, and slowly: they sit in Jordan blocks of
# up to four, which turn an error of $\varepsilon$ in a matrix into one of $\varepsilon^{1/4}$ in its eigenvalues.
#
# What gives them away is the **residual**. If $(\lambda, g)$ is what it claims to be then $Kg - \lambda g$ vanishes;
#
# $$ \mathrm{res}(\lambda, g) = \frac{\|(K - \lambda) g\|}{\|g\|}
#    \;\approx\; \frac{\|(\Psi_Y - \lambda \Psi_X) v\|}{\|\Psi_X v\|} , \qquad g = \sum_j v_j \psi_j , $$
#
# needs nothing but the snapshots. EDMD never asks, because it projects $Kg$ back onto its functions first; what sticks
# out of them is the point. With exact integrals in place of random points all is clear:

# %%
nodes = rule("periodic", 64)
exact = sims.section(psi(nodes.x), psi(sims.images(doubling(), nodes.x)), nodes.w)
eigen = sims.edmd(exact)
constant = np.argmin(np.abs(eigen.values - 1))
print(f"residual of the constant below 1e-12: {eigen.residuals[constant] < 1e-12}")
print(f"residuals of the other twenty: {np.delete(eigen.residuals, constant).min():.6f} and more")

# %% [markdown]
# What does a residual *prove*? The doubling map preserves the measure, so $\|Kg\| = \|g\|$, and the triangle inequality
# gives $\mathrm{res} \ge |1 - |\lambda||$: no small residual off the unit circle. If $K$ is *normal* (for instance
# unitary, where $F$ is invertible too) more is true: $\mathrm{res} \ge \mathrm{dist}(\lambda, \mathrm{Sp}\,K)$. There
# the residual is an error bar. For other operators it is not, and section 8 asks you to say which you have.
#
# ## 3. How to compute a small number
#
# The square of a residual is $v^*(L - \lambda A^* - \bar\lambda A + |\lambda|^2 G)v$ with $G = \Psi_X^*\Psi_X$ and so
# on: small matrices, easy to stream. It is also a small difference of large numbers. Rounding leaves $10^{-16}$ in the
# square and so $10^{-8}$ in the residual. `section` takes another road: a triangular factor of the columns of
# $\Psi_X$ and $\Psi_Y$ side by side holds what stays in the span ($A$) *and* what leaves it ($S$), and
# $\mathrm{res}^2 = |(A - \lambda)v|^2 + |Sv|^2$ has no cancellation. We test both on an eigenfunction of the rotation
# with a $\lambda$ that is wrong by a known $\delta$, in a basis of condition number 1,000.

# %%
mixed = np.random.default_rng(1).standard_normal((21, 21)) @ np.diag(np.geomspace(1, 1e-3, 21))
psi_x, psi_y = (Fourier(10)(points) @ mixed for points in (path[:-1], path[1:]))
made = sims.section(psi_x, psi_y)
eigen = sims.edmd(made)
i = np.argmin(np.abs(eigen.values - known[13]))
delta = np.geomspace(1e-13, 1e-1, 25)
z = known[13] + delta
stacked = sims.residuals(made, z, np.repeat(eigen.vectors[:, [i]], z.size, axis=1))

G, A, L = psi_x.conj().T @ psi_x / 200, psi_x.conj().T @ psi_y / 200, psi_y.conj().T @ psi_y / 200
v = made.basis @ eigen.vectors[:, i]
square = [np.vdot(v, (L - p * A.conj().T - np.conj(p) * A + abs(p) ** 2 * G) @ v).real for p in z]
gram = np.sqrt(np.maximum(square, 0) / np.vdot(v, G @ v).real)

fig, ax = plt.subplots(figsize=(4.2, 2.8), layout="constrained")
ax.loglog(
    delta,
    np.maximum(gram, 1e-15),
    "s",
    color="C1",
    markersize=5,
    markerfacecolor="none",
    label="Gram form (0 drawn as $10^{-15}$)",
)
ax.loglog(delta, stacked, "o", color="C0", label="stacked triangular factor")
ax.loglog(delta, delta, "--", color="black", label=r"true residual, $\delta$")
ax.set(xlabel=r"error $\delta$ of the eigenvalue", ylabel="computed residual", title="Two roads to a residual")
ax.legend(loc="lower right")
plt.show()

print(f"stacked, all within 1 %: {np.abs(stacked[delta > 1e-12] / delta[delta > 1e-12] - 1).max() < 0.01}")
print(f"Gram form, below 1e-9: not one within 10 %: {(np.abs(gram / delta - 1) > 0.1)[delta < 1e-9].all()}")

# %% [markdown]
# Where only $G$, $A$ and $L$ are left (after $10^8$ snapshots, say) the floor is stated, and a tolerance below it is
# refused:

# %%
from lemmata.problems.koopman import PrecisionError

streamed = sims.section_from_gram(G, A, L)
eigen = sims.edmd(streamed)
try:
    sims.residuals(streamed, eigen.values, eigen.vectors, tolerance=1e-10)
except PrecisionError as error:
    print("refused:", error)

# %% [markdown]
# # Part II. Spectra
#
# ## 4. The pseudospectrum of a pendulum
#
# Instead of judging the pairs that EDMD offers, ask at *every* $z$ for the best pair there is in the span,
#
# $$ \tau_N(z) = \min_{g} \frac{\|(K - z) g\|}{\|g\|} . $$
#
# This needs no eigenvalues, never rises with $N$, and cannot invent anything: $\tau_N(z)$ lies *above* its limit. For
# the pendulum $\ddot x = -\sin x$ energy is kept and area too, so $K$ is unitary and $\tau_N \ge |1 - |z||$. Each orbit
# goes round in a time of its own, and all times together fill the unit circle: it is the spectrum.

# %%
from lemmata.problems.koopman import Hermite, Product, pendulum, tensor_rule

waves, polynomials, across = (3, 8, 41) if QUICK else (5, 14, 81)
swing = pendulum(dt=0.5)
psi = Product((Fourier(waves, period=2 * np.pi), Hermite(polynomials, weighted=True)))
nodes = tensor_rule(rule("periodic", 60, -np.pi, np.pi), rule("trapezium", 121, -14, 14))
after = sims.images(swing, nodes.x)
pendula = sims.section(psi(nodes.x), psi(after), nodes.w)
axis = np.linspace(-1.3, 1.3, across)
z = axis + 1j * axis[axis >= 0][:, None]  # real data: the lower half is the mirror image
tau = sims.pseudospectrum(pendula, z)
eigen = sims.edmd(pendula)

fig, ax = plt.subplots(figsize=(4.3, 2.9), layout="constrained")
levels = [0.1, 0.2, 0.3, 0.4, 0.5]
lines = ax.contour(z.real, z.imag, tau, levels=levels, cmap="viridis", linewidths=0.8)
ax.clabel(lines, fontsize=6)
upper = eigen.values[eigen.values.imag >= -1e-9]
ax.plot(upper.real, upper.imag, "o", color="C1", markersize=2.5, label=f"EDMD, {pendula.rank} functions")
ax.plot(CIRCLE.real[:200], CIRCLE.imag[:200], "--", color="black", label="spectrum")
ax.set(
    xlabel="real part", ylabel="imaginary part", ylim=(0, 1.3), aspect="equal", title=r"Pendulum: levels of $\tau(z)$"
)
fig.legend(loc="outside lower center", ncols=2)
plt.show()

print(f"the integrals keep norms to 1e-12: {np.abs(pendula.growth - np.eye(pendula.rank)).max() < 1e-12}")
print(f"tau >= |1 - |z|| to 1e-6 at all {z.size} points: {(tau >= np.abs(1 - np.abs(z)) - 1e-6).all()}")
print(f"EDMD's smallest |eigenvalue|: {np.abs(eigen.values).min():.2f}, of residual", end=" ")
print(f"{eigen.residuals[np.abs(eigen.values).argmin()]:.2f}")

# %% [markdown]
# The contours follow the circle and close in on it; EDMD's eigenvalues fill the disc, and the more functions the more
# of it. Both come from the same two matrices. The first line printed is worth a look in your own work: these are
# statements on $K$ only as far as sums over snapshots are integrals. With the velocities cut off at 8 instead of 14
# it fails for the larger dictionaries, and the inequality with it.
#
# ## 5. Keep what the system keeps
#
# If the measure is preserved, let the matrix preserve it. **mpEDMD** replaces the compression by the unitary matrix
# nearest to it. Its eigenvalues lie on the circle whatever the data, and more can be said: the eigenvalues and the
# coordinates of an observable $g$ in the eigenvectors form a *measure* on the circle, and with the functions $g, Kg,
# \dots, K^{N-1}g$ its distance from the true spectral measure of $g$ is
#
# $$ W_1(\mu_g, \mu_N) \;\le\; \frac{\pi \|g\|^2}{N} . $$
#
# On the right: an observable of Arnold's cat map whose spectral measure is a known density (of Poisson's kernel).

# %%
from lemmata.problems.koopman import PolarNonUniqueWarning

unitary = sims.mpedmd(pendula)
moments = theory.poisson_moments(0.6 * np.exp(0.7j), 400)
sizes = np.array([5, 10, 20, 40, 80])
apart = []
for N in sizes:
    krylov = sims.section_from_gram(*sims.delay_gram(moments, N))
    with warnings.catch_warnings():
        # one direction is free to turn: it moves the atoms, and no moment below the N-th
        warnings.simplefilter("ignore", PolarNonUniqueWarning)
        atoms = sims.spectral_measure(sims.mpedmd(krylov), sims.coordinates(krylov, np.eye(N)[0]))
    apart.append(sims.circle_distance(*atoms, partial(theory.distribution, moments=moments)))

fig, (left, right) = plt.subplots(1, 2, figsize=(6.5, 2.9), layout="constrained", width_ratios=(1, 1.2))
left.plot(CIRCLE.real, CIRCLE.imag, "--", color="black", linewidth=0.8)
left.plot(eigen.values.real, eigen.values.imag, "o", color="C1", markersize=2.5, label="EDMD")
left.plot(unitary.values.real, unitary.values.imag, "o", color="C0", markersize=2.5, label="mpEDMD")
left.set(xlabel="real part", ylabel="imaginary part", aspect="equal", title="The pendulum again")
left.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
right.loglog(sizes, apart, "o", color="C0", label="mpEDMD")
right.loglog(sizes, theory.favard_bound(N=sizes, norm=1.0), "--", color="black", label=r"theorem: $\pi\|g\|^2/N$")
right.set(xlabel="functions $N$", ylabel=r"$W_1(\mu_g, \mu_N)$", title="A measure, and its error bound")
right.set_xticks(sizes, labels=sizes)
right.set_yticks([0.02, 0.05, 0.1, 0.2, 0.5], labels=[0.02, 0.05, 0.1, 0.2, 0.5])
right.minorticks_off()
right.legend(loc="lower left")
plt.show()

print(f"mpEDMD on the circle to 1e-12: {np.abs(np.abs(unitary.values) - 1).max() < 1e-12}")
scaled = sizes * apart
print(f"N W_1 = {np.round(scaled, 2)}: below pi: {(scaled < np.pi).all()}; at N = 80 within 2 % of pi/2:", end=" ")
print(abs(scaled[-1] / (np.pi / 2) - 1) < 0.02)

# %% [markdown]
# ## 6. When there are no eigenvalues to be had
#
# Each of mpEDMD's eigenvalues looks as trustworthy as the next; and the cat map has none but 1. Its spectrum is
# continuous, and the honest answer is a **density**. Where $m_n = \langle K^n g, g\rangle$ are the autocorrelations of
# $g$, the density is $\rho(\theta) = \frac1{2\pi}\sum_n m_n e^{-in\theta}$. One smooths it with a kernel of width
# $\varepsilon$; a *rational kernel of order* $m$ makes an error of $\varepsilon^m$. We compute moments from the map,
# on a lattice where binary arithmetic is exact, for a $g$ whose density we know.

# %%
from lemmata.problems.koopman import cat

grid = tensor_rule(rule("periodic", 64), rule("periodic", 64))
modes, c = np.array([[1, 2, 5], [0, 1, 3]]), np.array([1, 0.5, 0.25j])
x, moments = grid.x, []
first = np.exp(2j * np.pi * x @ modes) @ c
for _ in range(6):
    moments.append(grid.w @ (np.exp(2j * np.pi * x @ modes) @ c * first.conj()))
    x = sims.images(cat(), x)
known = theory.shift_moments(c)
print(f"moments: simulated and by hand agree to 1e-12: {np.abs(moments[:3] - known).max() < 1e-12}")

theta = np.linspace(-np.pi, np.pi, 201)
width = 2.0 ** -np.arange(1.5, 7)
fig, (left, right) = plt.subplots(1, 2, figsize=(6.5, 2.9), layout="constrained")
for order, color in ((1, "C1"), (4, "C0")):
    smooth = sims.moment_density(theta, 0.35, np.array(moments), order=order)
    left.plot(theta, smooth, color=color, label=f"$m = {order}$")
left.plot(theta, theory.density(theta, known), "--", color="black", label="closed form")
left.set(xlabel=r"angle $\theta$", ylabel="density", title=r"Spectral density, $\varepsilon = 0.35$", ylim=(0, 0.55))
left.legend(loc="upper left")
for order in range(1, 7):
    error = [
        np.abs(sims.moment_density(theta, e, np.array(moments), order=order) - theory.density(theta, known)).max()
        for e in width
    ]
    right.loglog(width, error, "o-", color=f"C{order - 1}", label=f"$m = {order}$")
    right.loglog(width[1:4], error[2] * (width[1:4] / width[2]) ** order * 2, "--", color="black", linewidth=0.7)
    print(f"order {order}: slope {np.log2(error[3] / error[4]):.1f}")
right.set(xlabel=r"width $\varepsilon$", ylabel="largest error", title=r"Error, beside $\varepsilon^m$")
right.legend(loc="lower right", ncols=2)
plt.show()

# %% [markdown]
# ## 7. Limits that do not commute
#
# Two numbers went to their limits in that section, and they went in order: first all moments, then $\varepsilon \to 0$.
# The order matters. Half of the next observable is an eigenfunction, half lives in a continuous spectrum. Project
# $K^\ell g$ onto $n + 1$ functions, and average the squared norm over $L$ steps. Long times first, and only the
# eigenfunction is left: $\frac12$. Many functions first, and nothing has left yet: $1$.

# %%
L = np.unique(np.geomspace(1, 1e4, 13).astype(int))
fig, ax = plt.subplots(figsize=(4.2, 2.7), layout="constrained")
for n, color, marker in ((1, "C0", "o"), (10, "C1", "s"), (100, "C2", "^")):
    ax.semilogx(L, sims.rage_average(n, L), marker, color=color, label=f"$n = {n}$")
    ax.semilogx(L, [theory.rage(dimension=n, length=int(steps)) for steps in L], "--", color="black", linewidth=0.8)
ax.set(xlabel="steps $L$", ylabel=r"mean of $\|P_n K^\ell g\|^2$", ylim=(0.45, 1.05), title="Which limit goes first?")
ax.legend(loc="upper right")
plt.show()
few, many = sims.rage_average(1, [10_000])[0], sims.rage_average(100, [100])[0]
print(f"n = 100, L = 100: {many:.2f}    n = 1, L = 10000: {few:.2f}")

# %% [markdown]
# The same happens with snapshots $M$ and functions $N$. With as many functions as snapshots *any* pair fits the data:
# the residual is zero, always, and says nothing. `section` refuses, and from $M = N$ to $2N$ it warns: keep some
# snapshots back, learn from the others, and let `held_out` judge.

# %%
from lemmata.problems.koopman import ResidualVacuousError, ResidualVacuousWarning

x = np.random.default_rng(4).random((400, 1))
psi_x, psi_y = Fourier(10)(x), Fourier(10)(sims.images(doubling(), x))
try:
    sims.section(psi_x[:20], psi_y[:20])
except ResidualVacuousError as error:
    print("refused:", error)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResidualVacuousWarning)
    vacuous = sims.section(psi_x[:21], psi_y[:21])
eigen = sims.edmd(vacuous)
judged = sims.held_out(vacuous, eigen, psi_x[21:], psi_y[21:])
print(f"on the 21 snapshots: residuals below 1e-3: {eigen.residuals.max() < 1e-3}")
print(f"on the 379 others: the median is above 0.5: {np.median(judged) > 0.5}")

# %% [markdown]
# ## 8. An answer with an error bar
#
# The **certified set** of Colbrook, Mezić and Stepanenko: at each point of a grid look around within a few $\tau(z)$
# for the points of least $\tau$, and keep those. Every point kept is within its $\tau$ of the spectrum, if $K$ is
# normal or an isometry. Whether it is cannot be seen from data, so you have to say:

# %%
from lemmata.problems.koopman import CertificateError

angles = np.pi * np.arange(25 if QUICK else 49) / (24 if QUICK else 48)
grid = (np.linspace(0.8, 1.2, 9)[:, None] * np.exp(1j * angles)).ravel()
try:
    sims.certified_set(pendula, grid)
except CertificateError as error:
    print("refused:", error)

worst, bounds, ranks, near = [], [], [], []
for waves, polynomials in ((2, 5), (3, 8), (4, 9)) if QUICK else ((2, 5), (3, 8), (4, 11), (5, 14), (7, 20)):
    psi = Product((Fourier(waves, period=2 * np.pi), Hermite(polynomials, weighted=True)))
    made = sims.section(psi(nodes.x), psi(after), nodes.w)
    points, bound = sims.certified_set(made, grid, operator="unitary", ball=2)
    worst.append(sims.edmd(made).residuals.max())
    bounds.append(bound)
    ranks.append(made.rank)
    near.append(np.abs(1 - np.abs(points)).max() <= bound)
    print(f"N = {made.rank:3d}: {points.size:2d} points, certified to {bound:.3f}")
print(f"every point as near to the circle as certified: {all(near)}; bounds fall: {(np.diff(bounds) < 0).all()}")

fig, (left, right) = plt.subplots(1, 2, figsize=(6.5, 2.6), layout="constrained", width_ratios=(1.3, 1))
left.plot(CIRCLE.real[:200], CIRCLE.imag[:200], "--", color="black", linewidth=0.8, label="spectrum")
left.plot(grid.real, grid.imag, ",", color="0.6")
left.plot(points.real, points.imag, "o", color="C0", label="certified set")
left.set(xlabel="real part", ylabel="imaginary part", ylim=(-0.05, 1.25), aspect="equal")
left.set_title(f"The pendulum from {ranks[-1]} functions")
left.legend(loc="center", bbox_to_anchor=(0.5, 0.25))
right.semilogx(ranks, worst, "s-", color="C1", label="EDMD, largest residual")
right.semilogx(ranks, bounds, "o-", color="C0", label="certified error bound")
right.set(
    xlabel="functions $N$", ylabel="error", ylim=(0, 1.1), title="More functions", xticks=ranks, xticklabels=ranks
)
right.minorticks_off()
right.legend(loc="center right", bbox_to_anchor=(1.0, 0.55))
plt.show()

# %% [markdown]
# EDMD's worst pair gets worse with $N$ and nobody would know. The certified bound falls; and it is a bound, not an
# estimate. What it does not say is that the *whole* spectrum was found: that takes the limit.
#
# # Part III. What no algorithm can do
#
# ## 9. The adversary
#
# More data, better functions, cleverer thresholds: is there an algorithm that always gets there? Write yours. Here is a
# careful one. It learns from one half of the snapshots, judges on the other, and returns what survives. Points of a
# disc are given as rows $(s, \varphi)$ with $s = r^2$, in which $ds\,d\varphi$ is area.


# %%
def features(x):
    """Waves in the angle, each times 1 and s."""
    waves = np.exp(1j * np.outer(x[:, 1], np.arange(-2, 3)))
    return np.concatenate([waves, x[:, :1] * waves], axis=1)


def mine(x, y):
    """Points said to be the spectrum, from snapshots y = F(x)."""
    half = len(x) // 2
    learned = sims.section(features(x[:half]), features(y[:half]))
    eigen = sims.edmd(learned)
    judged = sims.held_out(learned, eigen, features(x[half:]), features(y[half:]))
    return eigen.values[judged <= max(0.2, judged.min())]


# %% [markdown]
# Now the adversary. One system is a **twist**, $\varphi \mapsto \varphi + \pi + \delta(s)$; since the angle depends
# on the radius its spectrum is the whole unit circle. The other agrees with it on *every snapshot you have seen*. It is
# $G = H^{-1} R H$, where $R$ is the rotation by $\pi$ and $H$ turns a small ellipse near each snapshot by half a turn:
# area preserving, continuous, and $G \circ G = \mathrm{Id}$. Its spectrum is $\{1, -1\}$.


# %%
def delta(s):
    return 0.3 * (1 + s)


rng = np.random.default_rng(0)
size = 60
data = np.column_stack([(np.arange(size) + 0.2 + 0.6 * rng.random(size)) / size, 2 * np.pi * rng.random(size)])
G = sims.interpolating_involution(data, delta)
y = sims.twist(data, delta)
elsewhere = rng.random((20_000, 2)) * [1, 2 * np.pi]


def wrap(angle):
    return (angle + np.pi) % (2 * np.pi) - np.pi


print(f"the two agree on the data to 1e-11: {np.abs(wrap(G(data) - y)).max() < 1e-11}")
print(f"G(G(x)) = x to 1e-9: {np.abs(wrap(G(G(elsewhere)) - elsewhere)).max() < 1e-9}")
answer, other = mine(data, y), mine(data, G(data))
print(f"your answers to the two are within 1e-9: {sims.hausdorff(answer, other) < 1e-9}")
print(
    f"wrong by {sims.circle_gap(answer):.2f} for the twist, by {sims.hausdorff(answer, [1, -1]):.2f} for the involution"
)

fig, (left, right) = plt.subplots(1, 2, figsize=(6.5, 2.9), layout="constrained", width_ratios=(1.35, 1))
excess = wrap(G(elsewhere)[:, 1] - elsewhere[:, 1] - np.pi)
left.plot(elsewhere[:, 0], excess, ",", color="C1")
left.plot([], [], ".", color="C1", label="involution, anywhere")
s = np.linspace(0, 1, 50)
left.plot(s, delta(s), color="C2", label=r"twist, $\delta(s)$")
left.plot(data[:, 0], wrap(y[:, 1] - data[:, 1] - np.pi), "o", color="black", markersize=2, label="the data")
left.set(
    xlabel="$s$",
    ylabel=r"angle of the image $-\,\varphi - \pi$",
    title="Two systems, one set of data",
    ylim=(-1.6, 1.6),
)
left.legend(loc="lower left")
right.plot(CIRCLE.real, CIRCLE.imag, color="C2", label="spectrum of the twist")
right.plot([1, -1], [0, 0], "o", color="C1", markersize=6, label="of the involution")
right.plot(answer.real, answer.imag, "x", color="black", label="your answer")
right.set(xlabel="real part", ylabel="imaginary part", aspect="equal", title="Whom do you believe?", ylim=(-1.2, 1.9))
right.legend(loc="upper center")
plt.show()

# %% [markdown]
# The two spectra are $\sqrt 2$ apart, the data are the same, so whatever you answer is wrong by $1/\sqrt 2$ for one of
# them. Your own algorithm goes here, of whatever kind:

# %%
from lemmata.testing import assert_claim

print(assert_claim(mine, "koopman/adversarial-disc"))

# %% [markdown]
# Colbrook, Mezić and Stepanenko make this into a theorem: the adversary answers one data set after the other, in the
# limit it has built a single map, and on that map your *sequence* of answers does not converge. We can watch one move
# of the game, against one algorithm. "For all algorithms" is proved, not measured.
#
# # Part IV. Your own systems
#
# ## 10. A map of your own
#
# Any function that Numba compiles will do: `step(x, out)` writes the image of `x` into `out`. Chirikov's standard map
# is a pendulum kicked once a turn. Gently kicked, most of its orbits stay on curves; hard kicked, they go everywhere.

# %%
from numba import njit


def standard_map(kick):
    strength = kick / (2 * np.pi)

    @njit
    def step(x, out):
        p = x[1] + strength * np.sin(2 * np.pi * x[0])
        out[0] = (x[0] + p) % 1.0
        out[1] = p % 1.0

    return step


gentle, hard = standard_map(0.9), standard_map(7.0)
square = tensor_rule(rule("periodic", 48), rule("periodic", 48))
psi = Fourier(3 if QUICK else 5, 2)

fig, (left, right) = plt.subplots(1, 2, figsize=(6.5, 2.9), layout="constrained", width_ratios=(1, 1.3))
for p in np.linspace(0, 1, 24, endpoint=False):
    left.plot(*sims.orbit(gentle, [0.5 * (p > 0.5), p], 400).T, ",", color="C0")
left.set(xlabel="$x$", ylabel="$p$", aspect="equal", title="Gently kicked")
for step, label, color, marker in ((gentle, "gently kicked", "C0", "o"), (hard, "hard kicked", "C1", "s")):
    made = sims.section(psi(square.x), psi(sims.images(step, square.x)), square.w, measure_preserving=True)
    eigen = sims.edmd(made)
    right.plot(np.abs(eigen.values), eigen.residuals, marker, color=color, label=label, alpha=0.8)
    good = eigen.residuals < 0.3
    print(f"{label}: {good.sum()} of {made.rank} eigenvalues have a residual below 0.3")
right.plot(r, theory.residual_isometry(modulus=r), "--", color="black", label=r"$1 - |\lambda|$")
right.set(xlabel=r"$|\lambda|$", ylabel="residual", ylim=(-0.05, 1.2), title="EDMD's eigenvalues")
right.legend(loc="lower left")
plt.show()

# %% [markdown]
# Functions that are constant on the curves are eigenfunctions of the gentle map, and more than one pair shows it. In
# chaos the constant is alone.
#
# ## 11. Sunspots and carbon dioxide
#
# Out of doors there is one orbit, one observable and no formula. Take as functions the constant and $N$ successive
# values ("delays"), learn from the first two thirds of the record and let the last third judge.

# %%
from lemmata.experiments.koopman.series import report, surrogate_residuals
from lemmata.problems.koopman import carbon_dioxide, sunspots

spots, air = sunspots(), carbon_dioxide()
fig, panels = plt.subplots(1, 2, figsize=(6.5, 2.3), layout="constrained")
for ax, series in zip(panels, (spots, air), strict=True):
    earlier, later = series.split(2 / 3)
    ax.plot(earlier.times, earlier.values, color="C0", linewidth=0.7, label="learned from")
    ax.plot(later.times, later.values, color="C1", linewidth=0.7, label="held out")
    ax.set(xlabel="year", ylabel=series.unit, title=f"{series.name[0].upper()}{series.name[1:]}")
    ax.legend(loc="upper left", ncols=2)
panels[0].set_ylim(0, 230)
plt.show()

found = {}
for series, N, block in ((spots, 2, 22), (spots, 9, 22), (spots, 22, 22), (air, 24, 48)):
    found[series.name, N] = modes = report(series, N, block=block)
    print(f"{series.name}, {N} delays:  period [years] (5-95 %)   rate [1/year] (5-95 %)   residual: held out, noise")
    for mode in [m for m in modes if m.period > 0.4][:2]:
        (a, b), (c, d) = mode.period_interval, mode.rate_interval
        print(
            f"    {mode.period:6.2f} ({a:5.2f} to {b:5.2f})   {mode.rate:+.3f} ({c:+.3f} to {d:+.3f})"
            f"   {mode.held_out:.4f}  {mode.noise:.4f}"
        )

# %% [markdown]
# The last column is a warning. Delays move like a shift, $g_j \to g_{j+1}$, and a long shift has small residuals *all
# over the circle*: independent random numbers, seen through $N$ delays, reach
# $\min_g \mathrm{res} = 2\sin\frac{\pi}{2(N+1)}$ wherever $|z| = 1$. Below that a residual speaks of
# dynamics (the claim `koopman/delay-residual` says it exactly); above, ask what noise does in practice, and shuffle the
# record: the same values, no order.

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(6.5, 2.9), layout="constrained", sharey=True)
for ax, series, N, color in ((left, spots, 9, "C0"), (right, air, 24, "C0")):
    modes = [m for m in found[series.name, N] if abs(np.angle(m.value)) > 1e-9]
    ax.semilogy(
        np.abs([np.angle(m.value) for m in modes]), [m.held_out for m in modes], "o", color=color, label="the record"
    )
    shuffled = [m for m in report(series.shuffled(seed=0), N, block=22, replicates=1) if abs(np.angle(m.value)) > 1e-9]
    ax.plot([np.angle(m.value) for m in shuffled], [m.held_out for m in shuffled], "s", color="C1", label="shuffled")
    ax.axhline(2 * np.sin(np.pi / (2 * N + 2)), linestyle="--", color="black", label=r"noise can reach, $|z| = 1$")
    known = 2 * np.pi * series.dt / (11 if series is spots else 1)
    ax.axvline(known, linestyle=":", color="0.5", label="11 years" if series is spots else "1 year")
    ax.set(xlabel=r"angle of $\lambda$", title=f"{series.name[0].upper()}{series.name[1:]}, {N} delays")
    ax.legend(loc="lower right")
left.set_ylabel("residual, held out")
plt.show()

least = surrogate_residuals(spots, 9).min()
cycle, year = found[spots.name, 9][0], next(m for m in found[air.name, 24] if np.isfinite(m.period))
print(f"sunspots: the interval holds 11 years: {cycle.period_interval[0] < 11 < cycle.period_interval[1]}")
print(f"sunspots: below the best of 100 shuffles: {cycle.held_out < least}; below a tenth: {cycle.held_out < 0.1}")
print(f"CO2: a year to 1 %: {abs(year.period - 1) < 0.01}; below a quarter of noise: {year.held_out < year.noise / 4}")

# %% [markdown]
# So: the year in the air is a clock, as far as these data tell. The sunspots have a cycle of about eleven years that no
# shuffle imitates; but its residual is a quarter. Every step a quarter of it is something else, within decades it
# forgets its phase, and to call it an eigenvalue would be generous. With 22 delays more eigenvalues come near the
# circle, and so does noise. The trend of CO2 grows by 1 to 4 % of its excess a year, at an eigenvalue so close to 1
# that the constant has nearly as small a residual there.
#
# One more caution. Delays are *linear* functions, and all that entered are means and autocovariances: Gaussian noise
# with the same autocovariance would give the same table. No number in it tells a clock from a resonance.
#
# ## 12. What is tested, and what is not
#
# How many limits, one after the other, does *some* algorithm need to find the spectrum of *every* map of a class?
# (After Colbrook, Mezić and Stepanenko; more in `docs/koopman.md`.)
#
# | maps of a compact space | limits | which |
# |---|---|---|
# | continuous | 3 | $M \to \infty$, then $N \to \infty$, then $\varepsilon \to 0$ |
# | and measure preserving | 2 | $M$, then $N$ |
# | with a known modulus of continuity | 2 | $N$, then $\varepsilon$ |
# | with both | 1, with a certificate | $N$ |
#
# Sections 4 and 8 ran the algorithms that show that so many limits *suffice*. That fewer do not is a statement on all
# algorithms. Section 9 ran the construction that proves it, once, against one algorithm; and no experiment, here or
# elsewhere, can do more. `lemmata` has no claim that says otherwise.
#
# What it does claim can be refuted. A verdict comes with its **saboteurs**: small defects that a person could make,
# each of which has to be caught. In the first below the part of $Kg$ that leaves the span is forgotten, and the
# pseudospectrum becomes that of a matrix:

# %%
import lemmata as lm

for claim in ("koopman/shift-pseudospectrum", "koopman/adversarial-disc"):
    verdict = lm.verify(claim)
    print(f"{claim}: {verdict.status}")
    for saboteur in verdict.decisive.saboteurs:
        print(f"    {saboteur.name}: {saboteur.status}")

# %% [markdown]
# **Try it.** Give `mine` as many snapshots as you like. Replace the delays of section 11 by products of two of them,
# and see whether the held-out residuals of the sunspots fall (those on the data will). Kick the standard map with 2,
# and look for the islands in its eigenvalues. Run `lemmata show koopman/certified-inclusion` in a terminal: which of
# its assumptions did section 8 check, and which did you take on trust?
