"""Run implementations of one task side by side, each in a process of its own and, where it asks, an environment."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "performance.md"
#: Set to one in every process unless a benchmark says otherwise, and the process kept on as many cores.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
#: They make a current OpenBLAS choose a slower kernel than the processor has.
UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


@dataclass(frozen=True)
class Implementation:
    """A file with ``prepare(case)``; `requirements` (pinned) ask for an environment of its own.

    Without requirements it runs in the environment that runs the harness. The callable that ``prepare`` returns may
    have an attribute ``work``: how many of the benchmark's units one call does. An implementation that is not
    `compared` solves the same problem by other rules: its time is taken, its result is not looked at.
    """

    name: str
    script: Path
    requirements: tuple[str, ...] = ()
    packages: tuple[str, ...] = ("numpy",)
    threads: int = 1
    compared: bool = True


@dataclass(frozen=True)
class Target:
    """What is asked of the ratio of a peer's time to ours in one case, or to that of the implementation `than`."""

    case: str
    peer: str
    at_least: float
    than: str = ""


@dataclass(frozen=True)
class Benchmark:
    """A task: its cases, our implementation, the peers, and how closely their results must agree.

    Attributes
    ----------
    cases : dict of str to dict
        JSON data for ``prepare``. The key ``"only"`` lists the implementations that take part; all by default.
    floors : tuple of Implementation
        What no implementation can beat (a copy of as many bytes, the random numbers alone): timed beside the others,
        their results not compared.
    accuracy : float
        Largest ``|a - b| / max|b|`` between our result and a peer's.
    bytes_moved : dict of str to float
        Least memory traffic of one run of a case, where bandwidth is what limits it: a speed is printed.
    unit : str
        What times are for, where implementations do different amounts of work in a call ("pull", "step").
    """

    name: str
    title: str
    cases: dict[str, dict[str, Any]]
    ours: Implementation
    peers: tuple[Implementation, ...]
    accuracy: float
    floors: tuple[Implementation, ...] = ()
    targets: tuple[Target, ...] = ()
    bytes_moved: dict[str, float] = field(default_factory=dict)
    unit: str = ""
    repeats: int = 7


