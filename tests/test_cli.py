"""The command line: what it prints where, and its exit codes."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import pytest
import sympy as sp
from typer.testing import CliRunner

import lemmata
from lemmata import figures, registry
from lemmata.claims import Assumption, Claim, Source
from lemmata.cli import app, exit_code
from lemmata.figures import CheckFailed
from lemmata.verification import Experiment, Measurement, Saboteur, Setup, run

N = sp.Symbol("n", positive=True)
TOY = Claim(
    id="toy/fine",
    kind="bound",
    quantity="q",
    expression=1 / N,
    symbols={"n": "size"},
    assumptions=(Assumption("the size is even", lambda p: None), Assumption("the moon is full")),
    source=Source("doe2001", "Doe, Jane", "On toys", "J. Toys", 2001, "Theorem 3 [extended]"),
    statement="A toy is at most 1.",
    hard_problem="the toy of size 1",
)


def measure(problems, setup, value=0.5, error=None):
    sys.stdout.write("an experiment that prints\n")
    if error:
        raise error
    return Measurement([value], [1.0], {"n": 4})


def toy(name, value=0.5, *, caught=2.0, **fields):
    """An experiment on the claim toy/`name` that measures `value` against 1, and `caught` under its saboteur."""
    changes = {"value": caught} if isinstance(caught, float) else {"error": caught}

    def measured(problems, setup, **options):
        return measure(problems, setup, **{"value": value, **options})

    defaults = {
        "claim": replace(TOY, id=f"toy/{name}"),
        "instance": "on [a, b]",
        "problems": lambda setup: [None],
        "measure": measured,
        "saboteurs": (Saboteur("twice [as much]", changes),),
        "protocol": "algorithm(n) -> q [float]",
    }
    return Experiment(**{**defaults, **fields})


FINE = toy("fine")
VIOLATED = toy("violated", 1.5)
UNCAUGHT = toy("uncaught", caught=0.9)
UNDECIDED = toy("undecided", 1.5, claim=replace(TOY, id="toy/undecided", standing="quoted"))
BROKEN = toy("broken", problems=lambda setup: 1 / 0)
BROKEN_SABOTEUR = toy("broken-saboteur", caught=RuntimeError("boom"))
KERNELS_ONLY = toy("kernels-only", backends=("kernels",))


@pytest.fixture
def toys(monkeypatch):
    """Put some experiments in place of every installed family: ``toys(FINE, ...)``."""

    def put(*experiments):
        monkeypatch.setattr(registry, "families", lambda: ["toy"])
        monkeypatch.setattr(registry, "load", {"toy": experiments}.__getitem__)

    return put


def invoke(*arguments):
    return CliRunner().invoke(app, arguments)


def shell(*arguments, **options):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "lemmata", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=580, **options)


# ------------------------------------------------------------------------------------------- exit codes


@pytest.mark.parametrize(
    ("experiments", "code"),
    [
        ((FINE,), 0),
        ((FINE, toy("more")), 0),
        ((FINE, toy("alone", saboteurs=())), 0),
        ((FINE, VIOLATED), 1),
        ((FINE, UNCAUGHT), 1),
        ((FINE, UNDECIDED), 3),
        ((FINE, BROKEN), 4),
        ((FINE, BROKEN_SABOTEUR), 4),
        # precedence 4, 1, 3
        ((BROKEN, VIOLATED, UNDECIDED), 4),
        ((BROKEN_SABOTEUR, VIOLATED), 4),
        ((UNDECIDED, VIOLATED), 1),
        ((UNDECIDED, UNCAUGHT), 1),
        ((UNDECIDED, BROKEN), 4),
    ],
    ids=lambda v: "-".join(e.claim.id[4:] for e in v) if isinstance(v, tuple) else None,
)
def test_exit_code(toys, experiments, code):
    toys(*experiments)
    for arguments in (["verify"], ["verify", "toy", "--json"], ["verify", *(e.claim.id for e in experiments)]):
        assert invoke(*arguments).exit_code == code
    assert exit_code([run(e, Setup()) for e in experiments]) == code


USAGE = [
    (("verify", "--frobnicate"), "No such option: --frobnicate"),
    (("verify", "--budget", "huge"), "Invalid value for '--budget'"),
    (("verify", "--backend", "numba"), "Invalid value for '--backend'"),
    (("verify", "--dtype", "float16"), "Invalid value for '--dtype'"),
    (("verify", "--seed", "many"), "Invalid value for '--seed'"),
    (("verify", "--seed", "-1"), "lemmata: seed = -1 lies outside [0, 18446744073709551615]"),
    (("verify", "toy/fin"), "lemmata: no claim is called 'toy/fin'; there is toy/fine"),
    (("verify", "--backend", "triton"), "lemmata: nothing to run on triton; what there is runs on kernels, sims"),
    (("verify", "toy/kernels-only"), "lemmata: nothing to run on sims; toy/kernels-only runs on kernels"),
    (("verify", "--device", "cuda"), "lemmata: the sims backend runs on the cpu, not on 'cuda'"),
    (("verify", "--backend", "kernels", "--device", "abacus"), "lemmata: device 'abacus' cannot be used"),
    (("list", "toy/fin"), "lemmata: no claim is called 'toy/fin'; there is toy/fine"),
    (("show", "toy/fin"), "lemmata: no claim is called 'toy/fin'; there is toy/fine"),
    (("show", "toy"), "lemmata: show takes one claim, such as toy/fine; toy is a family: lemmata list toy"),
    (("show",), "Missing argument"),
    (("prove",), "No such command 'prove'"),
    (("figure",), "lemmata: name a figure"),
    (("figure", "toy/pie"), "lemmata: no figure is called 'toy/pie'"),
]


@pytest.mark.parametrize(("arguments", "words"), USAGE, ids=lambda v: "_".join(v) if isinstance(v, tuple) else None)
def test_errors_of_use(toys, arguments, words):
    toys(FINE, KERNELS_ONLY)
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert done.stdout == ""


def test_a_family_that_is_not_there():
    done = invoke("verify", "halpren")
    assert (done.exit_code, done.stderr) == (2, "lemmata: no family is called 'halpren'; there is halpern\n")


def test_help_and_version():
    assert invoke("--version").stdout == f"lemmata {lemmata.__version__}\n"
    assert invoke("--help").exit_code == 0
    for command in ("list", "show", "verify", "figure"):
        assert invoke(command, "--help").exit_code == 0
    assert invoke().exit_code == 2
    assert "Usage" in invoke().output


# -------------------------------------------------------------------------------------------- list, show


def test_list_has_the_formula_the_standing_and_the_source(toys):
    toys(FINE, UNDECIDED, replace(FINE, instance="elsewhere"))
    fine = "toy/fine  bound, derived, Doe (2001), Theorem 3 [extended]\n    q ≤ 1/n\n"
    undecided = "toy/undecided  bound, quoted, Doe (2001), Theorem 3 [extended]\n    q ≤ 1/n\n"
    assert invoke("list").stdout == fine + undecided  # a claim with two instances is listed once
    assert invoke("list", "toy").stdout == fine + undecided
    assert invoke("list", "toy/fine").stdout == fine


def test_show_has_everything_about_a_claim(toys):
    toys(FINE, replace(FINE, instance="elsewhere", saboteurs=(), protocol=""))
    assert invoke("show", "toy/fine").stdout == dedent("""\
        toy/fine  bound, derived, constant finite

        Statement
          A toy is at most 1.
          q ≤ 1/n

        Symbols
          n: size

        Assumptions
          the size is even
          the moon is full (not checked)

        Source
          Doe (2001), Theorem 3 [extended]
          @article{doe2001,
            author = {Doe, Jane},
            title = {{On toys}},
            journal = {J. Toys},
            year = {2001},
            note = {Theorem 3 [extended]}
          }

        Hard problem
          the toy of size 1

        Experiment on on [a, b]
          backends: sims, kernels
          saboteur: twice [as much]
          your own: algorithm(n) -> q [float]

        Experiment on elsewhere
          backends: sims, kernels
        """)


def test_every_claim_of_ours_can_be_listed_and_shown():
    done = shell("list", env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    assert done.returncode == 0
    ids = [line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert len(ids) == len(set(ids)) >= 7
    for name in ids:
        shown = invoke("show", name)
        assert shown.exit_code == 0
        assert shown.stdout.startswith(f"{name}  ")


# ------------------------------------------------------------------------------------------------ verify


def test_the_table(toys):
    toys(FINE, VIOLATED, UNCAUGHT, UNDECIDED, BROKEN)
    done = invoke("verify")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines() if "that prints" not in line]
    assert lines[0] == "claim instance verdict ratio saboteurs s"
    for line, expected in zip(
        lines[1:6],
        [
            "toy/fine on [a, b] holds 0.500000 1/1",
            "toy/violated on [a, b] violated 1.500000 1/1",
            "toy/uncaught on [a, b] holds 0.500000 0/1",
            "toy/undecided on [a, b] inconclusive 1.500000 1/1",
            "toy/broken on [a, b] error 0/1",
        ],
        strict=True,
    ):
        assert line.startswith(expected)
    assert "toy/violated on on [a, b]: violated: 1 of 1 values above the bound" in lines
    assert "toy/uncaught on on [a, b]: saboteur not caught: twice [as much]: holds" in lines
    assert "toy/undecided on on [a, b]: inconclusive: quoted constant; 1 of 1 values above the bound" in lines
    assert "toy/broken on on [a, b]: error: ZeroDivisionError: division by zero" in lines
    assert "2 of 5 hold; every saboteur caught in 3 of 5." in lines


def test_the_table_marks_what_is_approximate(toys):
    claim = replace(TOY, kind="mean-bound")
    samples = [0.5 + i % 2 for i in range(300)]
    toys(toy("mean", claim=claim, measure=lambda p, s, value=0.5: Measurement(samples, 2.0)))
    done = invoke("verify").stdout
    assert "holds ~" in done
    assert "approximate (Student t or bootstrap) interval" in done
    toys(FINE)
    assert "~" not in invoke("verify").stdout


def test_what_cannot_run_on_the_backend_is_said_on_stderr(toys):
    toys(FINE, KERNELS_ONLY)
    done = invoke("verify", "--json")
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 1
    assert "not run on sims: toy/kernels-only" in done.stderr
    # a claim that another experiment of its ran on is not among them
    toys(replace(FINE, claim=KERNELS_ONLY.claim), KERNELS_ONLY)
    assert "not run" not in invoke("verify", "--json").stderr


def test_options_reach_the_experiment(toys):
    toys(FINE)
    options = ["--backend", "kernels", "--device", "cpu", "--dtype", "float32", "--budget", "full", "--seed", "7"]
    row = json.loads(invoke("verify", "--json", *options).stdout)
    told = [row[k] for k in ("backend", "device", "dtype", "budget", "seed")]
    assert told == ["kernels", "cpu", "float32", "full", 7]


def test_json_is_alone_on_stdout_even_where_an_experiment_prints(toys):
    toys(FINE, BROKEN, toy("infinite", float("inf")))
    done = invoke("verify", "--json")
    first, second, third = (json.loads(line) for line in done.stdout.splitlines())
    assert "an experiment that prints" in done.stderr
    assert first["at"] == {"n": 4}
    assert first["quantity"] == "q"
    assert (second["status"], second["measured"], second["at"]) == ("error", None, {})
    assert (third["status"], third["measured"], third["ratio"]) == ("violated", None, None)  # no infinity in JSON


KEYS = (
    "schema claim family kind standing source instance quantity at theory measured ratio ci level approximate tolerance"
    " status reason sabotage sabotage_ratio replicates seconds backend device dtype seed budget"
)


# every experiment of every family runs in test_registry; here it is the command that counts
CLAIMS = ["residual", "residual-tight", "potential", "km-residual", "km-residual-tight", "cocoercive-residual"]


@pytest.mark.parametrize("backend", ["sims", "kernels"])
def test_json_of_the_halpern_family(backend):
    names = [f"halpern/{claim}" for claim in CLAIMS]
    done = shell("verify", *names, "--json", "--backend", backend, "--seed", "3")
    assert done.returncode == 0, done.stderr

    def no_constant(name):
        raise AssertionError(f"{name} is not JSON")

    rows = [json.loads(line, parse_constant=no_constant) for line in done.stdout.splitlines()]
    assert len(rows) >= 9
    for row in rows:
        assert " ".join(row) == KEYS
        assert row["schema"] == 1
        assert (row["family"], row["backend"], row["device"], row["seed"]) == ("halpern", backend, "cpu", 3)
        assert row["status"] in ("holds", "demonstrated") or row["standing"] == "quoted"
        assert row["sabotage"] == "violated"
        for number in ("theory", "measured", "ratio", "level", "tolerance", "sabotage_ratio"):
            assert row[number] is None or isinstance(row[number], float)
    assert len({(row["claim"], row["instance"]) for row in rows}) == len(rows)


def test_json_goes_to_the_pipe_where_the_progress_bar_has_a_terminal(toys_on_disk):
    """``lemmata verify --json > rows.jsonl`` typed at a terminal."""
    reader, terminal = pty.openpty()
    shown = []

    def read():
        try:
            while data := os.read(reader, 4096):
                shown.append(data)
        except OSError:  # how a pseudo-terminal reports its end on Linux
            pass

    thread = threading.Thread(target=read)
    thread.start()
    command = [sys.executable, "-m", "lemmata", "verify", "disk/quick", "--json"]
    environment = {**toys_on_disk, "TERM": "xterm"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, env=environment, timeout=120)
    os.close(terminal)
    thread.join(timeout=10)
    os.close(reader)
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["claim"] == "disk/quick"
    bar = b"".join(shown)
    assert b"disk/quick on toys" in bar
    assert b"schema" not in bar


# ------------------------------------------------------------------------------------------ interruption

DISK = """
    import time
    from pathlib import Path
    import sympy as sp
    from lemmata.claims import Claim, Source
    from lemmata.verification import Experiment, Measurement, Saboteur

    def claim(name):
        return Claim(
            id=f"disk/{name}",
            kind="bound",
            quantity="q",
            expression=sp.Integer(1),
            symbols={},
            assumptions=(),
            source=Source("doe2001", "Doe, Jane", "On toys", "J. Toys", 2001),
        )

    def quick(problems, setup, value=0.5):
        return Measurement([value], [1.0])

    def slow(problems, setup, value=0.5):
        Path("started").touch()
        time.sleep(120)

    SABOTEURS = (Saboteur("twice", {"value": 2.0}),)
    EXPERIMENTS = tuple(
        Experiment(claim(f.__name__), "toys", lambda setup: [], f, SABOTEURS) for f in (quick, slow)
    )
