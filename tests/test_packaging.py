"""What is installed: light imports, no second copy of a module, whole wheels, and documented names."""

import email
import importlib
import inspect
import json
import os
import pkgutil
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import lemmata

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
#: import name of every mapped folder
MAPPED = PROJECT["tool"]["setuptools"]["package-dir"]
PARTS = [name.removeprefix("lemmata.") for name in MAPPED if name != "lemmata"]
HEAVY = {"cvxpy", "dask", "matplotlib", "numba", "pandas", "scipy", "sympy", "torch", "triton", "xarray"}
FAMILIES = sorted(PROJECT["project"]["entry-points"]["lemmata.experiments"])
#: what a room may load when it is imported; the rest is loaded by the function that needs it
ROOMS = {
    "problems": set(),
    "theory": {"scipy", "sympy"},
    "sims": {"numba", "scipy"},
    "experiments": {"scipy", "sympy"},
}


def modules():
    """Every module of lemmata. The parts are walked one by one: an editable install hides them from the umbrella."""
    for package in (lemmata, *(importlib.import_module(f"lemmata.{part}") for part in PARTS)):
        yield package.__name__
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if found.name != "lemmata.__main__":  # runs the command line
                yield found.name


MODULES = sorted(set(modules()))


def loaded(code, *, cwd=None):
    """Names in sys.modules after `code` has run in a process of its own."""
    report = "import json, sys; sys.stderr.write('@' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.rpartition("@")[2]))


# ----------------------------------------------------------------------------------------------- imports


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import lemmata", set()),
        ("import lemmata; lemmata.__version__; dir(lemmata)", set()),
        ("import lemmata.cli", set()),
        (
            "import sys, lemmata.cli\nsys.argv = ['lemmata', '--version']\n"
            "try: lemmata.cli.main()\nexcept SystemExit as stop: assert not stop.code",
            set(),
        ),
        ("import lemmata.random, lemmata.errors, lemmata.typing, lemmata.results, lemmata.registry", set()),
        ("import lemmata.figures", set()),
        ("import lemmata.claims, lemmata.stats, lemmata.verification, lemmata.testing", {"scipy", "sympy"}),
        *((f"import lemmata.{room}.{family}", needed) for family in FAMILIES for room, needed in ROOMS.items()),
    ],
)
def test_an_import_loads_what_it_needs(code, allowed):
    assert loaded(code) & HEAVY <= allowed


def test_importing_everything_leaves_no_second_copy():
    """From the root, where the bare names can be imported too."""
    names = loaded("\n".join(f"import {name}" for name in MODULES), cwd=ROOT)
    assert not names & {*PARTS, "lemmata.src", "src"}
    assert set(MODULES) <= names


