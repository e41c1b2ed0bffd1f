"""The command line: ``lemmata list | show | verify | figure``.

Results go to stdout, progress and messages to stderr. Exit codes of ``verify``: 0 all hold; 4 an experiment raised; 1
something violated or a saboteur not caught; 3 something inconclusive; 2 usage; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from lemmata import __version__
from lemmata.errors import LemmataError, UnknownName

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from lemmata.claims import Claim, Row

__all__ = ["app", "exit_code", "main"]

USAGE, INTERRUPTED = 2, 130


class _Group(TyperGroup):
    """Errors of use are one line on stderr with exit code 2; Ctrl-C is 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except LemmataError as error:
            typer.echo(f"lemmata: {error}", err=True)
            raise typer.Exit(USAGE if isinstance(error, (UnknownName, ValueError)) else 1) from None


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Theorems you can run: list them, look at one, verify it, draw the figures of its paper.",
)


class BackendName(StrEnum):
    sims = "sims"
    kernels = "kernels"
    triton = "triton"


class BudgetName(StrEnum):
    quick = "quick"
    full = "full"


class DtypeName(StrEnum):
    float64 = "float64"
    float32 = "float32"


def exit_code(rows: Sequence[Row]) -> int:
    """4, 1 or 3 where some row is an error, is violated (or let a saboteur pass), is inconclusive; else 0."""
    statuses = {row.status for row in rows}
    if "error" in statuses or any(row.sabotage == "error" for row in rows):
        return 4
    if "violated" in statuses or any(row.sabotage not in (None, "violated") for row in rows):
        return 1
    return 3 if "inconclusive" in statuses else 0


def _console(stderr: bool = False) -> Console:
    from rich.console import Console

    # a pipe or file gets whole lines; a terminal gets its own width
    return Console(stderr=stderr, highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)


def _usage(message: str) -> NoReturn:
    typer.echo(f"lemmata: {message}", err=True)
    raise typer.Exit(USAGE)


def _progress() -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(bar_width=24), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    text = TextColumn("{task.description}", markup=False)
    # rich would send what goes to stdout to the terminal of the progress bar
    return Progress(*columns, text, console=_console(stderr=True), transient=True, redirect_stdout=False)


# ------------------------------------------------------------------------------------------------ list


def _claims(names: Sequence[str]) -> list[Claim]:
    from lemmata import registry

    found = {e.claim.id: e.claim for name in names or registry.families() for e in registry.experiments(name)}
    return list(found.values())


@app.command("list")
def list_claims(family: Annotated[str | None, typer.Argument(help="A family, such as halpern.")] = None) -> None:
    """Every claim: id, kind, formula, standing and source."""
    from rich.markup import escape

    console = _console()
    for claim in _claims([family] if family else []):
        console.print(f"[bold]{claim.id}[/bold]  {claim.kind}, {claim.standing}, {escape(str(claim.source))}")
        console.print(f"    {claim.formula()}", markup=False)


@app.command()
def show(claim: Annotated[str, typer.Argument(help="A claim, such as halpern/residual.")]) -> None:
    """One claim: statement, assumptions, source, hard problem, experiments and saboteurs."""
    from rich.markup import escape

    from lemmata import registry

    experiments = registry.experiments(claim)
    if "/" not in claim:
        _usage(f"show takes one claim, such as {experiments[0].claim.id}; {claim} is a family: lemmata list {claim}")
    subject = experiments[0].claim
    console = _console()

    def section(title: str, *lines: str) -> None:
        console.print(f"\n[bold]{escape(title)}[/bold]")
        for line in lines:
            console.print(f"  {line}", markup=False)

    console.print(f"[bold]{subject.id}[/bold]  {subject.kind}, {subject.standing}, constant {subject.constant}")
    section("Statement", *([subject.statement] if subject.statement else []), subject.formula())
    if subject.symbols:
        section("Symbols", *(f"{name}: {meaning}" for name, meaning in subject.symbols.items()))
    if subject.assumptions:
        section("Assumptions", *(a.text + ("" if a.broken_by else " (not checked)") for a in subject.assumptions))
    section("Source", str(subject.source), *subject.cite().splitlines())
    if subject.hard_problem:
        section("Hard problem", subject.hard_problem)
    for experiment in experiments:
        lines = [f"backends: {', '.join(experiment.backends)}"]
        lines += [f"saboteur: {saboteur.name}" for saboteur in experiment.saboteurs]
        if experiment.protocol:
            lines.append(f"your own: {experiment.protocol}")
        section(f"Experiment on {experiment.instance}", *lines)


# ---------------------------------------------------------------------------------------------- verify

_STYLE = {"holds": "green", "demonstrated": "green", "violated": "red", "inconclusive": "yellow", "error": "magenta"}


