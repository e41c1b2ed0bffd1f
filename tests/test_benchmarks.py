"""The benchmark harness at tiny sizes: agreement, bookkeeping and the page, never a time."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def harness(benchmark_module):
    return benchmark_module("harness")


def script(folder, name, body):
    path = folder / f"{name}.py"
    path.write_text(f"import os\nimport numpy as np\n\n\ndef prepare(case):\n    return lambda: {body}\n")
    return path


def benchmark(harness, folder, body="np.arange(case['n']) + 1e-12", **changes):
    """Two implementations of ``0, ..., n - 1`` and a floor that computes something else."""
    parts = {"ours": "np.arange(case['n'])", "peer": body, "floor": "np.full(1, np.nan)"}
    made = {name: harness.Implementation(name, script(folder, name, text)) for name, text in parts.items()}
    return harness.Benchmark(
        name="tiny",
        title="A tiny benchmark",
        cases={"n = 5": {"n": 5}, "n = 6, ours alone": {"n": 6, "only": ["ours"]}},
        ours=made["ours"],
        peers=(made["peer"],),
        floors=(made["floor"],),
        accuracy=1e-9,
        repeats=2,
        **changes,
    )


def test_a_run_times_every_implementation_of_a_case(harness, tmp_path):
    result = harness.run(benchmark(harness, tmp_path))
    assert {name: set(found) for name, found in result["cases"].items()} == {
        "n = 5": {"ours", "peer", "floor"},
        "n = 6, ours alone": {"ours"},
    }
    for found in result["cases"].values():
        for times in found.values():
            assert 0 < times["min"] <= times["median"] <= times["max"]
            assert times["first"] > 0
    assert result["missing"] == {}
    assert result["about"]["peer"]["versions"]["numpy"] == np.__version__
    assert result["machine"]["cores"] >= 1


def test_results_that_differ_stop_the_run(harness, tmp_path):
    # half of the accuracy on either side of it, relative to the largest entry 4
    harness.run(benchmark(harness, tmp_path, body="np.arange(case['n']) + 4 * 0.5e-9"))
    with pytest.raises(RuntimeError, match=r"n = 5: peer and ours differ by 1.5e-09"):
        harness.run(benchmark(harness, tmp_path, body="np.arange(case['n']) + 4 * 1.5e-9"))


@pytest.mark.parametrize("body", ["np.full(case['n'], np.nan)", "np.arange(case['n']) * np.inf"])
def test_a_result_that_is_not_finite_stops_the_run(harness, tmp_path, body):
    with pytest.raises(RuntimeError, match="peer and ours differ by nan"):
        harness.run(benchmark(harness, tmp_path, body=body))


def test_every_process_has_one_thread_and_its_own_choice_of_blas_kernel(harness, tmp_path, monkeypatch):
    names = (*harness.THREADS, *harness.UNSET)
    for name in names:
        monkeypatch.setenv(name, "7")
    body = f"np.array([int(os.environ.get(name, 0)) for name in {names!r}])"
    worker = harness.Worker(harness.Implementation("env", script(tmp_path, "env", body)), Path(sys.executable))
    worker.ask(do="prepare", case={}, result=str(tmp_path / "env.npy"))
    worker.close()
    np.testing.assert_array_equal(np.load(tmp_path / "env.npy"), [1] * len(harness.THREADS) + [0, 0])


def test_a_peer_that_does_not_install_is_listed_with_its_reason(harness, tmp_path, monkeypatch):
    real = harness.environment

    def environment(implementation):
        if implementation.name == "peer":
            raise RuntimeError("ERROR: no matching distribution")
        return real(implementation)

    monkeypatch.setattr(harness, "environment", environment)
    tiny = benchmark(harness, tmp_path, targets=(harness.Target("n = 5", "peer", 1.0),))
    result = harness.run(tiny)
    assert set(result["cases"]["n = 5"]) == {"ours", "floor"}
    assert "- peer does not install: ERROR: no matching distribution" in harness.report(tiny, result)


def test_an_implementation_that_stops_is_named(harness, tmp_path):
    worker = harness.Worker(
        harness.Implementation("broken", script(tmp_path, "broken", "os._exit(3)")), Path(sys.executable)
    )
    with pytest.raises(RuntimeError, match="broken stopped with exit code 3"):
        worker.ask(do="prepare", case={}, result=str(tmp_path / "broken.npy"))
    worker.close()


def test_the_report_judges_targets_by_the_medians(harness, tmp_path):
    targets = (harness.Target("n = 5", "peer", 2.0), harness.Target("n = 5", "peer", 3.5))
    tiny = benchmark(harness, tmp_path, targets=targets, bytes_moved={"n = 5": 6e6})
    time = {"ours": 1e-3, "peer": 3e-3, "floor": 0.5e-3}
    found = {n: {"first": 1.0, "median": t, "min": t / 2, "max": 2 * t} for n, t in time.items()}
    about = {"ours": {"versions": {"numpy": "2"}, "blas": [{"architecture": "Zen"}]}}
    result = {
        "cases": {"n = 5": found},
        "missing": {},
        "about": about,
        "machine": {"processor": "P", "cores": 2, "memory_gib": 1.0},
        "when": "2000-01-01",
    }
    text = harness.report(tiny, result)
    assert "| n = 5 | peer | 3 ms (1.5 ms to 6 ms) | 3.00 | 2.00 GB/s | 1 s |" in text
    assert "takes 3.00 times our time; at least 2 was asked: met." in text
    assert "takes 3.00 times our time; at least 3.5 was asked: **missed**." in text


def test_the_page_keeps_what_stands_around_the_section(harness, tmp_path):
    page = tmp_path / "performance.md"
    tiny = benchmark(harness, tmp_path)
    page.write_text("# Performance\n\nBefore.\n")
    harness.write(tiny, "old\n", page)
    page.write_text(page.read_text() + "\nAfter.\n")
    harness.write(tiny, "new\n", page)
    once = page.read_text()
    assert once.startswith("# Performance\n\nBefore.\n\n<!-- begin tiny -->\nnew\n<!-- end tiny -->\n")
    assert once.endswith("After.\n")
    assert "old" not in once
    harness.write(tiny, "new\n", page)
    assert page.read_text() == once


SIZES = {
    "bandits_pulls": {"horizon": 40, "replicates": 3},
    "halpern_iteration": {"dim": 6, "steps": 4},
    "koopman_sections": {"snapshots": 60, "functions": 5},
    "koopman_modes": {"states": 20, "times": 30, "rank": 4},
    "koopman_pseudospectra": {"functions": 6, "angles": 3, "radii": 3},
    "monotone_dbm_solves": {"nodes": 12, "rank": 3, "batch": 4, "steps": 2},
    "ntk_empirical": {"points": 5, "sizes": [4, 3, 2]},
    "ntk_infinite_width": {"n": 70, "d": 3},
    "ntk_ensembles": {"k": 3, "width": 8, "networks": 2, "steps": 2},
    "sinkhorn_steps": {"n": 12, "steps": 60},
    "sinkhorn_solves": {"n": 12, "share": 0.1},
}


@pytest.mark.parametrize("name", SIZES)
def test_an_entry_at_tiny_sizes(name, harness, benchmark_module):
    entry = benchmark_module(name).BENCHMARK
    names = {i.name for i in (entry.ours, *entry.peers, *entry.floors)}
    for case in entry.cases.values():
        assert set(case.get("only", names)) <= names
    for target in entry.targets:
        assert target.case in entry.cases
        assert {target.peer, target.than or entry.ours.name} <= names
    # the environments of the peers need the network
    here = tuple(peer for peer in entry.peers if not peer.requirements or set(peer.packages) <= {"numpy"})
    tiny = replace(
        entry,
        cases={label: case | SIZES[name] for label, case in entry.cases.items()},
        peers=tuple(replace(peer, requirements=(), threads=1) for peer in here),
        repeats=1,
    )
    result = harness.run(tiny)
    assert set(result["cases"]) == set(entry.cases)
    assert result["missing"] == {}
    assert harness.report(tiny, result)


def test_another_unit_divides_the_time_and_chatter_does_no_harm(harness, tmp_path):
    lines = (
        "import time",
        "print('hello')",
        "def prepare(case):",
        "  def run():",
        "    time.sleep(0.02)",
        "    return [1.0]",
    )
    body = "\n".join((*lines, "  run.work = 1000", "  return run", ""))
    path = tmp_path / "worked.py"
    path.write_text(body)
    worker = harness.Worker(harness.Implementation("worked", path), Path(sys.executable))
    assert worker.ask(do="prepare", case={}, result=str(tmp_path / "r.npy"))["inner"] == 1
    seconds = worker.ask(do="sample")["seconds"]
    worker.close()
    assert 2e-5 <= seconds < 0.02


def test_a_peer_by_other_rules_is_timed_and_not_compared(harness, tmp_path):
    tiny = benchmark(harness, tmp_path, body="np.full(3, 7.0)")
    tiny = replace(tiny, peers=tuple(replace(peer, compared=False) for peer in tiny.peers))
    assert "gap" not in harness.run(tiny)["cases"]["n = 5"]["peer"]


@pytest.fixture
def rows(benchmark_module, monkeypatch, capsys):
    """``rows()``: the cells of the tables printed since, without their titles; every script times one run."""
    monkeypatch.setattr(benchmark_module("gpu_timing"), "REPEATS", 1)

    def read():
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
        rule = {i for i, line in enumerate(lines) if line.startswith("|--")}
        found = [line for i, line in enumerate(lines) if i not in rule and i + 1 not in rule]
        return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in found]

    return read


def test_the_script_for_monotone_machines_on_a_gpu(benchmark_module, rows):
    script = benchmark_module("gpu_monotone")
    script.prox_table(2)
    assert len(rows()) == 3 * 2 * 4
    script.solve_table(2)
    solved = rows()
    assert len(solved) == 2 * 3
    assert all(float(row[3]) <= 1e-3 and int(row[4]) >= 1 for row in solved)


def test_the_script_for_transport_on_a_gpu(benchmark_module, rows):
    script = benchmark_module("gpu_sinkhorn")
    script.online_table([60])
    errors = {(row[1], row[2]): float(row[6]) for row in rows()}
    assert len(errors) >= 7
    for (d, method), error in errors.items():  # the same steps, however they are taken
        assert error == pytest.approx(errors[d, "ours, float64"], rel=0.1 if "TF32" in method else 0.01)
    script.to_equal_error(60)
    reached = rows()
    assert len(reached) == 6
    assert all(float(row[6]) <= 1.01 * float(row[3]) for row in reached if "TF32" not in row[2])


def test_the_script_for_infinite_width_and_ensembles_on_a_gpu(benchmark_module, monkeypatch, rows):
    script = benchmark_module("gpu_ntk")
    monkeypatch.setattr(script, "BYTES", 2**16)
    monkeypatch.setattr(script, "SIDE", 64)
    script.infinite_table(60, 5, 2)
    errors = {(row[0], row[1], row[2]): float(row[7]) for row in rows()}
    assert len(errors) == (10 if script.DEVICE.type == "cuda" else 6)
    assert all(
        off < (1e-6 if dtype == "float32" else 1e-13) for (_, how, dtype), off in errors.items() if how == "ours"
    )
    assert errors["relu", "textbook", "float32"] > 1e-5
    script.ensemble_table((((4, 8, 2, 2), 5, 3),), steps=2)
    assert [row[:3] for row in rows()] == 2 * [["3", "4, 8, 2, 2", "5"]]
