"""Experiments on the ELBO, its gap, and the derivatives of the mean field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy.special import logsumexp

from lemmata.experiments.monotone_dbm.shared import (
    Models,
    evidence,
    join,
    points,
    random_models,
    reference,
    scaled,
    solve,
    tolerance,
    uniform,
    vertices,
)
from lemmata.problems import monotone_dbm as problems
from lemmata.problems.monotone_dbm import MonotoneModel, PairwiseModel, block_slices
from lemmata.theory import monotone_dbm as theory
from lemmata.verification import Experiment, Measurement, Saboteur, Setup

__all__ = ["EXPERIMENTS"]

# ---------------------------------------------------------------------------------------------- ELBO


def _elbo(instances: Models, setup: Setup, *, own: bool = False, half: float = 0.5) -> Measurement:
    """-G at the mean field, at random points and at vertices; a node's repulsion from itself that is counted as q' q,
    and another factor on the pair energy, are there to be sabotaged."""
    parts = []
    rng = np.random.default_rng(setup.seed)
    for model in instances:
        q = np.concatenate([solve(model, setup), points(model, 20, rng), vertices(model, 5, rng)])
        value = -theory.free_energy(model, q) + (half - 0.5) * ((q @ model.phi) * q).sum(axis=1)
        log_z = theory.log_partition(model)
        if own:
            # x' x = 1 in every configuration, q' q < 1 outside the vertices: repulsion of a node from itself
            value -= 0.5 * (q * q).sum(axis=1)
            log_z -= 0.5 * len(model.states)
        parts.append(Measurement(value, theory.elbo(log_z=log_z), {"point": np.arange(len(q))}, noise=1e-12))
    return join(parts)


def _gap(model: PairwiseModel | MonotoneModel, s: float, setup: Setup, q: np.ndarray | None = None) -> float:
    """log Z + G of the interactions s Phi, at their mean field."""
    weak = scaled(model, s)
    q = solve(weak, setup, method="sequential", tol=1e-13)[0] if q is None else q
    return theory.log_partition(weak) + float(theory.free_energy(weak, q))


def _law(instances: Models, setup: Setup, *, frozen: bool = False) -> Measurement:
    """Mean gap over the models at each strength; the mean field of no interactions nudged by 1 % (`frozen`) is there to
    be sabotaged."""
    strengths = np.geomspace(1e-3, 1e-1, 9)
    gaps = []
    for model in instances:
        bias = [model.bias[own] for own in block_slices(model.states)]
        q = np.concatenate([0.99 * np.exp(b - logsumexp(b)) + 0.01 / b.size for b in bias])
        gaps.append([_gap(model, s, setup, q if frozen else None) for s in strengths])
    return Measurement(np.mean(gaps, axis=0), x=strengths)


def _coefficient(instances: Models, setup: Setup, *, at_uniform: bool = False, factor: float = 1.0) -> Measurement:
    """Gap over s² at s = 1e-3; a covariance at the uniform point and another factor are there to be sabotaged."""
    s = 1e-3
    measured, trace = [], []
    for model in instances:
        measured.append(_gap(model, s, setup) / s**2)
        flat = PairwiseModel(model.states, model.phi, np.zeros(model.n), "none")
        trace.append(4 * factor * theory.gap_coefficient(flat if at_uniform else model))
    claimed = theory.elbo_gap_coefficient(trace=trace)
    # log Z and G are sums near 1 to 30, each to 1e-15: what is left of that after the division by s²
    return Measurement(measured, claimed, {"model": np.arange(len(trace))}, scale=np.maximum(claimed, 1e-6))


# ---------------------------------------------------------------------------------------- derivatives


def _gradient(
    instances: Models,
    setup: Setup,
    *,
    unrolled: int | None = None,
    ignored: bool = False,
    one_side: bool = False,
) -> Measurement:
    """Central differences of the solver; terms of the series in place of the solve (`unrolled`), evidence that is
    ignored backwards and a change of Phi_ij without Phi_ji are there to be sabotaged."""
    parts = []
    rng = np.random.default_rng(setup.seed)
    h = 1e-5  # the error is h² f''' and 1e-13/h
    for model in instances:
        (_,), (mask,) = evidence(model, 1, rng)
        # soft: a node that is known has no variance, and the mask would not be seen
        given = {"observed": points(model, 1, rng), "mask": mask, "soft": True}
        db = rng.standard_normal(model.n)
        change = _direction(model, rng)
        found = []
        for sign in (1, -1):
            moved = PairwiseModel(model.states, model.phi + sign * h * change, model.bias + sign * h * db, "none")
            found.append(solve(moved, setup, method="sequential", tol=1e-13, **given)[0])
        q = solve(model, setup, tol=1e-12, **given)[0]
        rhs = db + (np.triu(change) if one_side else change) @ q
        if unrolled is None:
            expected = theory.response(model, q, None if ignored else mask) @ rhs
        else:
            free = ~np.repeat(mask, model.states)
            J = theory.covariance(model, q) * free[:, None] * free
            expected = J @ rhs
            for _ in range(unrolled):
                expected = J @ (rhs + model.phi @ expected)
        measured = (found[0] - found[1]) / (2 * h)
        at = {"entry": np.arange(model.n)}
        parts.append(Measurement(measured, theory.implicit_gradient(response=expected), at, scale=np.linalg.norm(rhs)))
    return join(parts)


def _backward(
    instances: Models, setup: Setup, *, wrong: Literal["one step", "mask ignored", "scaling constant"] | None = None
) -> Measurement:
    """Products of cotangents with the derivative along a direction of A, biases and soft evidence, by one backward pass
    each, against the dense response; a derivative through one step of the softmax, evidence that is ignored backwards
    and a scaling of A that is taken for constant are there to be sabotaged."""
    import torch

    from lemmata.kernels.monotone_dbm import MonotoneDBM
    from lemmata.kernels.monotone_dbm.implicit import attach
    from lemmata.kernels.monotone_dbm.prox import softmax

    parts, h = [], 1e-6
    rng = np.random.default_rng(setup.seed)
    for model in instances:
        assert isinstance(model, MonotoneModel)
        (_,), (mask,) = evidence(model, 1, rng)
        mask[rng.integers(len(mask))] = True
        if mask.all():
            mask[0] = False
        free = ~np.repeat(mask, model.states)
        observed = points(model, 1, rng)[0]
        dA, db = rng.standard_normal(model.A.shape), rng.standard_normal(model.n)
        dx = problems.centred(rng.standard_normal(model.n), model.states) * observed.min() * ~free
        # forward: the dense formula at the simulator's mean field, Phi changed by central differences
        q = reference(model, observed=observed, mask=mask, soft=True, tol=1e-13)[0]
        up, down = (MonotoneModel(model.states, model.A + s * h * dA, model.bias, model.m).phi for s in (1, -1))
        known = dx + theory.response(model, q, mask) @ (db + (up - down) @ q / (2 * h) + model.phi @ dx)
        cotangents = rng.standard_normal((4, model.n))
        expected = cotangents @ known
        module = MonotoneDBM.from_model(model, getattr(torch, setup.dtype)).to(setup.device)
        given = torch.tensor(observed).to(module.bias).requires_grad_()
        seen = torch.tensor(mask, device=setup.device)
        held = torch.tensor(~free, device=setup.device)[None]
        tol = tolerance(1e-11, setup)
        made = module(observed=given, mask=seen, soft=True, tol=tol).q
        if wrong is not None:
            phi = module.interactions()
            if wrong == "scaling constant":
                A = module.A * module._scale()[0].detach()
                D = torch.block_diag(*(A[:, own].T @ A[:, own] for own in block_slices(model.states)))
                field = torch.where(held, given, made.detach()) @ (D - A.T @ A) + module.bias
            else:
                field = phi(torch.where(held, given, made.detach())) + module.bias
            if wrong == "one step":
                made = torch.where(held, given, softmax(field, module.states))
            else:
                ignored = torch.zeros_like(held) if wrong == "mask ignored" else held
                with torch.no_grad():
                    constant = module.interactions()
                made = torch.where(held, given, attach(field, made.detach(), ignored, constant))
        measured = []
        for w in torch.tensor(cotangents).to(module.bias):
            grads = torch.autograd.grad((made[0] * w).sum(), (module.A, module.bias, given), retain_graph=True)
            along = zip(grads, (dA, db, dx), strict=True)
            measured.append(sum(float((g.double().cpu() * torch.tensor(d)).sum()) for g, d in along))
        scale_of = np.linalg.norm(cotangents, axis=1) * np.linalg.norm(known)
        at = {"cotangent": np.arange(4)}
        parts.append(Measurement(measured, theory.implicit_gradient(response=expected), at, scale=scale_of))
    return join(parts)


def _direction(model: PairwiseModel | MonotoneModel, rng: np.random.Generator) -> np.ndarray:
    """A symmetric change of the interactions, zero within each node."""
    change = rng.standard_normal((model.n, model.n))
    change = (change + change.T) / 2
    for own in block_slices(model.states):
        change[own, own] = 0.0
    return change


def _spectrum(instances: Models, setup: Setup, *, diagonal: bool = False, factor: float = 1.0) -> Measurement:
    """Least eigenvalue of I - S Phi S at mean fields and elsewhere; a covariance without its second term and
    interactions scaled by `factor` are there to be sabotaged."""
    least, m = [], []
    rng = np.random.default_rng(setup.seed)
    for model in instances:
        for q in np.concatenate([uniform(model)[None], solve(model, setup), points(model, 4, rng)]):
            J = np.diag(q) if diagonal else theory.covariance(model, q)
            values, vectors = np.linalg.eigh(J)
            S = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
            least.append(np.linalg.eigvalsh(np.eye(model.n) - factor * S @ model.phi @ S)[0])
            m.append(model.modulus)
    return Measurement(least, theory.implicit_conditioning(m=m), noise=1e-12)


# ------------------------------------------------------------------------------------------ instances


def _antiferromagnets(setup: Setup) -> list[MonotoneModel]:
    return [problems.antiferromagnet(N, m) for N in (3, 10) for m in (0.1, 0.6)]


def _weak(quick: int, full: int) -> Callable[[Setup], list[MonotoneModel]]:
    """Random models of at most four nodes, so that enumeration costs nothing."""
    return random_models(quick, full, nodes=(2, 4), states=(2, 4))


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        theory.elbo,
        "random models",
        random_models(40, 400),
        _elbo,
        (
            Saboteur("a node's repulsion from itself as -q'q/2", {"own": True}),
            Saboteur("pair energy counted once a direction", {"half": 1.0}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.elbo_gap,
        "random models",
        _weak(10, 100),
        _law,
        (Saboteur("a point 1 % off", {"frozen": True}),),
        backends=("sims",),
    ),
    Experiment(
        theory.elbo_gap_coefficient,
        "random models",
        _weak(20, 200),
        _coefficient,
        (
            Saboteur("covariance at the uniform point", {"at_uniform": True}),
            Saboteur("half the variance taken twice", {"factor": 2.0}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.implicit_gradient,
        "random models",
        random_models(40, 400),
        _gradient,
        (
            Saboteur("one unrolled step", {"unrolled": 0}),
            Saboteur("four unrolled steps", {"unrolled": 3}),
            Saboteur("mask ignored backwards", {"ignored": True}),
            Saboteur("one side of a coupling", {"one_side": True}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.implicit_gradient,
        "random modules",
        random_models(40, 400),
        _backward,
        (
            Saboteur("one step of the softmax", {"wrong": "one step"}),
            Saboteur("mask ignored backwards", {"wrong": "mask ignored"}),
            Saboteur("scaling taken for constant", {"wrong": "scaling constant"}),
        ),
        backends=("kernels",),
    ),
    Experiment(
        theory.implicit_conditioning,
        "random models",
        random_models(40, 400),
        _spectrum,
        (
            Saboteur("interactions three times as strong", {"factor": 3.0}),
            Saboteur("covariance without its second term", {"diagonal": True}),
        ),
        backends=("sims",),
    ),
    Experiment(
        theory.implicit_conditioning,
        "antiferromagnets",
        _antiferromagnets,
        _spectrum,
        (Saboteur("interactions 1 % stronger", {"factor": 1.01}),),
        backends=("sims",),
    ),
)
