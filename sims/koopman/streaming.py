"""Sections from more snapshots than memory holds: blocks are made, used and forgotten.

A block is known by its number, from which its snapshots are made anew wherever it is worked on: the result does not
know how many workers there were. What blocks leave, Gram matrices or triangles, is added in a fixed tree, neighbours
first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from lemmata.errors import DomainError, ShapeError
from lemmata.problems.koopman import Dictionary, Snapshots, check_finite, check_snapshots
from lemmata.random import check_integer
from lemmata.sims.koopman.section import Section, rounding_unit, section_from_gram, section_from_triangle, wide

__all__ = ["stream", "stream_gram", "stream_triangle"]

Block = Callable[[int], Snapshots]
#: Rows whose features are alive at once in a worker.
ROWS = 1024


def stream(
    block: Block,
    blocks: int,
    psi: Dictionary,
    *,
    form: Literal["gram", "triangle"] = "gram",
    rtol: float | None = None,
    workers: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Section:
    """The finite section of K from ``block(0), ..., block(blocks - 1)``.

    Parameters
    ----------
    block : callable
        ``block(i) -> Snapshots``, the same whenever it is called: draw from a stream of the seed and i. Its weights are
        relative to the whole; 1/M each, with M the snapshots of *all* blocks, need no normalisation afterwards.
    blocks : int
    psi : Dictionary
    form : {"gram", "triangle"}
        "gram" adds up ``Psi* W Psi``, three products, and resolves residuals above 1e-7; "triangle" keeps the
        triangular factor of all rows, at some three times the cost, and resolves what `section` does.
    rtol : float, optional
        As in `section` and `section_from_gram`.
    workers : int, optional
        Threads; as many as Numba's by default. The result is the same, bit for bit.
    progress : callable, optional
        Called with the number of blocks done.

    Returns
    -------
    Section

    Raises
    ------
    ShapeError, NonFiniteError, DomainError
    ResidualVacuousError
        Fewer snapshots than functions.

    Notes
    -----
    Memory: for each worker a block's snapshots, features of 1024 of them at a time (of 8N, if that is more, for the
    triangle), and some three sets of three matrices [N, N]; one set for each of log2(blocks) levels of the tree. A
    process with two workers took 0.24 GB for 1e7 snapshots of 500 real functions in blocks of 2^16, form "gram".
    """
    if form not in ("gram", "triangle"):
        raise DomainError(f"form must be 'gram' or 'triangle', got {form!r}")
    unit = float(np.finfo(np.float64).eps)

    def watched(x: np.ndarray, /) -> np.ndarray:
        nonlocal unit
        values = np.asarray(psi(x))
        unit = max(unit, rounding_unit(values))
        return values

    if form == "gram":
        grams = stream_gram(block, blocks, watched, workers=workers, progress=progress)
        return section_from_gram(*grams, rtol=rtol, unit=unit)
    triangle = stream_triangle(block, blocks, watched, workers=workers, progress=progress)
    return section_from_triangle(triangle, rtol=rtol, unit=unit)


def stream_gram(
    block: Block,
    blocks: int,
    psi: Dictionary,
    *,
    workers: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """G, A and L of all blocks, in float64; see `stream`.

    Returns
    -------
    G, A, L : float64 or complex128 [N, N]
        ``Psi_X* W Psi_X``, ``Psi_X* W Psi_Y`` and ``Psi_Y* W Psi_Y``.
    """

    def one(i: int) -> tuple[Any, int]:
        total: Any = None
        data = block(i)
        # weights that are all alike wait for the sum: two passes over the features less
        alike = bool((data.w == data.w[0]).all())
        for x, y, w in _rows(data):
            b_x, b_y = _features(psi, x), _features(psi, y)
            if not alike:
                root = np.sqrt(w)[:, None]
                b_x, b_y = b_x * root, b_y * root
            if total is None:
                total = np.zeros((3, b_x.shape[1], b_x.shape[1]), dtype=b_x.dtype)
            for sum_, left, right in zip(total, (b_x, b_x, b_y), (b_x, b_y, b_y), strict=True):
                sum_ += left.conj().T @ right
        return _checked(total * data.w[0] if alike else total, psi, data), int(np.count_nonzero(data.w))

    total, size = _tree(one, np.add, blocks, workers, progress)
    check_snapshots(size, total.shape[1])
    return total[0], total[1], total[2]


def stream_triangle(
    block: Block,
    blocks: int,
    psi: Dictionary,
    *,
    workers: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> np.ndarray:
    """The triangular factor of ``W^{1/2} [Psi_X Psi_Y]`` of all blocks; see `stream`.

    Returns
    -------
    float64 or complex128 [min(M, 2N), 2N]
    """

    def join(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(np.linalg.qr(np.concatenate([a, b]), mode="r"))

    def one(i: int) -> tuple[Any, int]:
        total: Any = None
        data = block(i)
        for x, y, w in _rows(data):
            rows = np.sqrt(w)[:, None] * np.concatenate([_features(psi, x), _features(psi, y)], axis=1)
            total = rows if total is None else np.concatenate([total, rows])
            # each costs as much as its rows, those of the last triangle among them
            if len(total) > 4 * total.shape[1]:
                total = np.asarray(np.linalg.qr(total, mode="r"))
        if len(total) > total.shape[1]:
            total = np.asarray(np.linalg.qr(total, mode="r"))
        return _checked(total, psi, data), int(np.count_nonzero(data.w))

    total, size = _tree(one, join, blocks, workers, progress)
    check_snapshots(size, total.shape[1] // 2)
    # one block of few rows is no triangle yet
    return np.asarray(np.linalg.qr(total, mode="r")) if blocks == 1 else total


def _features(psi: Dictionary, x: np.ndarray) -> np.ndarray:
    """psi(x) in double precision."""
    values = np.asarray(psi(x))
    if values.ndim != 2 or len(values) != len(x) or not values.size:
        raise ShapeError(f"psi of {len(x)} snapshots must be [{len(x)}, N], got {values.shape}")
    return wide(values)


def _checked(total: np.ndarray, psi: Dictionary, data: Snapshots) -> np.ndarray:
    """What a block left. A feature that is not finite left its mark there, and is looked for only then."""
    if not np.isfinite(total).all():
        for x, y, _ in _rows(data):
            check_finite("psi(x)", psi(x))
            check_finite("psi(y)", psi(y))
        check_finite("a sum of products of features", total)
    return total


def _rows(data: Snapshots) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    for start in range(0, len(data.x), ROWS):
        yield data.x[start : start + ROWS], data.y[start : start + ROWS], data.w[start : start + ROWS]


def _tree(
    one: Callable[[int], tuple[Any, int]],
    join: Callable[[Any, Any], Any],
    blocks: int,
    workers: int | None,
    progress: Callable[[int], object] | None,
) -> tuple[Any, int]:
    """``one(0) + one(1) + ...`` as a binary counter adds: equal partners as soon as there are two; and the sizes."""
    workers = numba.get_num_threads() if workers is None else workers
    check_integer("blocks", blocks, 1)
    check_integer("workers", workers, 1)
    levels: list[Any] = []
    size = 0
    # threads of the linear algebra would change the order of sums: one each, whatever the workers
    with threadpool_limits(1), ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[tuple[Any, int]]] = deque()
        sent = 0
        for done in range(blocks):
            while sent < blocks and len(waiting) < 2 * workers:
                waiting.append(pool.submit(one, sent))
                sent += 1
            part, rows = waiting.popleft().result()
            size += rows
            for k in range(len(levels) + 1):
                if k == len(levels):
                    levels.append(part)
                    break
                if levels[k] is None:
                    levels[k] = part
                    break
                part, levels[k] = join(levels[k], part), None
            if progress is not None:
                progress(done + 1)
        total: Any = None
        for part in levels:
            if part is not None:
                total = part if total is None else join(part, total)
    return total, size