def test_every_module_is_walked():
    files = {
        ".".join((name, *path.relative_to(ROOT / folder).with_suffix("").parts)).removesuffix(".__init__")
        for name, folder in MAPPED.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    assert set(MODULES) == files - {"lemmata.__main__"}
    assert len(MODULES) >= 30


def test_every_family_has_its_entry_points():
    """A family that no entry point names is never run and never drawn."""
    points = PROJECT["project"]["entry-points"]
    for group, room, attribute in (
        ("lemmata.experiments", "experiments", "EXPERIMENTS"),
        ("lemmata.figures", "paper_figures", "FIGURES"),
    ):
        package = f"lemmata.{room}"
        folder = [p for name, p in MAPPED.items() if name == package] or [f"src/lemmata/{room}"]
        families = {found.name for found in pkgutil.iter_modules([str(ROOT / folder[0])])}
        assert points[group] == {family: f"{package}.{family}:{attribute}" for family in families}
        for family in families:
            assert getattr(importlib.import_module(f"{package}.{family}"), attribute)


# -------------------------------------------------------------------------------------------- docstrings


def undocumented(name, value):
    """Names of what lacks a docstring of its own, the public methods of a class included."""
    if inspect.isclass(value):
        own = vars(value).get("__doc__") or ""
        if not own or own.startswith((f"{value.__name__}(", "An enumeration")):  # written by dataclass or enum
            yield name
        for method, attribute in vars(value).items():
            function = getattr(attribute, "func", None) or getattr(attribute, "fget", None) or attribute
            function = getattr(function, "__func__", function)
            if not method.startswith("_") and inspect.isfunction(function) and not inspect.getdoc(function):
                yield f"{name}.{method}"
        return
    function = getattr(value, "py_func", getattr(value, "fn", value))  # what numba and triton wrap
    if inspect.isfunction(function) and not inspect.getdoc(function):
        yield name


def test_every_public_name_has_a_docstring():
    count, missing = 0, []
    for name in MODULES:
        module = importlib.import_module(name)
        if not (module.__doc__ or "").strip():
            missing.append(name)
        for public in getattr(module, "__all__", ()):
            count += 1
            missing += undocumented(f"{name}.{public}", getattr(module, public))
    assert not missing
    assert count >= 150


def test_every_public_name_is_announced():
    """A module with code says in __all__ what is public; a package that gathers its modules need not."""
    silent = [
        name
        for name in MODULES
        if not hasattr(module := importlib.import_module(name), "__all__")
        and not hasattr(module, "__path__")
        and not name.rpartition(".")[2].startswith("_")
    ]
    assert not silent


# ------------------------------------------------------------------------------------ wheel and source archive


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the project, so that building leaves nothing in it."""
    copy = tmp_path_factory.mktemp("tree") / "lemmata"
    unwanted = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "figures", "*.nb[ic]")
    shutil.copytree(ROOT, copy, ignore=unwanted)
    # what a build must leave out
    (copy / "sims" / "__pycache__").mkdir()
    (copy / "sims" / "__pycache__" / "iterations.py311.nbi").touch()
    return copy


def build(*command, cwd):
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run([sys.executable, "-m", *command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def wheel_of(source, out):
    build("pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(out), str(source), cwd=out)
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tree, tmp_path_factory):
    return wheel_of(tree, tmp_path_factory.mktemp("wheel"))


def contents(wheel):
    """Files of a wheel, without its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_every_module_and_nothing_else(wheel):
    data = {"lemmata/py.typed"}
    data |= {f"lemmata/paper_figures/{style.name}" for style in (ROOT / "paper_figures").glob("*.mplstyle")}
    assert len(data) >= 2
    modules = {
        f"{name.replace('.', '/')}/{path.relative_to(ROOT / folder).as_posix()}"
        for name, folder in MAPPED.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    assert len(modules) >= 30
    assert contents(wheel) == modules | data


def test_every_folder_of_modules_is_a_package(wheel):
    """Without its __init__ a folder is importable in an editable install and missing from the wheel."""
    for folder in MAPPED.values():
        for path in (ROOT / folder).rglob("*.py"):
            assert (path.parent / "__init__.py").exists(), path


def test_the_metadata_of_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        metadata = email.message_from_bytes(archive.read(f"{folder}/METADATA"))
        points = archive.read(f"{folder}/entry_points.txt").decode()
        licences = [name for name in archive.namelist() if name.endswith("LICENSE")]
    assert metadata["Version"] == lemmata.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert licences
    assert metadata.get_payload().strip()  # the README
    assert "lemmata = lemmata.cli:main" in points
    assert "halpern = lemmata.experiments.halpern:EXPERIMENTS" in points
    light = [r for r in metadata.get_all("Requires-Dist") if "extra ==" not in r]
    assert not any(r.startswith(("torch", "matplotlib", "cvxpy", "triton")) for r in light)


def test_the_source_archive_builds_the_same_wheel(tree, wheel, tmp_path):
    build("build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), str(tree), cwd=tmp_path)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
        opened.extractall(tmp_path / "source", filter="data")
    assert {"README.md", "LICENSE", "pyproject.toml", "setup.py", "tests/conftest.py"} <= names
    assert {f"tests/{path.name}" for path in (ROOT / "tests").glob("test_*.py")} <= names
    assert not [name for name in names if name.endswith((".nbi", ".nbc", ".pyc"))]
    (source,) = (tmp_path / "source").iterdir()
    out = tmp_path / "out"
    out.mkdir()
    assert contents(wheel_of(source, out)) == contents(wheel)


def test_the_wheel_runs_and_no_folder_of_the_root_shadows_it(wheel, tmp_path):
    options = ["--quiet", "--no-deps", "--no-index", "--target", str(tmp_path)]
    build("pip", "install", *options, str(wheel), cwd=tmp_path)
    code = (
        "import lemmata, lemmata.theory.halpern, lemmata.sims, lemmata.kernels, lemmata.paper_figures as p\n"
        "files = [m.__file__ for m in (lemmata, lemmata.theory.halpern, lemmata.sims, lemmata.kernels, p)]\n"
        "print('\\n'.join(files)); print(lemmata.verify('halpern/residual-tight', backend='kernels').status)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    *files, status = done.stdout.splitlines()
    assert all(Path(file).is_relative_to(tmp_path) for file in files)
    assert status == "holds"
