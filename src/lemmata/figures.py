"""The mechanism behind every paper figure: simulate into a saved dataset, then draw from it.

Figures are found through the entry-point group ``lemmata.figures``; any installed package can add its own. matplotlib
is imported when a figure is drawn, and its global figure state (pyplot) is never touched.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import inspect
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from lemmata import __version__
from lemmata.errors import DomainError, LemmataError, UnknownName
from lemmata.random import check_seed
from lemmata.registry import nearest
from lemmata.typing import Budget

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

__all__ = [
    "DOUBLE_COLUMN",
    "SINGLE_COLUMN",
    "Check",
    "CheckFailed",
    "Figure",
    "Made",
    "available",
    "canvas",
    "make",
    "measured",
    "theory",
]

GROUP = "lemmata.figures"
#: matplotlib finds ``lemmata.mplstyle`` in the package by this name
STYLE = "lemmata.paper_figures.lemmata"
#: widths of a figure in inches
SINGLE_COLUMN, DOUBLE_COLUMN = 3.25, 6.75
#: markers on a measured curve
MARKERS = 16

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Check:
    """One thing that the picture is said to show.

    Attributes
    ----------
    text : str
        The statement, in words: "the residual never exceeds its bound".
    passed : bool
        A NaN never passes.
    number : float
        The number that decides it.
    """

    text: str
    passed: bool
    number: float

    def __post_init__(self) -> None:
        # numpy scalars come out of datasets, and JSON takes none
        object.__setattr__(self, "number", float(self.number))
        object.__setattr__(self, "passed", bool(self.passed) and not math.isnan(self.number))


@dataclass(frozen=True)
class Figure:
    """A figure of a paper.

    Attributes
    ----------
    name : str
        ``family/slug``.
    title : str
    simulate : callable
        ``simulate(budget, seed, progress) -> xarray.Dataset``; integers in it must fit in 32 bits, which is all that
        netCDF 3 holds. ``progress(fraction, text)`` may be called at any time.
    draw : callable
        ``draw(dataset) -> matplotlib.figure.Figure``, on a `canvas`. Lines with a label or a gid, axes with a title,
        make the CSV table.
    caption : callable
        ``caption(dataset) -> str``, with the numbers that a reader would ask for.
    check : callable
        ``check(dataset) -> sequence of Check``.
    """

    name: str
    title: str
    simulate: Callable[[Budget, int, Progress], xr.Dataset]
    draw: Callable[[xr.Dataset], Canvas]
    caption: Callable[[xr.Dataset], str]
    check: Callable[[xr.Dataset], Sequence[Check]]


@dataclass(frozen=True)
class Made:
    """What `make` wrote.

    Attributes
    ----------
    paths : dict of str to pathlib.Path
        Keys ``nc`` (the dataset), ``pdf``, ``png``, ``csv`` and ``json``.
    caption : str
    checks : tuple of Check
    seconds : float
        Wall time.
    reused : bool
        Whether the saved dataset was drawn again instead of simulated.
    """

    paths: dict[str, Path]
    caption: str
    checks: tuple[Check, ...]
    seconds: float
    reused: bool


class CheckFailed(LemmataError):
    """A figure no longer shows what it is said to show; its files are written, so that one can look.

    Attributes
    ----------
    made : Made
    """

    def __init__(self, message: str, made: Made) -> None:
        super().__init__(message)
        self.made = made


# ---------------------------------------------------------------------------------------------- finding


def available() -> dict[str, Figure]:
    """Every installed figure by its name, sorted."""
    figures = [figure for point in entry_points(group=GROUP) for figure in point.load()]
    return {figure.name: figure for figure in sorted(figures, key=lambda f: f.name)}


# --------------------------------------------------------------------------------------------- drawing


def canvas(
    rows: int = 1, columns: int = 1, *, width: float = SINGLE_COLUMN, height: float = 2.4, **options: Any
) -> tuple[Canvas, Any]:
    """A matplotlib figure that belongs to nobody else, and its axes.

    Parameters
    ----------
    rows, columns : int
    width, height : float
        In inches; `SINGLE_COLUMN` or `DOUBLE_COLUMN` wide.
    **options
        For ``matplotlib.figure.Figure.subplots``: ``sharey=True``, for instance.

    Returns
    -------
    matplotlib.figure.Figure
    matplotlib.axes.Axes or array of Axes
    """
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def measured(
    axes: Axes,
    x: Any,
    y: Any,
    label: str,
    *,
    color: str,
    marker: str = "o",
    filled: bool = True,
    band: tuple[Any, Any] | None = None,
) -> None:
    """Draw a measured curve: a thin line through every point, markers at log-spaced ones, the band of the replicates.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    x, y : array_like of shape (n,)
        x positive and increasing.
    label : str
    color, marker : str
    filled : bool
        Whether the markers are filled, to tell two curves of one colour apart.
    band : pair of array_like of shape (n,), optional
        Spread of the replicates; its edges are in the CSV table as ``label, low`` and ``label, high``.
    """
    x = np.asarray(x, dtype=np.float64)
    if band is not None:
        axes.fill_between(x, *band, color=color, alpha=0.25, linewidth=0)
        for edge, values in zip(("low", "high"), band, strict=True):
            axes.plot(x, values, color=color, linewidth=0.3, gid=f"{label}, {edge}")
    every = np.unique(np.searchsorted(x, np.geomspace(x[0], x[-1], MARKERS).clip(max=x[-1])))
    face = color if filled else "white"
    axes.plot(x, y, color=color, marker=marker, markerfacecolor=face, markevery=every, linewidth=0.7, label=label)


def theory(axes: Axes, x: Any, y: Any, label: str) -> None:
    """What theory says, dashed, over the measured points."""
    axes.plot(x, y, color="black", linestyle="--", zorder=3, label=label)


# ---------------------------------------------------------------------------------------------- making


def make(
    name: str | Figure,
    out: str | os.PathLike[str],
    *,
    budget: Budget = "quick",
    seed: int = 0,
    progress: Progress | None = None,
) -> Made:
    """Make a figure: simulate into a saved dataset, then draw from it.

    A dataset saved by the same code, libraries, budget and seed is drawn again without a simulation. Every file is
    moved into place when it is complete, so an interruption leaves none half written.

    Parameters
    ----------
    name : str or Figure
        Name of an installed figure, ``family/slug``, or a figure itself.
    out : path
        Folder; the files are ``family/slug.pdf``, ``.png``, ``.csv``, ``.json`` in it, beside the dataset, whose name
        carries budget and seed.
    budget : {"quick", "full"}
    seed : int
    progress : callable, optional
        ``progress(fraction, text)``.

    Returns
    -------
    Made

    Raises
    ------
    UnknownName
        Where no figure has this name; the message lists the nearest.
    DomainError
        Where the budget is unknown or the seed is not in its range, or `out` cannot be a folder.
    ImportError
        Where matplotlib is not installed.
    CheckFailed
        Where the picture does not show what it is said to show; the files are written before.
    """
    start = time.perf_counter()
    figure = name if isinstance(name, Figure) else _find(name)
    if budget not in get_args(Budget):
        raise DomainError(f"budget must be one of {get_args(Budget)}, got {budget!r}")
    seed = check_seed(seed)
    if find_spec("matplotlib") is None:
        raise ImportError("figures are drawn with matplotlib: pip install 'lemmata[figures]'")
    report = progress or (lambda fraction, text: None)
    base = Path(out) / figure.name
    try:
        base.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DomainError(f"out must be a folder that can be written to: {error}") from None
    paths = {kind: base.with_name(f"{base.name}.{kind}") for kind in ("pdf", "png", "csv", "json")}
    paths["nc"] = base.with_name(f"{base.name}-{budget}-seed{seed}.nc")

    provenance = _provenance(figure, budget, seed)
    dataset = _saved(paths["nc"], provenance)
    reused = dataset is not None
    if dataset is None:
        fresh = figure.simulate(budget, seed, lambda fraction, text: report(0.9 * fraction, text))
        fresh.attrs.update(provenance)
        _write({paths["nc"]: lambda path: fresh.to_netcdf(path, engine="scipy")})
        # drawn from the file in any case: what the second run draws is what the first one drew
        dataset = _load(paths["nc"])
    report(0.9, "drawing the saved dataset" if reused else "drawing")

    caption, checks = figure.caption(dataset), tuple(figure.check(dataset))
    record = {
        "title": figure.title,
        **provenance,
        "matplotlib": version("matplotlib"),
        "dataset": paths["nc"].name,
        "caption": caption,
        "checks": [asdict(c) | {"number": c.number if math.isfinite(c.number) else None} for c in checks],
    }
    _draw(figure, dataset, record, paths)
    report(1.0, "done")

    made = Made(paths, caption, checks, time.perf_counter() - start, reused)
    failed = [f"{c.text} (found {c.number:.6g})" for c in checks if not c.passed]
    if failed:
        raise CheckFailed(f"{figure.name} does not show what it should: " + "; ".join(failed), made)
    return made


def _find(name: str) -> Figure:
    figures = available()
    if name not in figures:
        raise UnknownName(nearest(name, list(figures), "figure"))
    return figures[name]


def _provenance(figure: Figure, budget: str, seed: int) -> dict[str, str]:
    libraries = {name: version(name) for name in ("numpy", "scipy", "numba", "xarray")}
    for name in ("torch", "cvxpy"):  # not every installation has them
        with contextlib.suppress(PackageNotFoundError):
            libraries[name] = version(name)
    return {
        "figure": figure.name,
        "budget": budget,
        "seed": str(seed),
        "source": _source_hash(figure),
        "lemmata": __version__,
        "python": platform.python_version(),
        **libraries,
    }


#: modules that the simulators of every family may draw from
_SHARED = ("random", "stats", "results", "verification", "sims._philox", "kernels._philox")


def _source_hash(figure: Figure) -> str:
    """SHA-256 of the code behind a dataset: the modules of `simulate`, the family's rooms, what these share."""
    function: Any = figure.simulate
    digest = hashlib.sha256()
    while isinstance(function, partial):
        digest.update(repr((function.args, sorted(function.keywords.items()))).encode())
        function = function.func
    files = [Path(inspect.getfile(function)), *_beside(function)]
    family = figure.name.partition("/")[0]
    rooms = [f"{room}.{family}" for room in ("problems", "theory", "sims", "kernels", "experiments")]
    for module in (*rooms, *_SHARED):
        spec = find_spec(f"lemmata.{module}")
        if spec is not None and spec.submodule_search_locations:
            files += sorted(path for folder in spec.submodule_search_locations for path in Path(folder).rglob("*.py"))
        elif spec is not None and spec.origin:
            files.append(Path(spec.origin))
    for path in files:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _beside(function: Any) -> list[Path]:
    """Files of the modules in `function`'s package that its own module imports from, directly or through another."""
    package = function.__module__.rpartition(".")[0] + "."
    names = [function.__module__]
    for name in names:  # grows on the way
        for value in list(vars(sys.modules[name]).values()):
            other = getattr(value, "__name__" if inspect.ismodule(value) else "__module__", None)
            if isinstance(other, str) and other.startswith(package) and other in sys.modules and other not in names:
                names.append(other)
    return sorted(Path(inspect.getfile(sys.modules[name])) for name in names[1:])


