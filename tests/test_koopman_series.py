"""Measured series: what is in them, and what of their delays survives data that were held out."""

import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.experiments.koopman import series as experiments
from lemmata.problems import koopman as problems
from lemmata.sims import koopman as sims
from lemmata.theory import koopman as theory

SUNSPOTS, CO2 = problems.sunspots(), problems.carbon_dioxide()


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with threadpool_limits(1, "blas"):
        yield


# ------------------------------------------------------------------------------------------------ the data


def test_sunspots_are_the_yearly_numbers():
    assert SUNSPOTS.values.dtype == np.float64
    assert SUNSPOTS.values.size == 309
    assert (SUNSPOTS.times[0], SUNSPOTS.times[-1], SUNSPOTS.dt) == (1700.5, 2008.5, 1.0)
    assert SUNSPOTS.values.max() == 190.2  # the maximum of 1957
    assert SUNSPOTS.times[SUNSPOTS.values.argmax()] == 1957.5
    # by a route that knows nothing of eigenvalues: the largest peak of the periodogram
    power = np.abs(np.fft.rfft(SUNSPOTS.values - SUNSPOTS.values.mean())) ** 2
    assert 1 / np.fft.rfftfreq(309)[1 + power[1:].argmax()] == pytest.approx(11, abs=0.1)


def test_carbon_dioxide_is_measured_in_every_month_and_nothing_is_filled_in():
    assert CO2.values.size == 12 * 37
    assert CO2.times[[0, -1]] == pytest.approx([1965 + 1 / 24, 2002 - 1 / 24])
    table = weekly()
    april = table["1984-04-01":"1984-04-30"]
    assert len(april) == 1  # the month with the fewest weeks
    assert CO2.values[12 * (1984 - 1965) + 3] == april.iloc[0]
    by_pandas = table.groupby([table.index.year, table.index.month]).mean().loc[1965:2001].to_numpy()
    np.testing.assert_allclose(CO2.values, by_pandas, rtol=1e-14)
    with pytest.raises(DomainError, match=r"3 months have no measurement, the first 1964-02"):
        problems.carbon_dioxide(1964)
    with pytest.raises(DomainError, match="choose years within 1965"):
        problems.carbon_dioxide(1990, 2005)
    with pytest.raises(DomainError, match="must not decrease"):
        problems.carbon_dioxide(1990, 1980)


def weekly():
    from statsmodels.datasets import co2

    return co2.load_pandas().data["co2"].dropna()


def test_without_statsmodels_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "statsmodels", None)
    with pytest.raises(ImportError, match=r"pip install 'lemmata\[data\]'"):
        problems.sunspots()


def test_a_split_shares_no_value_and_a_shuffle_keeps_all():
    earlier, later = SUNSPOTS.split(2 / 3)
    assert np.array_equal(np.concatenate([earlier.values, later.values]), SUNSPOTS.values)
    assert later.times[0] == earlier.times[-1] + 1
    mixed = SUNSPOTS.shuffled(seed=1)
    assert np.array_equal(np.sort(mixed.values), np.sort(SUNSPOTS.values))
    assert np.array_equal(mixed.values, SUNSPOTS.shuffled(seed=1).values)
    assert abs(np.corrcoef(mixed.values[1:], mixed.values[:-1])[0, 1]) < 0.2
    pairs = SUNSPOTS.snapshots(3)
    assert pairs.x.shape == (306, 3)
    assert np.array_equal(pairs.x[5], SUNSPOTS.values[5:8])
    assert np.array_equal(pairs.y[5], SUNSPOTS.values[6:9])
    with pytest.raises(DomainError, match="a share of nan leaves 0 of 309"):
        SUNSPOTS.split(np.nan)
    with pytest.raises(DomainError, match="leaves 309 of 309"):
        SUNSPOTS.split(1.0)
    with pytest.raises(DomainError, match=r"size must lie in 1\.\.308"):
        SUNSPOTS.snapshots(309)
    with pytest.raises(NonFiniteError, match="values holds nan"):
        problems.Series("gap", [1.0, np.nan, 2.0])
    with pytest.raises(ShapeError, match="one axis"):
        problems.Series("two", np.ones((3, 2)))
    with pytest.raises(DomainError, match="dt must be positive"):
        problems.Series("still", np.ones(3), dt=0.0)
    with pytest.raises(ShapeError, match=r"\[M, 2\]"):
        problems.Affine(2)(np.ones((4, 3)))
    assert problems.Affine(2).size == problems.Affine(2)(np.ones((4, 2))).shape[1]


