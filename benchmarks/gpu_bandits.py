"""Bandit policies on a GPU: ``python benchmarks/gpu_bandits.py``; prints the section of docs/performance.md.

Ten arms of means .50, .45, ..., .05. Times are medians of CUDA events over calls of `simulate`, after a warm-up:
tables, statistics and the copy of the counts to the host are included. The floor is a kernel that does the least which
any such simulation must: a random word a round and the largest of ten numbers that depend on the last reward.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import torch
import triton
import triton.language as tl

from lemmata.kernels._philox_triton import words
from lemmata.kernels.bandits import simulate
from lemmata.problems.bandits import KLUCB, MOSS, UCB1, Exp3, ThompsonBeta, ThompsonGaussian, TsallisINF, instance_b

REPEATS = 3
BLOCK = 128
#: (policy, precision, horizon at 2.7e5 replicates and at 1e6)
CASES = (
    (UCB1(), "fast", 10_000),
    (UCB1(), "exact", 10_000),
    (MOSS(), "fast", 10_000),
    (MOSS(), "exact", 10_000),
    (ThompsonGaussian(), "fast", 1000),
    (ThompsonBeta(), "fast", 1000),
    (ThompsonBeta(), "exact", 1000),
    (KLUCB(), "exact", 300),
    (Exp3(), "exact", 1000),
    (TsallisINF(), "exact", 300),
)
REPLICATES = (270_000, 1_000_000)


def seconds(run: Callable[[], Any]) -> float:
    """Median time of a run."""
    run()
    times = []
    for _ in range(REPEATS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times)


@triton.jit(do_not_specialize=["rounds", "seed"])
def _floor(out, rounds: tl.int32, seed: tl.uint64, K: tl.constexpr, KP: tl.constexpr, B: tl.constexpr):
    """A word a round, a comparison with it, and the arm of largest of K numbers, one of which then moves."""
    name = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    rows = tl.arange(0, KP)[:, None]
    zero = tl.zeros_like(name)
    value = tl.where(rows < K, 1.0, -1.0) + tl.zeros([KP, B], tl.float32)
    w0, w1, w2, w3 = words(zero, zero, name, seed)
    for t in range(1, rounds + 1):
        most = tl.max(value, 0)
        arm = tl.min(tl.where(value == most[None, :], rows, K - 1), 0)
        if (t - 1) % 4 == 0:
            w0, w1, w2, w3 = words(zero + (t - 1) // 4, zero, name, seed)
        reward = (w0 < 2000000000).to(tl.float32)
        w0 = w1
        w1 = w2
        w2 = w3
        value = tl.where(arm[None, :] == rows, (most * 0.999 + reward * 0.0005)[None, :], value)
    tl.store(out + name, tl.max(value, 0))


def floor(replicates: int, horizon: int) -> float:
    """Rounds a second of `_floor`."""
    out = torch.empty(triton.cdiv(replicates, BLOCK) * BLOCK, device="cuda")
    run = partial(_floor[(out.numel() // BLOCK,)], out, horizon, 0, K=10, KP=16, B=BLOCK)
    return replicates * horizon / seconds(run)


def main() -> None:
    """The section."""
    print("## Bandits on a GPU\n")
    print(f"`python benchmarks/gpu_bandits.py`, {datetime.now(UTC):%Y-%m-%d}. {torch.cuda.get_device_name()}, torch")
    print(
        f"{torch.__version__}, triton {triton.__version__}; medians of {REPEATS} whole calls, one checkpoint. K = 10,"
    )
    print("means .50 to .05. The floor draws a word a round and finds the largest of ten numbers.\n")
    print("| policy | mode | replicates | rounds | time | pulls a second | floor / ours | peak memory |")
    print("|---|---|---|---|---|---|---|---|")
    env = instance_b()
    least = {n: floor(n, 10_000) for n in REPLICATES}
    for n, rate in least.items():
        print(f"| the floor | float32 | {n:,} | 10,000 | {n * 10_000 / rate:.3f} s | {rate:.2e} | 1.00 | |", flush=True)
    for policy, precision, horizon in CASES:
        for n in REPLICATES:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            run = partial(
                *(simulate, policy, env, horizon, n),
                checkpoints=[horizon],
                engine="triton",
                precision=precision,
                seed=0,
            )
            taken = seconds(run)
            rate, peak = n * horizon / taken, torch.cuda.max_memory_allocated() / 1e9
            print(
                f"| {type(policy).__name__} | {precision} | {n:,} | {horizon:,} | {taken:.3f} s | {rate:.2e} "
                f"| {least[n] / rate:.2f} | {peak:.2f} GB |",
                flush=True,
            )


if __name__ == "__main__":
    main()
