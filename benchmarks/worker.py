"""Serve one implementation to the harness: JSON lines in, JSON lines out. Needs numpy and what it serves needs.

The implementation is a file with ``prepare(case) -> callable``; the callable runs the case once and returns its result
as an array. Whatever a case costs beside the run (drawing the problem, moving it to a device) belongs in ``prepare``.
Times are divided by the callable's attribute ``work`` where it has one.
"""

import gc
import importlib.metadata
import json
import os
import platform
import runpy
import sys
import time

import numpy as np


def versions(names):
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"python": platform.python_version(), **found}


def blas():
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    return [
        {key: info.get(key) for key in ("internal_api", "version", "architecture", "num_threads")}
        for info in threadpool_info()
    ]


def sample(run, inner):
    gc.disable()
    start = time.perf_counter()
    for _ in range(inner):
        run()
    seconds = (time.perf_counter() - start) / inner
    gc.enable()
    return seconds / getattr(run, "work", 1)


def main(path, threads):
    if hasattr(os, "sched_setaffinity"):  # not every library reads the variables that limit threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    answers, sys.stdout = sys.stdout, sys.stderr  # some libraries print when they are imported
    implementation = runpy.run_path(path)
    run, inner = None, 1
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "about":
            answer = {"versions": versions(order["packages"]), "blas": blas()}
        elif order["do"] == "prepare":
            run = implementation["prepare"](order["case"])
            start = time.perf_counter()
            np.save(order["result"], np.asarray(run()))
            first = time.perf_counter() - start
            # samples of at least 20 ms, so that the clock and the call do not count
            inner = max(1, int(np.ceil(0.02 / max(sample(run, 1) * getattr(run, "work", 1), 1e-9))))
            answer = {"first": first, "inner": inner}
        else:
            answer = {"seconds": sample(run, inner)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
