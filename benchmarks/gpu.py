"""Halpern's iteration and the random stream on a GPU, beside a device copy: ``python benchmarks/gpu.py``.

Prints the section of docs/performance.md. Times are medians of CUDA events over whole runs, after one warm-up.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import numpy as np
import torch

from lemmata.kernels import _philox, _philox_triton
from lemmata.kernels.halpern import halpern
from lemmata.problems.halpern import Operator

REPEATS = 7


def milliseconds(run: Callable[[], object]) -> tuple[float, float, float]:
    """Median, minimum and maximum of a run."""
    run()
    times = []
    for _ in range(REPEATS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times), min(times), max(times)


def main() -> None:
    device = torch.device("cuda")
    name = torch.cuda.get_device_name()
    source = torch.empty(2**30 // 4, device=device)
    copied = milliseconds(lambda: source.clone())[0]
    bandwidth = 2 * source.numel() * 4 / copied / 1e6
    print(f"`python benchmarks/gpu.py`, {datetime.now(UTC):%Y-%m-%d}. {name}, torch {torch.__version__}; median ")
    print(f"(minimum to maximum) of {REPEATS} runs. A device copy moves {bandwidth:,.0f} GB/s, read and written.\n")
    print("| B x d | dtype | steps | time a step | least traffic | of the copy |")
    print("|---|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for batch, dim, steps in ((1, 1_000_000, 200), (1024, 1000, 200), (1, 100_000_000, 20)):
        operator = Operator.rotation(rng.uniform(0, np.pi, dim // 2))
        for dtype in (torch.float64, torch.float32):
            x0 = torch.randn(batch, dim, device=device, dtype=dtype)
            few, many = (milliseconds(partial(halpern, operator, x0, n, at=[n])) for n in (steps, 2 * steps))
            # the difference of two lengths leaves out what a call costs once: tables to the device, results back
            step = (many[0] - few[0]) / steps
            moved = (3 * batch + 1) * dim * x0.element_size()  # x, x0 and the angles read, x written
            speed = moved / step / 1e6
            print(
                f"| {batch:,} x {dim:,} | {str(dtype)[6:]} | {steps} | {1e3 * step:,.1f} µs "
                f"| {speed:,.0f} GB/s | {speed / bandwidth:.2f} |"
            )
    print("\n| random stream | blocks | time | words a second |\n|---|---|---|---|")
    count = 2**24
    block = torch.arange(count, device=device)
    out = torch.empty(1, count, 4, dtype=torch.int64, device=device)
    for label, run in (
        ("torch", lambda: _philox.words(block, 0, 0, seed=1)),
        ("Triton", lambda: _philox_triton.fill_words(out, seed=1)),
    ):
        middle, least, most = milliseconds(run)
        print(f"| {label} | {count:,} | {middle:.2f} ms ({least:.2f} to {most:.2f}) | {4 * count / middle * 1e3:.2e} |")


if __name__ == "__main__":
    main()
