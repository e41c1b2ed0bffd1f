"""Our code beside its peers: ``python benchmarks/run.py [NAME ...]`` writes docs/performance.md.

Each benchmark is a module ``<family>_<what>.py`` in this folder with a `Benchmark` called ``BENCHMARK``.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from harness import Benchmark, report, run, write  # noqa: E402


def benchmarks() -> dict[str, Benchmark]:
    """The benchmarks of this folder by name."""
    found = [runpy.run_path(str(path)).get("BENCHMARK") for path in sorted(HERE.glob("*_*.py"))]
    return {b.name: b for b in found if b is not None}


def main(names: list[str]) -> int:
    known = benchmarks()
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no benchmark is called {unknown[0]!r}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    for name in names or known:
        result = run(known[name])
        (HERE / "results").mkdir(exist_ok=True)
        (HERE / "results" / f"{name}.json").write_text(json.dumps(result, indent=1))
        text = report(known[name], result)
        write(known[name], text)
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
