"""Kernels of infinite width and ensembles of networks on a GPU: ``python benchmarks/gpu_ntk.py [n ...]`` (50,000).

Prints the section of docs/performance.md. Infinite width: the tangent kernel of n points in 784 dimensions, three
hidden layers, beside what it cannot be faster than: to write the result, and one product of matrices for half of it, at
the rates measured here. Ensembles: 4,096 networks, a step beside one reading and writing of all weights. Times are
medians of CUDA events after one warm-up.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import torch
from gpu_timing import DEVICE, REPEATS, seconds
from torch import Tensor
from torch.func import grad, vmap

from lemmata.kernels.ntk import infinite_width, ntk, train
from lemmata.problems.ntk import Network, sphere_points

#: Rows whose error is measured, and the angle of half of them to a row that follows.
SAMPLE, ANGLE = 256, 1e-3
#: Bytes and columns of what rates are measured with.
BYTES, SIDE = 2**30, 8192
#: Networks by (inputs, width, outputs, depth), points, and how many.
ENSEMBLES = (((8, 1024, 8, 1), 8, 4096), ((16, 128, 4, 3), 32, 4096))


def writing() -> float:
    """Bytes a second, written only."""
    out = torch.empty(BYTES // 4, device=DEVICE)
    return BYTES / seconds(lambda: out.fill_(1.0))[0]


def copying() -> float:
    """Bytes a second, read and written."""
    source = torch.ones(BYTES // 4, device=DEVICE)
    return 2 * BYTES / seconds(source.clone)[0]


def multiplying(dtype: torch.dtype) -> float:
    """Multiplications and additions a second of a product of square matrices, without TF32."""
    a = torch.ones(SIDE, SIDE, dtype=dtype, device=DEVICE)
    return 2 * SIDE**3 / seconds(lambda: a @ a)[0]


# ---------------------------------------------------------------------------------------------- infinite width


def points(n: int, d: int) -> Tensor:
    """Uniform points on the sphere of radius sqrt(d), some of them nearly equal to one of the first; float64."""
    x = sphere_points(n, d, seed=0)
    near = min(SAMPLE, n) // 2
    x[-near:] = math.cos(ANGLE) * x[:near] + math.sin(ANGLE) * x[-near:]
    return torch.from_numpy(x).to(DEVICE)


def textbook(x: Tensor, depth: int, dtype: torch.dtype) -> Tensor:
    """The loop that a user would write for ReLU with sw2 = 2: arccos of clamped cosines, by blocks of rows."""
    n, d = x.shape
    x = x.to(dtype)
    out = torch.empty(n, n, dtype=dtype, device=x.device)
    size = (2 * x.square().sum(1) / d).sqrt()
    rows = max(1, 2**24 // n)
    for i in range(0, n, rows):
        here = slice(i, i + rows)
        q, norm = 2 * x[here] @ x.mT / d, size[here, None] * size
        theta = q
        for _ in range(depth):
            c = (q / norm).clamp(-1, 1)
            t = torch.acos(c)
            slope = (math.pi - t) / math.pi
            q = norm * ((1 - c * c).sqrt() / math.pi + slope * c)
            theta = q + slope * theta
        out[here] = theta
    return out


@contextmanager
def torch_alone():
    """Without Triton."""
    fused, infinite_width.FUSED = infinite_width.FUSED, ()
    try:
        yield
    finally:
        infinite_width.FUSED = fused


def by_torch(*args: Any, **network: Any) -> Tensor:
    """Our tiles in torch."""
    with torch_alone():
        return ntk(*args, **network)


def error(found: Tensor, x: Tensor, network: dict[str, Any]) -> float:
    """Largest error of the first rows, of ``sqrt(Theta(x, x) Theta(x', x'))``, beside float64 in torch on the host."""
    some = x[:SAMPLE].cpu()
    exact = ntk(some, x.cpu(), **network)
    diagonal = found.diagonal().double().cpu()
    size = torch.outer(diagonal[: len(some)], diagonal).sqrt()
    return float(((found[: len(some)].double().cpu() - exact).abs() / size).max())


def infinite_table(n: int, d: int = 784, depth: int = 3) -> None:
    """One row a method, activation and precision."""
    write = writing()
    rates = {dtype: multiplying(dtype) for dtype in (torch.float32, torch.float64)}
    x = points(n, d)
    fused = DEVICE.type == "cuda"
    print(
        f"\n{n:,} points, d = {d}, {depth} hidden layers. The result is written at {write / 1e9:,.0f} GB/s; products "
    )
    print(", ".join(f"{str(dtype)[6:]} {rate / 1e12:,.1f} Tflop/s" for dtype, rate in rates.items()) + ".\n")
    print("| activation | method | dtype | time | pairs a second | of writing | of the product | error | peak memory |")
    print("|---|---|---|---|---|---|---|---|---|")
    for activation, sw2 in (("relu", 2.0), ("erf", 1.5)):
        network = {"depth": depth, "activation": activation, "sw2": sw2, "parametrization": "ntk"}
        for dtype in (torch.float32, torch.float64):
            methods: list[tuple[str, Callable[[], Tensor]]] = [("ours", partial(ntk, x, dtype=dtype, **network))]
            if fused:
                methods.append(("ours, torch alone", partial(by_torch, x, dtype=dtype, **network)))
            if activation == "relu":
                methods.append(("textbook", partial(textbook, x, depth, dtype)))
            for label, run in methods:
                if DEVICE.type == "cuda":
                    torch.cuda.empty_cache()
                    torch.cuda.reset_peak_memory_stats()
                taken, found = seconds(run)
                peak = f"{torch.cuda.max_memory_allocated() / 1e9:.1f} GB" if DEVICE.type == "cuda" else ""
                least = (found.numel() * found.element_size() / write, n * n * d / rates[dtype])
                ratios = " | ".join(f"{taken / floor:.2f}" for floor in least)
                off = error(found, x, network)
                del found
                print(
                    f"| {activation} | {label} | {str(dtype)[6:]} | {1e3 * taken:,.1f} ms | {n * n / taken:.2e} "
                    f"| {ratios} | {off:.1e} | {peak} |",
                    flush=True,
                )


# ------------------------------------------------------------------------------------------------- ensembles


def vmapped(network: Network, X: Tensor, Y: Tensor, eta: float, steps: int, networks: int) -> Tensor:
    """torch.func: vmap over the gradient of one network, weights stacked."""
    scales = [scale for scale, _ in network.scales]
    generator = torch.Generator(DEVICE).manual_seed(0)
    weights = [torch.randn(networks, *shape, device=DEVICE, generator=generator) for shape in network.shapes]

    def loss(*layers: Tensor) -> Tensor:
        h = X
        for i, (layer, scale) in enumerate(zip(layers, scales, strict=True)):
            h = scale * (torch.relu(h) if i else h) @ layer.mT
        return ((h - Y) ** 2).sum() / 2

    gradient = vmap(grad(loss, argnums=tuple(range(len(weights)))))
    for _ in range(steps):
        for layer, change in zip(weights, gradient(*weights), strict=True):
            layer.sub_(change, alpha=eta)
    return weights[-1]


def ensemble_table(cases: Sequence[tuple[tuple[int, int, int, int], int, int]] = ENSEMBLES, steps: int = 60) -> None:
    """Time a step, from the difference of two lengths: that leaves out what a call costs once."""
    copy, rate = copying(), multiplying(torch.float32)
    print(f"\nEnsembles, float32: weights are read and written at {copy / 1e9:,.0f} GB/s.\n")
    columns = ("networks", "d, n, C, L", "points", "method", "time a step", "networks x steps a second")
    print(f"| {' | '.join(columns)} | of the weights' traffic | of the products |\n|{'---|' * 8}")
    for (inputs, width, outputs, depth), count, networks in cases:
        network = Network(inputs, width, outputs, depth, sw2=2.0, parametrization="ntk")
        x = sphere_points(count, inputs, seed=1)
        X = torch.from_numpy(x).float().to(DEVICE)
        Y = torch.from_numpy(np.random.default_rng(2).standard_normal((count, outputs))).float().to(DEVICE)
        kernel = ntk(x, depth=depth, activation="relu", sw2=2.0, parametrization="ntk")
        eta = 0.5 / float(torch.linalg.eigvalsh(kernel)[-1])  # that of a finite network varies

        def ours(length: int, network=network, X=X, Y=Y, eta=eta, networks=networks) -> Any:
            return train(
                network, X, Y, eta=eta, steps=length, loss="half_sum", at=(length,), replicates=networks, seed=0
            )

        peer = partial(vmapped, network, X, Y, eta, networks=networks)
        moved = 2 * 4 * networks * network.parameters
        # forward, weights' gradients, and back through all layers but the first
        flops = 2 * count * networks * (3 * network.parameters - inputs * width)
        for label, run in (("ours", ours), ("vmap(grad)", peer)):
            few, many = (seconds(partial(run, length))[0] for length in (steps, 3 * steps))
            step = (many - few) / (2 * steps)
            print(
                f"| {networks:,} | {inputs}, {width:,}, {outputs}, {depth} | {count} | {label} | {1e6 * step:,.0f} µs "
                f"| {networks / step:.2e} | {step / (moved / copy):.2f} | {step / (flops / rate):.2f} |",
                flush=True,
            )


def main() -> None:
    """The section."""
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "no GPU: figures mean nothing"
    print("## Kernels of infinite width and ensembles on a GPU\n")
    print(f"`python benchmarks/gpu_ntk.py`, {datetime.now(UTC):%Y-%m-%d}. {name}, torch {torch.__version__};")
    print(f"medians of {REPEATS} runs. Errors are those of {SAMPLE} rows, beside float64, of the geometric mean of the")
    print(f"diagonal entries; half of these rows have a point at an angle of {ANGLE:g}.")
    for n in [int(a) for a in sys.argv[1:]] or [50_000]:
        infinite_table(n)
    ensemble_table()


if __name__ == "__main__":
    main()
