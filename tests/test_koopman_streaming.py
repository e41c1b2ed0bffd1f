"""Blocks of snapshots: the same section whatever the workers, and to rounding whatever the blocks."""

import tracemalloc

import numpy as np
import pytest

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
    np.testing.assert_allclose(grams[0], grams[1], atol=1e-12)


def test_the_triangle_keeps_small_residuals():
    psi = problems.Legendre(12, 0, 1)

    def block(i):
        x = np.random.default_rng(i).random((100, 1))
        return problems.Snapshots(x, x / 2, np.full(100, 1e-3))

    found = sims.edmd(sims.stream(block, 10, psi, form="triangle"))
    assert found.residuals.max() < 1e-11
    assert sims.stream(block, 10, psi).floor > 1e-8


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
    assert many < few + 4 * level  # three more levels of the tree; one to spare
    assert peak(32, 100, workers=2) < 2 * many + 8 * level  # parts that wait for their turn


@pytest.mark.slow
def test_memory_with_five_hundred_functions():
    """2.6e5 snapshots; 1e7 are 153 blocks of 2^16 and eight levels of the tree, 50 MB, instead of three."""
    assert peak(4, 500, 2**16, workers=2) < 5e8
