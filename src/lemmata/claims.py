"""The vocabulary: a claim, its source and assumptions, and the verdict on it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, get_args

import numpy as np
import sympy as sp

from lemmata.errors import AssumptionError, DomainError
from lemmata.typing import Constant, Direction, Kind, Order, Standing, Status

__all__ = ["Assumption", "Claim", "Row", "SaboteurResult", "Source", "Verdict", "worst"]


@dataclass(frozen=True)
class Source:
    """Where a statement is proved.

    Attributes
    ----------
    key : str
        BibTeX key, for instance ``lieder2021``.
    authors, title, venue : str
        As printed; authors are joined by `` and ``.
    year : int
    theorem : str
        Number of the theorem, corollary or equation.
    doi, arxiv : str
        Identifiers, empty where there is none.
    """

    key: str
    authors: str
    title: str
    venue: str
    year: int
    theorem: str = ""
    doi: str = ""
    arxiv: str = ""

    def __str__(self) -> str:
        first, *others = self.authors.split(" and ")
        name = first.split(",")[0]
        if len(others) == 1:
            name += " and " + others[0].split(",")[0]
        elif others:
            name += " et al."
        return f"{name} ({self.year})" + (f", {self.theorem}" if self.theorem else "")

    def bibtex(self) -> str:
        """The BibTeX entry."""
        fields = {
            "author": self.authors,
            "title": f"{{{self.title}}}",
            "journal": self.venue,
            "year": str(self.year),
            "doi": self.doi,
            "eprint": self.arxiv,
            "note": self.theorem,
        }
        body = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items() if value)
        return f"@article{{{self.key},\n{body}\n}}"


@dataclass(frozen=True)
class Assumption:
    """A condition under which a claim is made.

    Attributes
    ----------
    text : str
        The condition in words: "T is nonexpansive".
    broken_by : callable or None
        ``broken_by(problem)`` returns None where the problem satisfies the condition, else the words that
        say what breaks it, with the number: "T is expansive: Lipschitz constant 1.03 > 1". None where no
        number could decide.
    """

    text: str
    broken_by: Callable[[Any], str | None] | None = None


@dataclass(frozen=True, eq=False)
class Claim:
    """An analytic statement that an experiment could refute.

    Attributes
    ----------
    id : str
        ``family/kebab-case``.
    kind : str
        One of identity, bound, mean-bound, mean-identity, tail-bound, rate, limit, demonstration.
    quantity : str
        What is measured, with its unit where it has one: ``"residual ||x_k - T x_k||"``.
    expression : sympy.Expr
        What the quantity is compared with (for a rate: the law, constants apart).
    symbols : mapping of str to str
        Meaning of each free symbol of `expression`; their names are the keywords of a call.
    assumptions : tuple of Assumption
    source : Source
    direction : {"upper", "lower", "tight"}
        Side of a bound; "tight" asks for equality on the hard problem too.
    standing : {"derived", "checked", "quoted"}
        Proved here, checked numerically here, or taken from the source. What would be ``violated`` on a
        quoted claim is reported ``inconclusive``.
    constant : {"finite", "asymptotic", "order-only"}
        Only a finite constant is compared pointwise.
    tolerance : float or None
        identity: relative (default 1e-9); mean-identity and limit: absolute; rate: half-width of the band
        of exponents (default .05); bound: rounding allowance (default 1e-9).
    exponent : float or None
        p of a rate or limit ``x^-p``.
    logs : float
        Power of ``log x`` divided out of the measured quantity before the slope is fitted.
    order : {"Theta", "O"}
        Whether a rate is two-sided or only an upper bound on the growth.
    delta : float or None
        Failure probability of a tail bound.
    hard_problem : str
        The problem on which the statement is met with equality, in words.
    """

    id: str
    kind: Kind
    quantity: str
    expression: sp.Expr
    symbols: Mapping[str, str]
    assumptions: tuple[Assumption, ...]
    source: Source
    direction: Direction = "upper"
    standing: Standing = "derived"
    constant: Constant = "finite"
    tolerance: float | None = None
    exponent: float | None = None
    logs: float = 0.0
    order: Order = "Theta"
    delta: float | None = None
    hard_problem: str = ""
    statement: str = ""

    def __post_init__(self) -> None:
        for name, words in (
            ("kind", Kind),
            ("direction", Direction),
            ("standing", Standing),
            ("constant", Constant),
            ("order", Order),
        ):
            if getattr(self, name) not in get_args(words):
                raise DomainError(f"{self.id}: {name} must be one of {get_args(words)}, got {getattr(self, name)!r}")
        if not re.fullmatch(r"[a-z0-9_-]+/[a-z0-9]+(-[a-z0-9]+)*", self.id):
            raise DomainError(f"a claim id is family/kebab-case, got {self.id!r}")
        unexplained = {str(s) for s in self.expression.free_symbols} - set(self.symbols)
        if unexplained:
            raise DomainError(f"{self.id}: symbols without a meaning: {sorted(unexplained)}")
        if self.kind in ("rate", "limit") and self.exponent is None:
            raise DomainError(f"{self.id}: a {self.kind} needs its exponent")
        if self.kind == "limit" and self.tolerance is None:
            raise DomainError(f"{self.id}: a limit needs the tolerance that it must meet at the largest size")
        if self.kind == "mean-identity" and self.tolerance is None:
            raise DomainError(f"{self.id}: a mean-identity needs an absolute tolerance")
        if self.kind == "tail-bound" and not (self.delta is not None and 0 < self.delta < 1):
            raise DomainError(f"{self.id}: a tail-bound needs delta in (0, 1), got {self.delta!r}")
        if self.kind in ("mean-bound", "tail-bound") and self.direction == "tight":
            raise DomainError(f"{self.id}: only a bound can be tight, not a {self.kind}")
        if self.tolerance is not None and not 0 < self.tolerance < math.inf:  # a NaN would pass everything
            raise DomainError(f"{self.id}: tolerance must be positive and finite, got {self.tolerance!r}")
        if self.exponent is not None and not math.isfinite(self.exponent):
            raise DomainError(f"{self.id}: exponent must be finite, got {self.exponent!r}")
        if self.kind in ("bound", "mean-bound", "tail-bound") and self.constant != "finite":
            raise DomainError(f"{self.id}: only a finite constant can be compared pointwise, got {self.constant!r}")

    @property
    def family(self) -> str:
        """First part of the id."""
        return self.id.partition("/")[0]

    @cached_property
    def _function(self) -> Callable[..., Any]:
        # lambdify prints max and Piecewise as numpy functions: arrays in, arrays out
        return sp.lambdify([sp.Symbol(n) for n in self.symbols], self._plain, modules="numpy")

    @cached_property
    def _plain(self) -> sp.Expr:
        # assumptions on symbols (positive, integer) serve simplification, not the names of arguments
        return self.expression.subs({s: sp.Symbol(s.name) for s in self.expression.free_symbols})

    def __call__(self, **values: Any) -> np.ndarray:
        """Evaluate the expression on arrays.

        Parameters
        ----------
        **values : array_like
            One value for each name in `symbols`; they broadcast against one another.

        Returns
        -------
        numpy.ndarray
            float64, of the broadcast shape.

        Raises
        ------
        TypeError
            Where a symbol has no value or a value has no symbol.
        DomainError
            Where the expression is not a number at some of the values.
        """
        missing, unknown = set(self.symbols) - set(values), set(values) - set(self.symbols)
        if missing or unknown:
            raise TypeError(
                f"{self.id} takes {', '.join(self.symbols)}"
                + (f"; missing {sorted(missing)}" if missing else "")
                + (f"; unknown {sorted(unknown)}" if unknown else "")
            )
        arrays = np.broadcast_arrays(*(np.asarray(values[n], dtype=np.float64) for n in self.symbols))
        with np.errstate(all="ignore"):  # the unused branch of a Piecewise may overflow
            result = self._function(*arrays)
        shape = arrays[0].shape if arrays else ()
        result = np.broadcast_to(np.asarray(result, dtype=np.float64), shape).copy()
        if np.isnan(result).any():
            where = np.unravel_index(int(np.isnan(result).argmax()), shape)
            at = {n: float(a[where]) for n, a in zip(self.symbols, arrays, strict=True)}
            raise DomainError(f"{self.id} has no value at {at}")
        return result

    def latex(self) -> str:
        """The statement's right-hand side in LaTeX."""
        return sp.latex(self.expression)

    def formula(self) -> str:
        """One line of unicode: the quantity, the relation and the expression."""
        right = _line(self.expression)
        if self.kind == "tail-bound":
            sign = "<" if self.direction == "lower" else ">"
            return f"P({self.quantity} {sign} {right}) ≤ {self.delta:g}"
        if self.kind == "rate":
            right = f"{'Θ' if self.order == 'Theta' else 'O'}({right})"
        sign = {"limit": "→", "demonstration": "≥"}.get(self.kind, "=")
        if self.kind in ("bound", "mean-bound"):
            sign = {"upper": "≤", "lower": "≥", "tight": "="}[self.direction]
        mean = "E " if self.kind in ("mean-bound", "mean-identity") else ""
        return f"{mean}{self.quantity} {sign} {right}"

    def cite(self) -> str:
        """BibTeX of the source."""
        return self.source.bibtex()

    def check(self, problem: Any) -> None:
        """Raise `AssumptionError` with the number that breaks an assumption on `problem`."""
        for assumption in self.assumptions:
            broken = assumption.broken_by(problem) if assumption.broken_by else None
            if broken:
                raise AssumptionError(f"{self.id} assumes that {assumption.text}: {broken}")

    def __repr__(self) -> str:
        return f"<Claim {self.id}: {self.formula()} [{self.standing}, {self.source}]>"


