"""How the scripts for a GPU time a run; on a CPU they do too, so that they can be tried there."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
REPEATS = 3


def seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    """Median time of a run after one warm-up, and what it returned."""
    result, times = run(), []
    for _ in range(REPEATS):
        result = None  # the memory of one result, not of two
        if DEVICE.type == "cuda":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            result = run()
            end.record()
            torch.cuda.synchronize()
            times.append(start.elapsed_time(end) / 1e3)
        else:
            begin = time.perf_counter()
            result = run()
            times.append(time.perf_counter() - begin)
    return statistics.median(times), result
