"""`simulate` of `lemmata.sims.bandits` for a device: the same words, decisions and result, two engines.

An engine is a class whose instances hold n replicates in step:

- ``Replicates(policy, env, horizon, replicate, seed, precision)``, `replicate` int64[n] on the device;
- ``play(last, phase)`` goes on to the end of round `last`, within one phase of the environment;
- ``pulls``, an integer tensor [K, n], read between two calls.

`lemmata.kernels.bandits.rounds` is written in torch, for any device; `lemmata.kernels.bandits.rounds_triton` keeps
the replicates of a block on chip and loops over the rounds inside a kernel.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lemmata.errors import DomainError
from lemmata.kernels.bandits import rounds
from lemmata.problems.bandits import Environment, Policy, RegretStatistics, check_integer, check_run, result, segments
from lemmata.problems.bandits.runs import _BITS, _OFFSET, _PER_SIGN, BINS

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["simulate"]

#: Kinds of policy that have a float32 mode: the sums of the others lose too much.
FAST = frozenset(
    {"ucb", "moss", "moss-anytime", "thompson-beta", "thompson-gaussian", "epsilon-greedy", "etc"},
)
#: Kinds that `rounds_triton` plays, and the most arms that it unrolls.
TRITON = FAST | {"kl-ucb", "exp3", "tsallis"}
MAX_ARMS = 64
#: Pulls are counted in int32 on chip, and in float32 in the fast mode.
MAX_HORIZON = {"exact": 2**31 - 1, "fast": 2**24}


# ---------------------------------------------------------------------------------------------- choosing


def _refusal(policy: Policy, engine: str, arms: int, device: torch.device) -> str:
    """Why an engine does not play this, and what does; empty where it does."""
    name = type(policy).__name__
    if engine == "torch":
        return "" if policy.kind in rounds.KINDS else f"{name} is played by lemmata.sims.bandits alone"
    if policy.kind not in TRITON:
        other = "engine 'torch'" if policy.kind in rounds.KINDS else "lemmata.sims.bandits alone"
        return f"{name} is not played by engine 'triton': it is by {other}"
    if arms > MAX_ARMS:
        return f"engine 'triton' unrolls at most {MAX_ARMS} arms, got {arms}: use engine 'torch'"
    if importlib.util.find_spec("triton") is None:
        return "engine 'triton' needs the package triton: install it, or use engine 'torch'"
    if device.type != "cuda" and not _interpreted():
        return f"engine 'triton' needs a CUDA device, got {str(device)!r}: use engine 'torch', or TRITON_INTERPRET=1"
    return ""


def _interpreted() -> bool:
    return bool(importlib.import_module("triton").knobs.runtime.interpret)


def _engine(policy: Policy, engine: str, precision: str, arms: int, horizon: int, device: torch.device) -> str:
    """The name of the engine to use, after every check of the choice."""
    if engine not in ("auto", "triton", "torch"):
        raise DomainError(f"engine must be 'auto', 'triton' or 'torch', got {engine!r}")
    if precision not in MAX_HORIZON:
        raise DomainError(f"precision must be 'exact' or 'fast', got {precision!r}")
    if engine == "auto":
        usable = device.type == "cuda" and not _refusal(policy, "triton", arms, device)
        engine = "triton" if usable else "torch"
    reason = _refusal(policy, engine, arms, device)
    if reason:
        raise DomainError(reason)
    if precision == "fast" and policy.kind not in FAST:
        raise DomainError(f"{type(policy).__name__} has no fast mode, its sums need float64: use precision 'exact'")
    if horizon > MAX_HORIZON[precision]:
        raise DomainError(
            f"the {precision} mode counts pulls up to {MAX_HORIZON[precision]}, got T = {horizon}: "
            + ("use precision 'exact'" if precision == "fast" else "use lemmata.sims.bandits")
        )
    return engine


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DomainError(f"no CUDA device is here, got {str(device)!r}: use device 'cpu'")
    return device


# -------------------------------------------------------------------------------------------- statistics


def _bins(regret: torch.Tensor) -> torch.Tensor:
    """`RegretStatistics.bin_of` on the device."""
    size = (regret.abs().view(torch.int64) >> (52 - _BITS)) - _OFFSET
    size = torch.clamp(size + 1, 0, _PER_SIGN)
    return _PER_SIGN + torch.where(regret < 0, -size, size)


def _spend(total: torch.Tensor, pulls: torch.Tensor, cost: list[float]) -> torch.Tensor:
    """``total + sum_i pulls_i cost_i``, added in this order so that it has the same bits everywhere."""
    for n, c in zip(pulls, cost, strict=True):
        total = total + n.to(torch.float64) * c
    return total


# ------------------------------------------------------------------------------------------------ public


@torch.no_grad()
def simulate(
    policy: Policy,
    env: Environment,
    horizon: int,
    replicates: int,
    *,
    checkpoints: Any = None,
    device: str | torch.device | None = None,
    first_replicate: int = 0,
    samples: bool = False,
    engine: str = "auto",
    precision: str = "exact",
    chunk: int = 2**20,
    seed: int,
) -> xr.Dataset:
    """Play a policy on an environment, many times over, and summarise its regret.

    Parameters
    ----------
    policy, env, horizon, replicates, checkpoints, first_replicate, samples
        As in `lemmata.sims.bandits.simulate`; T below 2^31. `Custom`, `OFUL` and `LinUCB` are played there alone, and
        so are `identify`, `trajectory` and `expectation`.
    device : str or torch.device, optional
        Where to play; the first CUDA device by default, the cpu where there is none.
    engine : {"auto", "triton", "torch"}
        "triton" keeps the replicates of a block on chip, one launch for each checkpoint; for at most 64 arms, and not
        for `SuccessiveElimination`. Where it can be used on a CUDA device, "auto" means it.
    precision : {"exact", "fast"}
        "exact" computes in float64. "fast" computes in float32: indices, means and draws carry its rounding, and
        decisions differ from the exact ones; counts stay counts. For UCB, MOSS, epsilon-greedy, explore-then-commit
        and Thompson sampling, T <= 2^24.
    chunk : int
        Replicates held on the device at once.
    seed : int

    Returns
    -------
    xarray.Dataset
        As in `lemmata.sims.bandits.simulate`, on the host; ``attrs`` name the engine, precision and device too.

    Raises
    ------
    TypeError, ShapeError, DomainError
        For bad input, before any round; where an engine does not play the policy, with the name of what does.

    Notes
    -----
    In exact mode the counts of UCB, MOSS, epsilon-greedy, explore-then-commit and elimination equal those of
    `lemmata.sims.bandits`, replicate by replicate; with Gaussian rewards, and for KL-UCB, Exp3 and Tsallis-INF, as far
    as log, exp and cos agree in the last place; Thompson sampling draws from the same law by other means, in Triton by
    float32 normals. Mean and variance agree to rounding, whatever the chunk.

    Memory on the device: ``12 K`` bytes a replicate of a chunk in Triton (8 K in the fast mode), up to ``80 K`` in
    torch, besides some 40 bytes a replicate; 115 kB a checkpoint for the histogram; 8 bytes a replicate and checkpoint
    where `samples`; 8 to 24 bytes a round for the policy's tables. Nothing is kept for each replicate and round. On
    the host ``8 R K`` bytes of counts.

    The torch engine does not wait for the device inside a round; on a GPU its time is that of 20 to 200 launches a
    round. Thompson's Beta draws, which may be rejected, are repeated 12 times on a GPU, on a CPU only where they must.

    Examples
    --------
    >>> from lemmata.problems.bandits import UCB1, instance_a
    >>> run = simulate(UCB1(), instance_a(), 1000, 200, device="cpu", seed=0)
    >>> float(run["mean"][-1])  # the same as that of lemmata.sims.bandits
    83.2...
    """
    checked = check_run(policy, env, horizon, replicates, checkpoints, first_replicate, seed)
    horizon, replicates, points, first, seed = checked
    chunk = check_integer("chunk", chunk, 1)
    on = _device(device)
    engine = _engine(policy, engine, precision, env.arms, horizon, on)
    module = rounds if engine == "torch" else importlib.import_module("lemmata.kernels.bandits.rounds_triton")
    stops, phases, index = segments(env, horizon, points)
    costs = env.tables().cost.tolist()
    comparator = env.comparator(points).tolist()
    statistics = RegretStatistics(points.size)
    histogram = torch.zeros(points.size, BINS, dtype=torch.int64, device=on)
    counts = np.zeros((replicates, env.arms), dtype=np.int64)
    kept = np.empty((replicates, points.size)) if samples else None
    for start in range(0, replicates, chunk):
        n = min(chunk, replicates - start)
        number = np.uint64(first + start) + np.arange(n, dtype=np.uint64)
        replicate = torch.from_numpy(number.view(np.int64)).to(on)
        play = module.Replicates(policy, env, horizon, replicate, seed, precision)
        before = torch.zeros_like(play.pulls)  # pulls when the phase began
        spent = torch.zeros(n, dtype=torch.float64, device=on)  # cost of earlier phases
        moments = torch.zeros(2, points.size, dtype=torch.float64, device=on)
        part = torch.empty(points.size if samples else 0, n, dtype=torch.float64, device=on)
        one = torch.ones(n, dtype=torch.int64, device=on)
        for s, (stop, phase, c) in enumerate(zip(stops.tolist(), phases.tolist(), index.tolist(), strict=True)):
            play.play(stop, phase)
            over = s + 1 < stops.size and phases[s + 1] != phase
            if c < 0 and not over:
                continue
            total = _spend(spent, play.pulls - before, costs[phase])
            if c >= 0:
                regret = total - comparator[c]
                moments[0, c] = regret.mean()
                moments[1, c] = torch.sum((regret - moments[0, c]) ** 2)
                histogram[c].scatter_add_(0, _bins(regret), one)
                if samples:
                    part[c] = regret
            if over:
                spent = total
                before.copy_(play.pulls)
        statistics.add_moments(n, *moments.cpu().numpy())
        counts[start : start + n] = play.pulls.T.cpu().numpy()
        if kept is not None:
            kept[start : start + n] = part.T.cpu().numpy()
    statistics.histogram += histogram.cpu().numpy()
    provenance: dict[str, Any] = {"backend": "kernels", "engine": engine, "precision": precision, "device": str(on)}
    provenance |= {"seed": seed, "first_replicate": first, "horizon": horizon}
    return result(policy, env, points, statistics, counts, kept, **provenance)
