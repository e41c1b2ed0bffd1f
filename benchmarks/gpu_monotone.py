"""Monotone Boltzmann machines on a GPU: ``python benchmarks/gpu_monotone.py [batch]`` (8192 by default).

Prints the section of docs/performance.md. The prox beside a copy of the same tensor, and mean fields a second of the
model of `monotone_dbm_solves.py`: 784 binary nodes, interactions of rank 32. Times are medians of CUDA events after one
warm-up.
"""

from __future__ import annotations

import runpy
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from gpu_timing import DEVICE, REPEATS, seconds
from torch import Tensor

from lemmata.kernels.monotone_dbm import MonotoneDBM, solve
from lemmata.kernels.monotone_dbm.prox import activate

NODES, RANK = 784, 32


@torch.no_grad()
def prox_table(batch: int) -> None:
    """Least traffic is x read and z written, as a copy does."""
    print("| rows | states | dtype | alpha | time | of the copy's bandwidth |\n|---|---|---|---|---|---|")
    generator = torch.Generator(DEVICE).manual_seed(0)
    for K in (2, 4, 10):
        rows = 2 * NODES * batch // K
        for dtype in (torch.float32, torch.float64):
            x = torch.randn(rows, K, device=DEVICE, dtype=dtype, generator=generator)
            copied, _ = seconds(x.clone)
            for alpha in (0.1, 0.5, 1.0, 3.0):
                taken, _ = seconds(partial(activate, x, alpha, (K,)))
                name = str(dtype)[6:]
                print(
                    f"| {rows:,} | {K} | {name} | {alpha} | {1e6 * taken:,.0f} µs | {copied / taken:.2f} |", flush=True
                )


def solve_table(batch: int) -> None:
    """A step at least reads q and the biases and writes q; the rest of A is small beside them."""
    problem = runpy.run_path(str(Path(__file__).parent / "implementations" / "monotone_dbm_problem.py"))
    A, _, b = problem["problem"]({"nodes": NODES, "rank": RANK, "batch": batch})
    print("\n| batch | method | dtype | certificate | steps | time | solves a second | of the copy's bandwidth |")
    print("|---|---|---|---|---|---|---|---|")
    for dtype in (torch.float32, torch.float64):
        bias = torch.tensor(b, dtype=dtype, device=DEVICE)
        copied, _ = seconds(bias.clone)
        model = MonotoneDBM((2,) * NODES, torch.tensor(A), m=problem["M"]).to(DEVICE, dtype)
        for method in ("forward-backward", "averaged", "peaceman-rachford"):
            run = partial(solve, model, bias=bias, method=method, tol=problem["CERTIFICATE"])
            taken, found = seconds(run)
            steps, certificate = int(found.steps.max()), float(torch.as_tensor(found.certificate).max())
            share = 1.5 * copied * steps / taken
            row = f"{batch:,} | {method} | {str(dtype)[6:]} | {certificate:.1e} | {steps} | {1e3 * taken:,.1f} ms"
            print(f"| {row} | {batch / taken:,.0f} | {share:.2f} |", flush=True)


def main() -> None:
    batch = int(sys.argv[1]) if len(sys.argv) > 1 else 8192
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "no GPU: figures mean nothing"
    source: Tensor = torch.empty(2**28 if DEVICE.type == "cuda" else 2**22, device=DEVICE)
    bandwidth = 2 * source.nbytes / seconds(source.clone)[0] / 1e9
    print("## Monotone Boltzmann machines on a GPU\n")
    print(f"`python benchmarks/gpu_monotone.py`, {datetime.now(UTC):%Y-%m-%d}. {name}, torch {torch.__version__};")
    print(f"medians of {REPEATS} runs. A device copy moves {bandwidth:,.0f} GB/s, read and written.\n")
    prox_table(batch)
    solve_table(batch)


if __name__ == "__main__":
    main()
