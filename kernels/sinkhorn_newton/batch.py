"""A batch of transport problems on a device: checked, reduced, and one row or column update of all of them.

Whether the data are sound is computed on the device and looked at once. Where they are not, the item goes to
`lemmata.problems.sinkhorn_newton.TransportProblem`, which says what is wrong in the words of `lemmata.sims`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from lemmata.errors import DomainError, LemmataError, NonFiniteError, ShapeError
from lemmata.problems.sinkhorn_newton import MASS_TOLERANCE, TransportProblem, check_masses

__all__ = [
    "MASSES",
    "Batch",
    "Data",
    "batch_size",
    "check",
    "check_float32",
    "check_masses_of_items",
    "check_potential",
    "check_tensor",
    "reduce",
]

#: Relative difference of the total masses that is rounding and not a mistake.
MASSES = {torch.float64: MASS_TOLERANCE, torch.float32: 1e-5}


def check_tensor(name: str, value: Any, *ndims: int, allow_infinite: bool = False) -> Tensor:
    """`value`, a real tensor with one of these numbers of axes, none of them empty; integers are cast to float64.

    Raises
    ------
    TypeError
        Not a tensor, or not of real numbers.
    ShapeError
    NonFiniteError
        NaN, -inf, or +inf where it may not stand; waits for the device.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}; lemmata.sims takes numpy arrays")
    if value.is_complex() or value.dtype == torch.bool:
        raise TypeError(f"{name} must hold real numbers, got dtype {value.dtype}")
    if value.ndim not in ndims or value.numel() == 0:
        more = "".join(f", or {k} for a batch" for k in ndims[1:])
        axes = f"{ndims[0]} ax{'i' if ndims[0] == 1 else 'e'}s{more}"
        raise ShapeError(f"{name} must have {axes}, none empty, got shape {tuple(value.shape)}")
    value = value if value.is_floating_point() else value.double()
    if value.dtype not in MASSES:
        raise TypeError(f"{name} must be float64 or float32, got {value.dtype}")
    bad = ~(torch.isfinite(value) | (value == torch.inf) if allow_infinite else torch.isfinite(value))
    if bool(bad.any()):
        where = tuple(int(i) for i in torch.nonzero(bad)[0])
        raise NonFiniteError(f"{name} contains {float(value[where])} at index {where}", index=where)
    return value


def batch_size(*tensors: tuple[Tensor, int]) -> int:
    """The B that tensors agree on, each given with its axes for one problem; 1 where none has one more.

    Raises
    ------
    ShapeError
    """
    sizes = {len(x) for x, ndim in tensors if x.ndim > ndim}
    size = max(sizes, default=1)
    if sizes - {1, size}:
        raise ShapeError(f"the batch has one size, got {', '.join(map(str, sorted(sizes)))}")
    return size


def check_potential(name: str, value: Any, mass: Tensor) -> Tensor:
    """`value`, of shape (m,) or (B, m), beside masses (B, m).

    Raises
    ------
    TypeError, ShapeError, NonFiniteError
    """
    potential = check_tensor(name, value, 1, 2)
    if potential.shape[-1] != mass.shape[-1]:
        raise ShapeError(f"{name} must have {mass.shape[-1]} entries, got {potential.shape[-1]}")
    if potential.ndim == 2 and len(potential) not in (1, len(mass)):
        raise ShapeError(f"{name} must be for {len(mass)} items, got {len(potential)}")
    return potential.to(mass).expand_as(mass)


def check_float32(ratio: float, tol: float) -> None:
    """Raise `DomainError` for what float32 cannot do, where the costs range over `ratio` temperatures.

    A potential of F temperatures rounds to 6e-8 F in an exponent, and F is some share of the range.
    """
    if ratio > 1e5:
        raise DomainError(f"float32 carries costs that range over 1e5 eps, here {ratio:.3g} eps; pass them in float64")
    floor = 1e-6 * max(1.0, ratio / 100)
    if tol < floor:
        raise DomainError(f"float32 reaches tol >= {floor:.1e} at this eps, got {tol:g}; pass the data in float64")


@dataclass(frozen=True, eq=False)
class Data:
    """What was asked: C [B, n, m], r [B, n], c [B, m], eps [B], and whether it is one problem and no batch."""

    C: Tensor
    r: Tensor
    c: Tensor
    eps: Tensor
    single: bool

    def ratio(self) -> float:
        """The largest range of a cost in temperatures."""
        finite = torch.isfinite(self.C)
        high, low = (torch.where(finite, self.C, x).flatten(1) for x in (-torch.inf, torch.inf))
        return float(((high.amax(-1) - low.amin(-1)) / self.eps).max())

    def item(self, b: int) -> tuple[Any, ...]:
        """Cost, masses and temperature of one item, on the host in float64."""
        arrays = [x[b].detach().double().cpu().numpy() for x in (self.C, self.r, self.c)]
        return (*arrays, float(self.eps[b]))