def _line(expression: sp.Expr) -> str:
    if isinstance(expression, sp.Piecewise):
        branches = [
            _line(value) + ("" if condition == sp.true else f" if {_line(condition)}")
            for value, condition in expression.args
        ]
        return ", else ".join(branches)
    return sp.sstr(expression).replace("**", "^").replace("*", "·").replace("<=", "≤").replace(">=", "≥")


# -------------------------------------------------------------------------------------------- verdicts

_RANK: dict[str, int] = {"holds": 0, "demonstrated": 0, "inconclusive": 1, "violated": 2, "error": 3}


def worst(statuses: Any) -> Status:
    """The gravest of some statuses: error, then violated, then inconclusive, then the rest."""
    return max(statuses, key=_RANK.__getitem__)


@dataclass(frozen=True)
class SaboteurResult:
    """What became of one saboteur: it must be ``violated``."""

    name: str
    status: Status
    ratio: float | None
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """The verdict on one claim on one instance; `to_json` is a line of ``lemmata verify --json``.

    Attributes
    ----------
    at : dict
        Coordinates (step, instance, ...) of the worst point.
    theory, measured, ratio : float or None
        At the worst point. For an identity, `ratio` is the error over its tolerance; for a rate, the fitted
        exponent over the claimed one.
    ci : tuple of float or None
        Confidence interval of the measured mean, probability or exponent, at error probability `level`.
    sabotage : str or None
        Worst outcome over the saboteurs: "violated" when every one was caught.
    sabotage_ratio : float or None
        Ratio of the saboteur that came closest to slipping through.
    """

    claim: str
    family: str
    kind: Kind
    standing: Standing
    source: str
    instance: str
    quantity: str
    status: Status
    reason: str = ""
    at: dict[str, Any] = field(default_factory=dict)
    theory: float | None = None
    measured: float | None = None
    ratio: float | None = None
    ci: tuple[float, float] | None = None
    level: float | None = None
    approximate: bool = False
    tolerance: float | None = None
    sabotage: Status | None = None
    sabotage_ratio: float | None = None
    replicates: int = 1
    seconds: float = 0.0
    backend: str = "sims"
    device: str = "cpu"
    dtype: str = "float64"
    seed: int = 0
    budget: str = "quick"
    saboteurs: tuple[SaboteurResult, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The row as plain data: no NaN or infinity, None where there is no value."""
        order = [
            "claim",
            "family",
            "kind",
            "standing",
            "source",
            "instance",
            "quantity",
            "at",
            "theory",
            "measured",
            "ratio",
            "ci",
            "level",
            "approximate",
            "tolerance",
            "status",
            "reason",
            "sabotage",
            "sabotage_ratio",
            "replicates",
            "seconds",
            "backend",
            "device",
            "dtype",
            "seed",
            "budget",
        ]
        row = asdict(self)
        return {"schema": 1} | {name: _plain_json(row[name]) for name in order}


def _plain_json(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _plain_json(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain_json(v) for v in value]
    return value


@dataclass(frozen=True)
class Verdict:
    """The verdict on one claim: its rows, one an instance, and the worst of them.

    Attributes
    ----------
    claim : Claim
    rows : tuple of Row
    """

    claim: Claim
    rows: tuple[Row, ...]

    @property
    def status(self) -> Status:
        """The gravest status of the rows."""
        return worst(row.status for row in self.rows)

    @property
    def decisive(self) -> Row:
        """The row that decides: gravest status, then largest distance of the ratio from what is safe."""

        def danger(row: Row) -> float:
            if row.ratio is None:
                return -math.inf
            return {"upper": row.ratio, "lower": -row.ratio, "tight": abs(row.ratio - 1)}[self.claim.direction]

        return max(self.rows, key=lambda row: (_RANK[row.status], danger(row)))

    @property
    def ratio(self) -> float | None:
        """Ratio of the decisive row."""
        return self.decisive.ratio

    @property
    def caught(self) -> bool:
        """Whether every saboteur of every row came out ``violated``."""
        return all(row.sabotage in (None, "violated") for row in self.rows)

    def __str__(self) -> str:
        lines = [f"{self.claim.id}: {self.status}"]
        for row in self.rows:
            ratio = "" if row.ratio is None else f", ratio {row.ratio:.6g}"
            at = " at " + ", ".join(f"{k}={v}" for k, v in row.at.items()) if row.at else ""
            lines.append(f"  {row.instance}: {row.status}{ratio}{at}{'; ' + row.reason if row.reason else ''}")
        return "\n".join(lines)