def _load(path: Path) -> xr.Dataset:
    import xarray as xr

    dataset = xr.load_dataset(path, engine="scipy")
    # netCDF 3 narrows integers to 32 bits, in which k (k + 1) overflows at k = 46,341
    narrow = {name: variable for name, variable in dataset.variables.items() if variable.dtype == np.int32}
    return dataset.assign({name: (v.dims, v.values.astype(np.int64), v.attrs) for name, v in narrow.items()})


def _saved(path: Path, provenance: Mapping[str, str]) -> xr.Dataset | None:
    """The saved dataset, or None where there is none, where it is damaged or where it comes from something else."""
    try:
        dataset = _load(path)
    except Exception:  # whatever a damaged file makes the reader raise, a new simulation puts it right
        return None
    return dataset if all(dataset.attrs.get(key) == value for key, value in provenance.items()) else None


def _draw(figure: Figure, dataset: xr.Dataset, record: Mapping[str, Any], paths: Mapping[str, Path]) -> None:
    from matplotlib import style

    with style.context(STYLE):
        picture = figure.draw(dataset)
        # without dates the same drawing gives the same bytes
        pdf = {"Title": figure.title, "Creator": f"lemmata {__version__}", "CreationDate": None}
        png = {"Title": figure.title, "Software": f"lemmata {__version__}"}
        _write(
            {
                paths["pdf"]: lambda path: picture.savefig(path, format="pdf", metadata=pdf),
                paths["png"]: lambda path: picture.savefig(path, format="png", metadata=png),
                paths["csv"]: lambda path: _write_table(picture, path),
                paths["json"]: lambda path: _write_json(record, path),
            }
        )


def _write_table(picture: Canvas, path: Path) -> None:
    """Every labelled line of the picture, one point a row: panel, series, x, y."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["panel", "series", "x", "y"])
        for axes in picture.axes:
            for line in axes.lines:
                series = line.get_gid() or str(line.get_label())
                if not series.startswith("_"):
                    panel = axes.get_title(loc="left")
                    points = np.asarray(line.get_xydata(), dtype=np.float64).tolist()
                    table.writerows((panel, series, repr(x), repr(y)) for x, y in points)


def _write_json(record: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _write(files: Mapping[Path, Callable[[Path], Any]]) -> None:
    """Write every file under a temporary name in its own folder, then move all of them into place."""
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in files}
    try:
        for path, save in files.items():
            save(temporary[path])
        for path, complete in temporary.items():
            os.replace(complete, path)
    finally:
        for leftover in temporary.values():
            leftover.unlink(missing_ok=True)