def _shaped(C: Any, r: Any, c: Any, eps: Any) -> Data:
    for name, value in (("cost", C), ("r", r), ("c", c)):
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name} must be a torch.Tensor, got {type(value).__name__}; lemmata.sims takes numpy arrays"
            )
        if value.is_complex() or value.dtype == torch.bool:
            raise TypeError(f"{name} must hold real numbers, got dtype {value.dtype}")
    C, r, c = (x if x.is_floating_point() else x.double() for x in (C, r, c))
    if C.dtype not in MASSES or not C.dtype == r.dtype == c.dtype:
        raise TypeError(
            f"the cost and the masses must all be float64 or all float32, got {C.dtype}, {r.dtype} and {c.dtype}"
        )
    if not C.device == r.device == c.device:
        raise DomainError(f"the cost lies on {C.device}, r on {r.device}, c on {c.device}; move them to one device")
    for name, value, ndim in (("cost", C, 2), ("r", r, 1), ("c", c, 1)):
        if value.ndim not in (ndim, ndim + 1) or value.numel() == 0:
            axes = f"{ndim} ax{'i' if ndim == 1 else 'e'}s, or {ndim + 1} for a batch"
            raise ShapeError(f"{name} must have {axes}, none empty, got shape {tuple(value.shape)}")
    for name, mass, axis, what in (("r", r, -2, "rows"), ("c", c, -1, "columns")):
        if mass.shape[-1] != C.shape[axis]:
            raise ShapeError(f"the cost has {C.shape[axis]} {what}, {name} has {mass.shape[-1]} entries")
    if isinstance(eps, Tensor):
        if eps.ndim > 1:
            raise ShapeError(f"eps must be one number or one for each item, got shape {tuple(eps.shape)}")
        eps = eps.to(C)
    else:
        eps = torch.tensor(float(eps), dtype=C.dtype, device=C.device)
    single = C.ndim == 2 and r.ndim == c.ndim == 1 and eps.ndim == 0
    size = batch_size((C, 2), (r, 1), (c, 1), (eps, 0))
    n, m = C.shape[-2:]
    return Data(C.expand(size, n, m), r.expand(size, n), c.expand(size, m), eps.expand(size), single)


def _sound_masses(r: Tensor, c: Tensor) -> Tensor:
    """Whether masses are nonnegative and of equal total, bool[B]."""
    total_r, total_c = r.sum(-1), c.sum(-1)
    equal = (total_r - total_c).abs() <= max(MASSES[r.dtype], MASSES[c.dtype]) * torch.maximum(total_r, total_c)
    return (r >= 0).all(-1) & (c >= 0).all(-1) & (total_r > 0) & (total_c > 0) & equal


def check_masses_of_items(r: Tensor, c: Tensor) -> None:
    """`lemmata.problems.sinkhorn_newton.check_masses` for (n,) or (B, n), and (m,) or (B, m).

    Raises
    ------
    DomainError
    """
    sound = torch.atleast_1d(_sound_masses(r, c))
    if not bool(sound.all()):
        b = int(torch.nonzero(~sound)[0, 0])
        first, second = (x.expand(len(sound), x.shape[-1])[b].detach().double().cpu().numpy() for x in (r, c))
        check_masses(first, second, tolerance=max(MASSES[r.dtype], MASSES[c.dtype]))


def _sound(data: Data, allow_forbidden: bool) -> Tensor:
    """Whether each item is a transport problem, bool[B]."""
    C, r, c, eps = data.C[:1] if data.C.stride(0) == 0 else data.C, data.r, data.c, data.eps
    finite = torch.isfinite(C)
    sound = (eps > 0) & torch.isfinite(eps) & torch.isfinite(r.sum(-1)) & torch.isfinite(c.sum(-1))
    sound &= _sound_masses(r, c)
    if allow_forbidden:
        able = finite & (r > 0)[:, :, None] & (c > 0)[:, None, :]
        sound &= (finite | (torch.inf == C)).all(-1).all(-1)
        return sound & (able.any(-1) | (r == 0)).all(-1) & (able.any(-2) | (c == 0)).all(-1)
    return sound & finite.all(-1).all(-1)


def check(C: Any, r: Any, c: Any, eps: Any, *, normalize: bool, allow_forbidden: bool) -> Data:
    """The problems, after every check of `lemmata.problems.sinkhorn_newton.TransportProblem`.

    Parameters
    ----------
    C : float64 or float32 tensor, (n, m) or (B, n, m)
    r, c : float64 or float32 tensor, (n,) or (B, n), and (m,) or (B, m)
        What has no batch axis is the same for every item.
    eps : float or tensor (B,)
    normalize, allow_forbidden : bool

    Raises
    ------
    TypeError, ShapeError, NonFiniteError, DomainError
        As `TransportProblem`.
    """
    data = _shaped(C, r, c, eps)
    # totals that differ are no error where each is to be divided by its sum
    scaled = replace(data, r=data.r / data.r.sum(-1, True), c=data.c / data.c.sum(-1, True)) if normalize else data
    with torch.no_grad():
        sound = _sound(scaled, allow_forbidden)
        b = 0 if bool(sound.all()) else int(torch.nonzero(~sound)[0, 0])
        if not bool(sound[b]):
            _explain(data, b, normalize, allow_forbidden)
    return scaled