class Worker:
    """A running implementation."""

    def __init__(self, implementation: Implementation, python: Path) -> None:
        self.implementation = implementation
        env = {k: v for k, v in os.environ.items() if k not in UNSET} | dict.fromkeys(
            THREADS, str(implementation.threads)
        )
        if implementation.requirements:  # nothing of the surroundings may leak into a peer's environment
            env.pop("PYTHONPATH", None)
            env["PYTHONNOUSERSITE"] = "1"
        self.process = subprocess.Popen(
            [str(python), str(HERE / "worker.py"), str(implementation.script), str(implementation.threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            text=True,
            cwd=tempfile.gettempdir(),  # the checkout's folders must not shadow what is installed
        )

    def ask(self, **order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.implementation.name} stopped with exit code {self.process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()


def environment(implementation: Implementation) -> Path:
    """Python of the implementation's environment, built on first use.

    Raises
    ------
    RuntimeError
        With pip's last line, where the requirements do not install.
    """
    if not implementation.requirements:
        return Path(sys.executable)
    folder = HERE / ".peers" / implementation.name
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    wanted = "\n".join(implementation.requirements)
    if not stamp.exists() or stamp.read_text() != wanted:
        venv.create(folder, clear=True, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "threadpoolctl==3.8.0", *implementation.requirements]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
            raise RuntimeError(lines[0])
        stamp.write_text(wanted)
    return python


def run(benchmark: Benchmark) -> dict[str, Any]:
    """Every case on every implementation that installs, repeats interleaved; results compared before any timing."""
    workers, missing = [], {}
    for implementation in (benchmark.ours, *benchmark.peers, *benchmark.floors):
        try:
            workers.append(Worker(implementation, environment(implementation)))
        except RuntimeError as error:
            missing[implementation.name] = str(error)
    try:
        cases = {name: _case(benchmark, name, workers) for name in benchmark.cases}
        # asked last, when every BLAS that took part is loaded
        about = {w.implementation.name: w.ask(do="about", packages=list(w.implementation.packages)) for w in workers}
    finally:
        for worker in workers:
            worker.close()
    return {"about": about, "missing": missing, "cases": cases, "machine": machine(), "when": _today()}


def _case(benchmark: Benchmark, name: str, workers: Sequence[Worker]) -> dict[str, Any]:
    case = benchmark.cases[name]
    takes_part = [w for w in workers if w.implementation.name in case.get("only", [w.implementation.name])]
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        results = {}
        for worker in takes_part:
            path = str(Path(folder) / f"{worker.implementation.name}.npy")
            found[worker.implementation.name] = worker.ask(do="prepare", case=case, result=path)
            results[worker.implementation.name] = np.load(path)
    ours = results[benchmark.ours.name]
    compared = {i.name for i in (benchmark.ours, *benchmark.peers) if i.compared}
    for peer, result in results.items():
        if peer not in compared:
            continue
        gap = float(np.abs(result - ours).max() / max(float(np.abs(result).max()), 1e-300))
        if not gap <= benchmark.accuracy:
            raise RuntimeError(f"{name}: {peer} and {benchmark.ours.name} differ by {gap:.3g} > {benchmark.accuracy:g}")
        found[peer]["gap"] = gap
    samples: dict[str, list[float]] = {w.implementation.name: [] for w in takes_part}
    for _ in range(benchmark.repeats):
        for worker in takes_part:
            samples[worker.implementation.name].append(worker.ask(do="sample")["seconds"])
    for peer, seconds in samples.items():
        found[peer] |= {"median": statistics.median(seconds), "min": min(seconds), "max": max(seconds)}
    return found


def machine() -> dict[str, Any]:
    """Processor, cores and memory of this machine."""
    model, memory = platform.processor() or platform.machine(), 0.0
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"processor": model, "cores": os.cpu_count(), "memory_gib": round(memory, 1), "system": platform.platform()}


def _today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


# ---------------------------------------------------------------------------------------------- report


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def report(benchmark: Benchmark, result: dict[str, Any]) -> str:
    """The benchmark's section of the page, in Markdown."""
    machine_ = result["machine"]
    versions = "; ".join(
        f"{name}: " + ", ".join(f"{k} {v}" for k, v in info["versions"].items())
        for name, info in result["about"].items()
    )
    kernels = {b["architecture"] for info in result["about"].values() for b in info["blas"] if b.get("architecture")}
    lines = [
        f"## {benchmark.title}",
        "",
        f"`python benchmarks/run.py {benchmark.name}`, {result['when']}. {machine_['processor']}, {machine_['cores']} "
        f"cores, {machine_['memory_gib']} GiB; one thread each where no other number is named; median (minimum to "
        f"maximum) of {benchmark.repeats} interleaved samples of at least 20 ms; results agree to "
        f"{benchmark.accuracy:g}. BLAS kernels: {', '.join(sorted(kernels)) or 'none loaded'}. {versions}.",
        "",
        f"| case | implementation | time{' a ' * bool(benchmark.unit)}{benchmark.unit} | ratio to ours "
        f"| {benchmark.unit + 's a second' if benchmark.unit else 'least traffic'} | first call |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in result["cases"].items():
        ours = found[benchmark.ours.name]["median"]
        for peer, value in found.items():
            traffic = benchmark.bytes_moved.get(name)
            speed = f"{traffic / value['median'] / 1e9:.2f} GB/s" if traffic else ""
            speed = f"{1 / value['median']:.3g}" if benchmark.unit else speed
            lines.append(
                f"| {name} | {peer} | {_time(value['median'])} ({_time(value['min'])} to {_time(value['max'])}) | "
                f"{value['median'] / ours:.2f} | {speed} | {_time(value['first'])} |"
            )
    lines.append("")
    for target in benchmark.targets:
        found = result["cases"][target.case]
        than = target.than or benchmark.ours.name
        if target.peer in found and than in found:
            ratio = found[target.peer]["median"] / found[than]["median"]
            met = "met" if ratio >= target.at_least else "**missed**"
            asked = f"at least {target.at_least:.3g} was asked: {met}"
            whose = f"the time of {target.than}" if target.than else "our time"
            lines.append(f"- {target.case}: {target.peer} takes {ratio:.2f} times {whose}; {asked}.")
    lines += [f"- {name} does not install: {reason}" for name, reason in result["missing"].items()]
    return "\n".join(lines).rstrip() + "\n"


def write(benchmark: Benchmark, text: str, page: Path = PAGE) -> None:
    """Put the section between its markers on the page; what stands around it is kept."""
    start, end = f"<!-- begin {benchmark.name} -->", f"<!-- end {benchmark.name} -->"
    old = page.read_text() if page.exists() else "# Performance\n"
    section = f"{start}\n{text}{end}\n"
    if start in old and end in old:
        head, rest = old.split(start, 1)
        new = head + section + rest.split(end, 1)[1].lstrip("\n")
    else:
        new = old.rstrip("\n") + "\n\n" + section
    page.write_text(new)
