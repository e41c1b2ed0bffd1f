"""Entropic transport on a GPU: ``python benchmarks/gpu_sinkhorn.py [n ...]`` (100,000 and 1,000,000 by default).

Prints the section of docs/performance.md. Online: Sinkhorn's iteration between two uniform clouds of n points, rates in
pairs of points a second over whole calls, sorting and checks included; the L1 marginal error that each method has
reached is measured by one and the same float64 pass. Times are medians of CUDA events after one warm-up.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from gpu_timing import DEVICE, REPEATS, seconds
from torch import Tensor

from lemmata.kernels.sinkhorn_newton import online, solve
from lemmata.kernels.sinkhorn_newton.clouds import COSTS, _TorchEngine

#: Pairs that a run of the fastest method may take; what is slower gets fewer steps, or none.
BUDGET = 2e12
#: Rows and columns on which marginal errors are measured.
SAMPLE = 20_000


def clouds(n: int, d: int) -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
    """Points in the unit cube, equal masses, and a hundredth of the mean squared distance."""
    generator = torch.Generator(DEVICE).manual_seed(n + d)
    x, y = torch.rand(2, n, d, device=DEVICE, generator=generator)
    mass = torch.full((n,), 1 / n, dtype=torch.float64, device=DEVICE)
    return x, y, mass, mass, 0.01 * d / 6


# ------------------------------------------------------------------------------------------ the methods


def ours(data: Any, steps: int, **options: Any) -> tuple[Tensor, Tensor]:
    """f and g after a number of steps."""
    result = online(*data, tol=1e-4, max_steps=steps, on_fail="return", **options)
    if result.steps != steps:
        raise RuntimeError(f"converged after {result.steps} of {steps} steps: the pairs would be counted wrongly")
    return result.f, result.g


def alternate(update: Callable[..., Tensor], data: Any, steps: int) -> tuple[Tensor, Tensor]:
    """Row and column updates in turn; ``update(x, y, g, log_r)`` makes the rows of x exact."""
    x, y, r, c, _ = data
    log_r, log_c = r.log().float(), c.log().float()
    g = torch.zeros_like(log_c)
    f = update(x, y, g, log_r)
    for _ in range(steps):
        g = update(y, x, f, log_c)
        f = update(x, y, g, log_r)
    return f, g


def torch_loop(data: Any, steps: int) -> tuple[Tensor, Tensor]:
    """The loop that a user would write: logsumexp over blocks of rows, float32."""
    eps = data[-1]

    def update(x: Tensor, y: Tensor, g: Tensor, log_r: Tensor) -> Tensor:
        size, found = max(1, 2**27 // len(y)), []
        for k in range(0, len(x), size):
            cost = torch.cdist(x[k : k + size], y).square_()
            found.append(log_r[k : k + size] - ((g - cost) / eps).logsumexp(1))
        return eps * torch.cat(found)

    return alternate(update, data, steps)


def keops(data: Any, steps: int) -> tuple[Tensor, Tensor]:
    """The same loop with KeOps."""
    from pykeops.torch import LazyTensor

    eps = data[-1]

    def update(x: Tensor, y: Tensor, g: Tensor, log_r: Tensor) -> Tensor:
        cost = ((LazyTensor(x[:, None]) - LazyTensor(y[None])) ** 2).sum(-1)
        return eps * (log_r - ((LazyTensor(g[None, :, None]) - cost) / eps).logsumexp(1).view(-1))

    return alternate(update, data, steps)


def geomloss(data: Any) -> tuple[Tensor, Tensor]:
    """GeomLoss with its own schedule: potentials of |x - y|^2/2 in the form with KL, brought to ours."""
    from geomloss import SamplesLoss

    x, y, r, c, eps = data
    loss = SamplesLoss(
        "sinkhorn", p=2, blur=math.sqrt(eps / 2), scaling=0.9, debias=False, potentials=True, backend="online"
    )
    f, g = loss(r.float(), x, c.float(), y)
    return 2 * f.view(-1) + eps * r.log(), 2 * g.view(-1) + eps * c.log()


def marginal_error(data: Any, f: Tensor, g: Tensor) -> float:
    """``|P 1 - r|_1 + |P^T 1 - c|_1`` in float64, from `SAMPLE` rows and columns where there are more."""
    x, y, r, c, eps = data
    f, g = f.double(), g.double()

    def one_side(x: Tensor, y: Tensor, f: Tensor, g: Tensor, mass: Tensor) -> float:
        some = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:SAMPLE].to(DEVICE)
        points = x[some].double(), y.double()
        if DEVICE.type == "cuda":
            from lemmata.kernels.sinkhorn_newton._clouds_triton import TritonEngine

            sums: Any = TritonEngine(*points, "sqeuclidean", eps, "full")
        else:
            sums = _TorchEngine(*points, COSTS["sqeuclidean"], eps, 1)
        found = sums.rows(f[some], g, False).exp()
        return float((found - mass[some]).abs().sum()) * len(x) / len(some)

    return one_side(x, y, f, g, r) + one_side(y, x, g, f, c)


# ------------------------------------------------------------------------------------------- the tables


def online_table(sizes: list[int]) -> None:
    print("| n = m | d | method | steps | time | pairs a second | marginal error | peak memory |")
    print("|---|---|---|---|---|---|---|---|")
    for n in sizes:
        for d in (3, 64):
            data = clouds(n, d)
            # with the pairs a second to expect, which decide how many steps are taken
            methods: list[tuple[str, Any, float]] = [("ours, float32", ours, 3e12 if d == 3 else 6e11)]
            if d == 64:
                methods.append(("ours, TF32", partial(ours, precision="tf32"), 2e12))
            methods.append(("ours, float64", ours, 5e11 if d == 3 else 5e10))
            methods.append(("torch loop", torch_loop, 5e10))
            if find_spec("pykeops"):
                methods.append(("KeOps", keops, 1e12 if d == 3 else 1e11))
            for label, method, rate in methods:
                steps = min(20, int(BUDGET * rate / 3e12 / (2 * n * n)))
                if steps < 1:
                    continue
                given = data if label != "ours, float64" else (data[0].double(), data[1].double(), *data[2:])
                report(n, d, label, steps, data, partial(method, given, steps))
            if find_spec("geomloss") and find_spec("pykeops") and n <= 100_000:
                report(n, d, "GeomLoss", None, data, partial(geomloss, data))


def report(n: int, d: int, label: str, steps: int | None, data: Any, run: Callable[[], Any]) -> None:
    """One row; without steps there are no pairs to count."""
    if DEVICE.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    taken, (f, g) = seconds(run)
    peak = f"{torch.cuda.max_memory_allocated() / 1e9:.2f} GB" if DEVICE.type == "cuda" else ""
    # rows first, then columns and rows in each step; ours measures the columns once more at the end
    passes = 0 if steps is None else 2 * steps + 1 + label.startswith("ours")
    rate = f"{passes * n * n / taken:.2e}" if passes else ""
    error = marginal_error(data, f, g)
    print(f"| {n:,} | {d} | {label} | {steps or ''} | {taken:,.3f} s | {rate} | {error:.2e} | {peak} |", flush=True)


def to_equal_error(n: int) -> None:
    """Time to one measured marginal error."""
    print("\n| n = m | d | method | marginal error asked | steps | time | measured |\n|---|---|---|---|---|---|---|")
    for d, options in ((3, {}), (64, {}), (64, {"precision": "tf32"})):
        data = clouds(n, d)
        for tol in (1e-2, 1e-3):
            run = partial(online, *data, tol=tol, max_steps=1000, on_fail="return", check_every=1, **options)
            taken, result = seconds(run)
            error = marginal_error(data, result.f, result.g)
            label = f"ours, {'TF32' if options else 'float32'}"
            print(f"| {n:,} | {d} | {label} | {tol:g} | {result.steps} | {taken:,.3f} s | {error:.2e} |", flush=True)


def batch_table() -> None:
    print("\n| B x n x m | eps | method | tol | problems a second | Sinkhorn steps | Newton steps |")
    print("|---|---|---|---|---|---|---|")
    generator = torch.Generator(DEVICE).manual_seed(0)
    for size, n in ((4096, 32), (512, 128), (32, 512)) if DEVICE.type == "cuda" else ((8, 32),):
        C = torch.rand(size, n, n, dtype=torch.float64, device=DEVICE, generator=generator)
        mass = torch.full((n,), 1 / n, dtype=torch.float64, device=DEVICE)
        for eps in (0.1, 0.01):
            for method in ("log", "sns", "newton"):
                run = partial(solve, C, mass, mass, eps, method=method, tol=1e-9, max_steps=2000, on_fail="return")
                taken, result = seconds(run)
                steps = f"{int(result.sinkhorn_steps.max())} | {int(result.newton_steps.max())}"
                failed = int((~result.converged).sum())
                note = f" ({failed} failed)" if failed else ""
                row = f"{size:,} x {n} x {n} | {eps} | {method}{note} | 1e-9 | {size / taken:,.0f} | {steps}"
                print(f"| {row} |", flush=True)


def main() -> None:
    sizes = [int(a) for a in sys.argv[1:]] or [100_000, 1_000_000]
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "no GPU: figures mean nothing"
    print("## Entropic transport on a GPU\n")
    print(f"`python benchmarks/gpu_sinkhorn.py`, {datetime.now(UTC):%Y-%m-%d}. {name}, torch {torch.__version__};")
    print(f"medians of {REPEATS} runs. Uniform clouds in the unit cube, squared distances, eps a hundredth of the mean")
    print("one; a pair is one entry of the cost in one half step. Marginal errors are measured in float64, from 20,000")
    print("rows and columns.\n")
    online_table(sizes)
    to_equal_error(min(sizes))
    batch_table()


if __name__ == "__main__":
    main()