def _table(rows: Sequence[Row]) -> None:
    from rich.markup import escape
    from rich.table import Table

    console = _console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head, justify, fixed in (
        ("claim", "left", True),
        ("instance", "left", False),
        ("verdict", "left", True),
        ("ratio", "right", True),
        ("saboteurs", "right", True),
        ("s", "right", True),
    ):
        table.add_column(head, justify=justify, no_wrap=fixed)  # type: ignore[arg-type]
    for row in rows:
        caught = sum(s.status == "violated" for s in row.saboteurs)
        colour = "green" if caught == len(row.saboteurs) else "red"
        style = _STYLE[row.status]
        table.add_row(
            row.claim,
            escape(row.instance),
            f"[{style}]{row.status}{' ~' if row.approximate else ''}[/{style}]",
            "" if row.ratio is None else f"{row.ratio:.6f}",
            f"[{colour}]{caught}/{len(row.saboteurs)}[/{colour}]" if row.saboteurs else "none",
            f"{row.seconds:.1f}",
        )
    console.print(table)
    for row in rows:
        if row.reason and row.status != "holds":
            console.print(f"{row.claim} on {row.instance}: {row.status}: {row.reason}", markup=False)
        for saboteur in row.saboteurs:
            if saboteur.status != "violated":
                console.print(
                    f"{row.claim} on {row.instance}: saboteur not caught: {saboteur.name}: {saboteur.status}"
                    + (f" ({saboteur.reason})" if saboteur.reason else ""),
                    markup=False,
                )
    good = sum(row.status in ("holds", "demonstrated") for row in rows)
    sabotaged = [row for row in rows if row.saboteurs]
    whole = sum(row.sabotage == "violated" for row in sabotaged)
    console.print(f"{good} of {len(rows)} hold; every saboteur caught in {whole} of {len(sabotaged)}.")
    console.print("ratio: measured over claimed, at the worst point; saboteurs: caught of tried.")
    if any(row.approximate for row in rows):
        console.print("~ rests on an approximate (Student t or bootstrap) interval.")


@app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Claims or families; every family by default.")] = None,
    budget: Annotated[BudgetName, typer.Option(help="How much work: quick or full.")] = BudgetName.quick,
    backend: Annotated[BackendName, typer.Option(help="Numba, PyTorch or Triton.")] = BackendName.sims,
    device: Annotated[str | None, typer.Option(help="Torch device; the GPU where there is one.")] = None,
    dtype: Annotated[DtypeName, typer.Option(help="Arithmetic.")] = DtypeName.float64,
    seed: Annotated[int, typer.Option(help="Seed of every random draw.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")] = False,
) -> None:
    """Run the experiments of some claims and print the verdicts."""
    from lemmata.random import check_seed
    from lemmata.verification import Experiment, Setup, choose, rows

    setup = Setup(backend.value, _device(backend, device), dtype.value, budget.value, check_seed(seed))
    selected, left_out = choose(names or [], setup.backend)
    if not selected:
        runs = sorted({b for e in left_out for b in e.backends})
        _usage(f"nothing to run on {setup.backend}; {', '.join(names or ['what there is'])} runs on {', '.join(runs)}")
    done: list[Row] = []
    out = sys.stdout
    # an experiment that prints must not come between the lines of JSON
    quiet = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
    with quiet, _progress() as bar:
        task = bar.add_task("", total=len(selected))

        def tell(experiment: Experiment, i: int) -> None:
            bar.update(task, completed=i, description=f"{experiment.claim.id} on {experiment.instance}")

        try:
            for row in rows(selected, setup, progress=tell):
                done.append(row)
                if as_json:
                    typer.echo(json.dumps(row.to_json(), allow_nan=False), file=out)
        except KeyboardInterrupt:  # what is done is shown all the same
            bar.stop()
            if not as_json:
                _table(done)
            raise
    if not as_json:
        _table(done)
    ids = ", ".join(sorted({e.claim.id for e in left_out} - {row.claim for row in done}))
    if ids:
        typer.echo(f"not run on {setup.backend}: {ids}", err=True)
    raise typer.Exit(exit_code(done))


def _device(backend: BackendName, device: str | None) -> str:
    if backend is BackendName.sims:
        if device not in (None, "cpu"):
            _usage(f"the sims backend runs on the cpu, not on {device!r}: use --backend kernels")
        return "cpu"
    from lemmata.verification import check_device

    try:
        import torch

        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        check_device(chosen)
    except ImportError:
        _usage("this backend needs PyTorch: pip install 'lemmata[kernels]' (the README says which torch)")
    return chosen


# ---------------------------------------------------------------------------------------------- figure


@app.command()
def figure(
    names: Annotated[list[str] | None, typer.Argument(help="Figures, such as halpern/matrix-game.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the figures and stop.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("figures"),
    budget: Annotated[BudgetName, typer.Option(help="How much work: quick or full.")] = BudgetName.quick,
    seed: Annotated[int, typer.Option(help="Seed of every random draw.")] = 0,
) -> None:
    """Draw figures: simulate into a saved dataset, then draw from it (PDF, PNG, CSV, provenance JSON)."""
    from lemmata import figures, registry

    known = figures.available()
    if list_:
        for name, fig in known.items():
            typer.echo(f"{name}  {fig.title}")
        return
    if not names:
        _usage(f"name a figure ({', '.join(known)}), or --list")
    for name in names:
        if name not in known:  # before any work
            raise UnknownName(registry.nearest(name, list(known), "figure"))
    failed = False
    for name in names:
        with _progress() as bar:
            task = bar.add_task(name, total=1.0)

            def tell(fraction: float, text: str, task: Any = task, name: str = name, bar: Any = bar) -> None:
                bar.update(task, completed=fraction, description=f"{name}: {text}")

            try:
                made = figures.make(name, out, budget=budget.value, seed=seed, progress=tell)
            except ImportError as error:  # matplotlib, or what the simulation needs
                _usage(str(error))
            except figures.CheckFailed as error:  # the files are there, so that one can look
                typer.echo(f"lemmata: {error}", err=True)
                made, failed = error.made, True
        typer.echo(f"{name}: {made.caption}")
        for path in made.paths.values():
            typer.echo(f"  {path}")
    if failed:
        raise typer.Exit(1)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        typer.echo(f"lemmata {__version__}")
        raise typer.Exit()


def main() -> None:
    """Entry point of the ``lemmata`` command."""
    app()
