"""Blocks of snapshots: the same section whatever the workers, and to rounding whatever the blocks."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from lemmata.errors import NonFiniteError
from lemmata.problems import koopman as problems
from lemmata.sims import koopman as sims

PSI = problems.Fourier(6)
TOTAL = 4000


def blocks(size, total=TOTAL):
    def block(i):
        at = np.arange(i * size, min((i + 1) * size, total))
        x = np.modf(0.1 + at * problems.GOLDEN)[0][:, None]  # any function of the number alone
        return problems.Snapshots(x, sims.images(problems.doubling(), x), np.full(len(at), 1 / total))

    return block, -(-total // size)


def whole():
    data = blocks(TOTAL)[0](0)
    return sims.section(PSI(data.x), PSI(data.y), data.w)


@pytest.mark.parametrize("form", [sims.stream_gram, sims.stream_triangle])
def test_workers_change_no_bit(form):
    block, number = blocks(137)
    one = form(block, number, PSI, workers=1)
    for workers in (2, 3):
        np.testing.assert_array_equal(form(block, number, PSI, workers=workers), one)


@pytest.mark.parametrize("form", ["gram", "triangle"])
@pytest.mark.parametrize("size", [7, 1000, 4000])
def test_block_size_changes_only_rounding(form, size):
    section, other = whole(), sims.stream(*blocks(size), PSI, form=form)
    z = np.array([0.5, 0.9j, -1.1])
    np.testing.assert_allclose(sims.pseudospectrum(other, z), sims.pseudospectrum(section, z), rtol=1e-11)
    grams = [sims.stream_gram(*blocks(s), PSI) for s in (size, 500)]
    np.testing.assert_allclose(grams[0], grams[1], atol=1e-12, rtol=0)


def test_the_triangle_keeps_small_residuals():
    psi = problems.Legendre(12, 0, 1)

    def block(i):
        x = np.random.default_rng(i).random((100, 1))
        return problems.Snapshots(x, x / 2, np.full(100, 1e-3))

    found = sims.edmd(sims.stream(block, 10, psi, form="triangle"))
    assert found.residuals.max() < 1e-11
    assert sims.stream(block, 10, psi).floor > 1e-8


@pytest.mark.parametrize("form", [sims.stream_gram, sims.stream_triangle])
def test_weights_and_widths_of_features_change_only_rounding(form):
    """One weight a block or one a snapshot, features of single precision or of double."""
    block, number = blocks(300)

    def other(i):
        data = block(i)
        w = data.w * np.where(np.arange(len(data.w)) % 2, 1.5, 0.5)
        return problems.Snapshots(data.x, data.y, w)

    def product(parts):  # a triangle is known up to the signs of its rows
        return np.stack(parts) if form is sims.stream_gram else parts.conj().T @ parts

    one = product(form(block, number, PSI))
    data = [other(i) for i in range(number)]
    x, y, w = (np.concatenate([getattr(d, name) for d in data]) for name in "xyw")
    both = np.concatenate([PSI(x), PSI(y)], axis=1)
    exact = both.conj().T @ (w[:, None] * both)
    if form is sims.stream_gram:
        exact = np.stack([exact[:13, :13], exact[:13, 13:], exact[13:, 13:]])
    np.testing.assert_allclose(product(form(other, number, PSI)), exact, atol=1e-13, rtol=0)
    single, widened = (
        product(form(block, number, lambda x, kind=kind: PSI(x).astype(np.complex64).astype(kind)))
        for kind in (np.complex64, np.complex128)
    )
    # the features are rounded, their sums are not: in single precision they would err by 1e-8 and more
    assert 1e-9 < np.abs(widened - one).max() < 1e-7
    np.testing.assert_allclose(single, widened, atol=1e-13, rtol=0)


@pytest.mark.parametrize("form", ["gram", "triangle"])
def test_a_feature_that_is_not_finite_is_named(form):
    def psi(x):
        return np.where(x > 0.9, np.nan, np.concatenate([x, 1 + x**2], axis=1))

    with pytest.raises(NonFiniteError, match=r"psi\(x\) holds nan"):
        sims.stream(*blocks(500), psi, form=form)


def test_progress_and_refusals():
    seen = []
    sims.stream(*blocks(1000), PSI, progress=seen.append)
    assert seen == [1, 2, 3, 4]
    with pytest.raises(problems.ResidualVacuousError):
        sims.stream(*blocks(10, 10), PSI)
    with pytest.raises(Exception, match="blocks"):
        sims.stream(blocks(10)[0], 0, PSI)


def peak(number, functions, size=2**13, workers=1):
    """Bytes of numpy's arrays at the worst moment; of more than one worker, whose moments need not meet, at most."""
    psi = problems.Radial(np.random.default_rng(0).uniform(-1, 1, (functions, 2)), "gaussian", 0.5)

    def block(i):
        x = np.random.default_rng([1, i]).uniform(-1, 1, (size, 2))
        return problems.Snapshots(x, 0.9 * x, np.full(size, 1 / (size * number)))

    tracemalloc.start()
    sims.stream_gram(block, number, psi, workers=workers)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_memory_does_not_know_how_many_snapshots_there_are():
    few, many = peak(4, 100), peak(32, 100)
    level = 3 * 8 * 100**2
    assert many < few + 5 * level  # three more levels of the tree, one that is being added; one to spare
    assert peak(32, 100, workers=2) < 2 * many + 8 * level  # parts that wait for their turn


RESIDENT = """
import sys
from pathlib import Path
import numpy as np
from lemmata.problems.koopman import Radial, Snapshots
from lemmata.sims.koopman import stream

number, size = int(sys.argv[1]), 2**16
psi = Radial(np.random.default_rng(0).uniform(-1, 1, (500, 2)))

def block(i):
    x = np.random.default_rng([1, i]).uniform(-1, 1, (size, 2))
    return Snapshots(x, 0.9 * x, np.full(size, 1 / (size * number)))

stream(block, number, psi, workers=2)
# not ru_maxrss, which a child inherits from its parent
print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024)
"""


@pytest.mark.slow
def test_a_process_with_five_hundred_functions_stays_below_a_gigabyte():
    """Blocks of 2^16: 1e7 snapshots are 153 of them. What 4 and 16 need differs by two levels of the tree."""

    def resident(number):
        done = subprocess.run(
            [sys.executable, "-c", RESIDENT, str(number)], capture_output=True, text=True, check=True, timeout=900
        )
        return int(done.stdout)

    few, many = resident(4), resident(16)
    level = 3 * 8 * 500**2
    # rounded up to pages and arenas; 153 blocks would be four levels more, 24 MB
    assert many < few + 8 * level
    assert many + 4 * level < 1e9