# ------------------------------------------------------------------------------------------ what is learned


def test_a_cycle_and_a_trend_that_are_known_come_back_with_no_residual():
    t = np.arange(120)
    made = problems.Series("cycle and growth", 5 + np.cos(2 * np.pi * t / 11 + 0.3) + 1.01**t, dt=1.0)
    growth, cycle = sorted(experiments.report(made, 3, block=30, replicates=20), key=lambda m: -m.period)
    assert cycle.period == pytest.approx(11, abs=1e-9)
    assert cycle.rate == pytest.approx(0, abs=1e-9)
    assert growth.rate == pytest.approx(np.log(1.01), abs=1e-9)
    for mode in (growth, cycle):
        assert mode.held_out < 1e-9  # 1e-16 over the least singular value of the delays, 1e-3 here
        assert mode.rate_interval == pytest.approx((mode.rate, mode.rate), abs=1e-8)


def test_held_out_residuals_are_those_of_the_section_of_the_held_out_data():
    """By the second triangular factor on the later data in place of a product with the snapshots."""
    earlier, later = (experiments.features(part, 9) for part in SUNSPOTS.split(0.5))
    made, other = sims.section(*earlier), sims.section(*later)
    eigen = sims.edmd(made)
    judged = sims.held_out(made, eigen, *later)
    vectors = np.linalg.solve(other.basis, made.basis @ eigen.vectors)
    np.testing.assert_allclose(judged, sims.residuals(other, eigen.values, vectors), rtol=1e-8, atol=1e-12)
    # on the data that were learned from it is the residual that edmd reports
    np.testing.assert_allclose(sims.held_out(made, eigen, *earlier), eigen.residuals, rtol=1e-8, atol=1e-12)
    # a weight of 0 leaves a snapshot out
    w = np.r_[np.ones(100), np.zeros(len(later[0]) - 100)]
    cut = sims.held_out(made, eigen, later[0][:100], later[1][:100])
    np.testing.assert_allclose(sims.held_out(made, eigen, *later, w), cut, rtol=1e-10, atol=1e-12)
    with pytest.raises(ShapeError, match="learned with 10 functions, held out with 9"):
        sims.held_out(made, eigen, later[0][:, 1:], later[1][:, 1:])
    with pytest.raises(DomainError, match="vanishes on the 3 snapshots"):
        sims.held_out(made, eigen, np.zeros((3, 10)), np.ones((3, 10)))
    with pytest.raises(NonFiniteError, match=r"values holds \(nan"):
        sims.held_out(made, replace(eigen, values=np.nan * eigen.values), *later)
    with pytest.raises(ShapeError, match=r"\(10, 3\), got \(10, 10\)"):
        sims.held_out(made, replace(eigen, values=eigen.values[:3]), *later)


def test_as_many_delays_as_snapshots_fit_anything_and_are_refused():
    psi_x, psi_y = experiments.features(SUNSPOTS, 10)
    with pytest.raises(problems.ResidualVacuousError, match="every residual is 0"):
        sims.section(psi_x[:10], psi_y[:10])
    with pytest.warns(problems.ResidualVacuousWarning, match="hold others out"):
        made = sims.section(psi_x[:11], psi_y[:11])
    eigen = sims.edmd(made)
    assert eigen.residuals.max() < 1e-8
    # the later years are not fooled: of the same pairs all but the constant are wrong by a fifth and more
    judged = sims.held_out(made, eigen, psi_x[11:], psi_y[11:])
    assert np.sort(judged)[1] > 0.2


def test_a_shuffle_of_the_sunspots_has_no_small_residual_and_the_bound_says_so():
    """No eigenpair of a shuffle comes near what the sunspots reach with as many delays, in a hundred tries."""
    size = 9
    mode = experiments.report(SUNSPOTS, size, block=22, replicates=1)[0]
    least = experiments.surrogate_residuals(SUNSPOTS, size)
    assert mode.held_out < 0.6 * least.min()
    mixed = SUNSPOTS.shuffled(seed=0)
    mixed = problems.Series("shuffled", (mixed.values - mixed.values.mean()) / mixed.values.std())
    earlier, later = (experiments.features(part, size) for part in mixed.split(2 / 3))
    made = sims.section(*earlier)
    eigen = sims.edmd(made)
    kappa = np.linalg.cond(np.concatenate([later[0], later[1][:, -1:]], axis=1))
    bound = theory.tau_shift(eigen.values, size) / kappa
    unknown = np.abs(eigen.values - 1) > 1e-9
    assert (sims.held_out(made, eigen, *later) > bound)[unknown].all()
    assert bound[unknown].min() > 0.1  # the bound says something