"""


@pytest.fixture
def toys_on_disk(tmp_path):
    """The environment of a process that finds another package with the family ``disk``."""
    (tmp_path / "disk_toys.py").write_text(dedent(DISK))
    info = tmp_path / "disk_toys-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: disk-toys\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lemmata.experiments]\ndisk = disk_toys:EXPERIMENTS\n")
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


@pytest.mark.parametrize("as_json", [True, False])
def test_ctrl_c_is_130_and_keeps_what_is_done(toys_on_disk, tmp_path, as_json):
    command = [sys.executable, "-m", "lemmata", "verify", "disk", *(["--json"] if as_json else [])]
    # where the tests run in the background, SIGINT is ignored, and a child would inherit that
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        command, cwd=tmp_path, env=toys_on_disk, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        signal.signal(signal.SIGINT, ours)
        deadline = time.monotonic() + 60
        while not (tmp_path / "started").exists():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        before = sorted(tmp_path.iterdir())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.endswith("interrupted\n")
    assert "Traceback" not in err
    if as_json:
        (line,) = out.splitlines()
        assert json.loads(line)["claim"] == "disk/quick"
    else:
        assert "1 of 1 hold" in out
    assert sorted(tmp_path.iterdir()) == before  # no half-written file


def test_a_closed_pipe_is_no_traceback(toys_on_disk):
    """``lemmata list | head -1``."""
    command = [sys.executable, "-m", "lemmata", "list"]
    with subprocess.Popen(command, env=toys_on_disk, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert b"Traceback" not in err


# ------------------------------------------------------------------------------------------------ figure


@pytest.fixture
def pictures(monkeypatch):
    """Two figures in place of every installed one; `calls` are those to `figures.make`."""
    calls = []
    known = {"toy/pie": SimpleNamespace(title="A pie"), "toy/bars": SimpleNamespace(title="Bars")}

    def make(name, out, *, budget, seed, progress):
        progress(0.5, "half way")
        calls.append((name, out, budget, seed))
        return SimpleNamespace(caption=f"{name} of 3 slices", paths={"pdf": Path("a.pdf"), "csv": Path("a.csv")})

    monkeypatch.setattr(figures, "available", lambda: known)
    monkeypatch.setattr(figures, "make", make)
    return calls


def test_figures_are_listed(pictures):
    assert invoke("figure", "--list").stdout == "toy/pie  A pie\ntoy/bars  Bars\n"
    assert not pictures


def test_figures_are_made(pictures, tmp_path):
    done = invoke("figure", "toy/pie", "toy/bars", "--out", str(tmp_path), "--budget", "full", "--seed", "5")
    assert done.exit_code == 0
    assert pictures == [(name, tmp_path, "full", 5) for name in ("toy/pie", "toy/bars")]
    assert done.stdout == "".join(f"{n}: {n} of 3 slices\n  a.pdf\n  a.csv\n" for n in ("toy/pie", "toy/bars"))
    invoke("figure", "toy/pie")
    assert pictures[-1] == ("toy/pie", Path("figures"), "quick", 0)


def test_an_unknown_figure_stops_before_any_work(pictures):
    done = invoke("figure", "toy/pie", "toy/bar")
    assert (done.exit_code, pictures) == (2, [])
    assert done.stderr == "lemmata: no figure is called 'toy/bar'; there is toy/bars\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ImportError("figures are drawn with matplotlib: pip install 'lemmata[figures]'"), 2),
        (CheckFailed("toy/pie does not show what it should", None), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_a_figure_that_fails(pictures, monkeypatch, error, code):
    def make(*arguments, **options):
        raise error

    monkeypatch.setattr(figures, "make", make)
    done = invoke("figure", "toy/pie")
    assert done.exit_code == code
    assert (str(error) or "interrupted") in done.stderr