def _explain(data: Data, b: int, normalize: bool, allow_forbidden: bool) -> None:
    C, r, c, eps = data.item(b)
    # float32 masses may differ by its own rounding, which is not what is wrong
    close = abs(r.sum() - c.sum()) <= MASSES[data.C.dtype] * max(r.sum(), c.sum())
    try:
        TransportProblem(C, r, c, eps, normalize=normalize or bool(close), allow_forbidden=allow_forbidden)
    except LemmataError as error:
        if not data.single:
            error.args = (f"item {b}: {error.args[0]}",)
        raise
    raise DomainError(f"item {b} is no transport problem in {data.C.dtype}: masses overflow or vanish")


# ---------------------------------------------------------------------------------- the reduced problem


@dataclass(frozen=True, eq=False)
class Batch:
    """The problems on the cost less its row and column minima, ``C_ij - u_i - v_j``.

    Rows and columns without mass have infinite cost and potentials 0, so that nothing is summed over them.

    Attributes
    ----------
    C : float[B or 1, n, m]
    r, c, log_r, log_c : float[B, n], float[B, m], float[B, n], float[B, m]
        Logarithms are 0 where there is no mass.
    rows, columns : bool[B, n], bool[B, m], or None
        Where there is mass; None where there is everywhere.
    u, v : float[B or 1, n], float[B or 1, m]
    mass : float[B]
    """

    C: Tensor
    r: Tensor
    c: Tensor
    log_r: Tensor
    log_c: Tensor
    rows: Tensor | None
    columns: Tensor | None
    u: Tensor
    v: Tensor
    mass: Tensor

    def take(self, items: Tensor) -> Batch:
        """Some of the problems, by their indices."""

        def some(value: Any) -> Any:
            return value if value is None or (value.ndim > 1 and len(value) == 1) else value[items]

        return Batch(**{f.name: some(getattr(self, f.name)) for f in fields(self)})

    def plan(self, f: Tensor, g: Tensor, eps: Tensor) -> Tensor:
        """``exp((f_i + g_j - C_ij)/eps)``, float[B, n, m]."""
        return ((f[:, :, None] + g[:, None, :] - self.C) / eps[:, None, None]).exp_()

    def update_rows(self, g: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """The f that makes rows exact, and the column sums S there: one exponential an entry.

        ``S_j = sum_i (r_i / R_i) E_ij`` with the exponentials E that gave the row sums R.
        """
        E = (g[:, None, :] - self.C).div_(eps[:, None, None])
        top = E.amax(-1)
        if self.rows is not None:
            top = torch.where(self.rows, top, 0.0)  # a row without mass is infinite throughout
        E.sub_(top[:, :, None])
        if E.dtype == torch.float32:
            E.clamp_min_(-80.0)  # below the last digit, and before a CPU meets subnormals
        sums = E.exp_().sum(-1)
        if self.rows is not None:
            sums = torch.where(self.rows, sums, 1.0)
        f = eps[:, None] * (self.log_r - sums.log() - top)
        return f, ((self.r / sums)[:, None, :] @ E)[:, 0]

    def update_columns(self, g: Tensor, S: Tensor, eps: Tensor) -> Tensor:
        """``g_j + eps log(c_j / S_j)`` for column sums S.

        A sum that has left the range of floating point counts as its smallest number: the column takes a part of the
        step to the maximum of a concave function, which still raises the dual.
        """
        g = g + eps[:, None] * (self.log_c - S.clamp_min(torch.finfo(S.dtype).tiny).log())
        return g if self.columns is None else torch.where(self.columns, g, 0.0)

    def delta(self, S: Tensor) -> Tensor:
        """L1 marginal error where rows are exact."""
        return (S - self.c).abs().sum(-1)


def reduce(data: Data) -> Batch:
    """The reduced problems; keeps the graph of C, r and c, the minima being constants."""
    rows, columns = data.r > 0, data.c > 0
    C, whole = data.C, bool(rows.all() and columns.all())
    if whole and C.stride(0) == 0:
        C = C[:1]  # one cost for every item
    with torch.no_grad():
        if whole:
            u = C.amin(-1)
            v = (C - u[:, :, None]).amin(-2)
        else:
            pairs = rows[:, :, None] & columns[:, None, :]
            u = torch.where(rows, torch.where(pairs, C, torch.inf).amin(-1), 0.0)
            v = torch.where(columns, torch.where(pairs, C - u[:, :, None], torch.inf).amin(-2), 0.0)
    C = C - u[:, :, None] - v[:, None, :]
    if not whole:
        C = torch.where(pairs, C, torch.inf)
    log_r, log_c = (torch.where(mass > 0, mass, 1.0).log() for mass in (data.r, data.c))
    masks = None if whole else rows, None if whole else columns
    return Batch(C, data.r, data.c, log_r, log_c, masks[0], masks[1], u, v, data.r.sum(-1))