def test_what_noise_reaches_with_orthonormal_delays_is_the_shift():
    """g_0, ..., g_N orthonormal, by hand: the least residual at every z is tau_shift, attained."""
    N, z = 6, np.exp(1j * np.array([0.3, 1.1, 2.9])) * [1.0, 0.9, 0.6]
    rows = np.sqrt(N + 1) * np.tile(np.eye(N + 1), (2, 1))  # 2N snapshots and more: no warning
    tau = sims.pseudospectrum(sims.section(rows[:, :N], rows[:, 1:]), z)
    # the constant is not among them: |1 - z| plays no part
    chain = np.sqrt(1 + abs(z) ** 2 - 2 * abs(z) * np.cos(np.pi / (N + 1)))
    np.testing.assert_allclose(tau, chain, rtol=1e-12)
    np.testing.assert_allclose(theory.tau_shift(z, N), np.minimum(chain, abs(1 - z)), rtol=1e-12)


def test_the_bootstrap_is_deterministic_and_covers_a_noisy_cycle():
    t, noise = np.arange(300), np.random.default_rng(5).standard_normal(300)
    psi_x, psi_y = experiments.features(problems.Series("", np.cos(2 * np.pi * t / 11) + 0.2 * noise), 11)
    true = np.exp(2j * np.pi / 11)
    found = sims.block_bootstrap(psi_x, psi_y, true, block=33, replicates=60, learn=sims.mpedmd, seed=0)
    assert found.shape == (60, 1)
    assert np.array_equal(
        found, sims.block_bootstrap(psi_x, psi_y, true, block=33, replicates=60, learn=sims.mpedmd, seed=0)
    )
    low, high = np.quantile(np.angle(found), [0.05, 0.95])
    assert low < 2 * np.pi / 11 < high
    assert high - low < 0.05
    # blocks of the whole series: the same rows every time
    whole = sims.block_bootstrap(psi_x, psi_y, true, block=len(psi_x), replicates=2, seed=1)
    assert np.ptp(whole.real) == np.ptp(whole.imag) == 0
    with pytest.raises(DomainError, match="1 <= block <= 289"):
        sims.block_bootstrap(psi_x, psi_y, true, block=290, seed=0)
    with pytest.raises(TypeError, match="block must be an int, got float"):
        sims.block_bootstrap(psi_x, psi_y, true, block=2.5, seed=0)
    with pytest.raises(NonFiniteError, match=r"values holds \(nan"):
        sims.block_bootstrap(psi_x, psi_y, [np.nan], block=33, seed=0)


def test_the_bootstrap_holds_the_rows_of_one_replicate():
    psi = np.random.default_rng(0).standard_normal((20000, 1))
    tracemalloc.start()
    sims.block_bootstrap(psi, psi[::-1], 1.0, block=200, replicates=20, seed=0)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert used < 8 * 20000 * 10


# ------------------------------------------------------------------------------------ what the report says


def test_the_report_on_the_sunspots():
    """A report, pinned where the data are clear: a damped cycle of about eleven years, of no small residual."""
    mode = experiments.report(SUNSPOTS, 9, block=22)[0]
    low, high = mode.period_interval
    assert low < 11 < high
    assert low < mode.period < high
    assert 0.2 < mode.held_out < 0.4
    assert mode.rate_interval[1] < 0
    again = experiments.report(SUNSPOTS, 9, block=22)[0]
    assert again == mode


def test_the_report_on_carbon_dioxide():
    """A trend that no function of the delays tells from the constant, and a year, far below what noise reaches."""
    trend, year = experiments.report(CO2, 24, block=48)[:2]
    assert year.period == pytest.approx(1, abs=1e-3)
    assert year.period_interval[0] < 1 < year.period_interval[1]
    assert year.held_out < year.noise / 4
    assert trend.period == np.inf
    assert 0 < trend.rate_interval[0] < trend.rate < trend.rate_interval[1] < 0.05
