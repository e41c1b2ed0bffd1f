"""The deciders at the boundary of their nulls, their power, and the cases that can be worked by hand."""

import math
import tracemalloc

import numpy as np
import pytest
from scipy.stats import binom, ttest_1samp

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.stats import (
    agree_within,
    betting_interval,
    clopper_pearson,
    local_slopes,
    log_e_process,
    loglog_slope,
    slope_interval,
    student_interval,
    tail_sample_size,
)

# At the boundary of the null a decider of level .05 alarms at most 86 times in 1,000 runs; a correct one
# exceeds that with probability 6e-7.
RUNS, LEVEL, MOST_ALARMS = 1_000, 0.05, 86

# Laws of mean 1 on [0, inf): skewed, rare-event, two-point.
LAWS = {
    "skewed": lambda rng, shape: rng.exponential(size=shape),
    "heavily skewed": lambda rng, shape: rng.lognormal(-2.0, 2.0, shape),
    "rare-event": lambda rng, shape: np.where(rng.random(shape) < 0.01, 100.0, 0.0),
    "two-point": lambda rng, shape: np.where(rng.random(shape) < 0.5, 2.0, 0.0),
}
# Laws on [0, 1] with their means.
BOUNDED_LAWS = {
    "skewed": (lambda rng, shape: rng.beta(0.3, 6.0, shape), 0.3 / 6.3),
    "rare-event": (lambda rng, shape: (rng.random(shape) < 0.01).astype(float), 0.01),
    "two-point": (lambda rng, shape: (rng.random(shape) < 0.5).astype(float), 0.5),
    "two-point, lopsided": (lambda rng, shape: (rng.random(shape) < 0.9).astype(float), 0.9),
}


def assert_level_is_kept(alarms):
    assert alarms <= MOST_ALARMS, f"{alarms} alarms in {RUNS} runs at level {LEVEL}"


class TestBettingInterval:
    @pytest.mark.parametrize("n", [100, 1_000])
    @pytest.mark.parametrize("law", BOUNDED_LAWS)
    def test_level_at_the_boundary(self, law, n):
        draw, mean = BOUNDED_LAWS[law]
        alarms = 0
        for x in draw(np.random.default_rng(1), (RUNS, n)):
            try:
                interval = betting_interval(x, 0, 1, level=LEVEL)
            except DomainError:  # no mean left
                alarms += 1
            else:
                alarms += not interval.lower <= mean <= interval.upper
        assert_level_is_kept(alarms)

    def test_power(self):
        # The normal half-width at n = 4,000 is .5 sqrt(2 ln(2e6) / 4000) = .043.
        samples = BOUNDED_LAWS["two-point"][0](np.random.default_rng(2), (200, 4_000))
        intervals = [betting_interval(x, 0, 1) for x in samples]
        assert sum(i.lower > 0.43 for i in intervals) >= 190
        assert sum(i.upper <= 0.57 for i in intervals) >= 190

    def test_power_against_a_rare_event(self):
        samples = BOUNDED_LAWS["rare-event"][0](np.random.default_rng(3), (100, 20_000))
        intervals = [betting_interval(x, 0, 1) for x in samples]
        # Here the normal half-width is .0038; a decider blind to the small variance would have .019.
        assert sum(i.lower > 0.0035 and i.upper < 0.0165 for i in intervals) >= 95

    @pytest.mark.parametrize("law", BOUNDED_LAWS)
    def test_equals_the_definition(self, law):
        """Plain loops over samples, bets and a bisection, in the unit of the samples."""
        lower, upper, level, c = -2.0, 3.0, 0.2, 0.75
        z = BOUNDED_LAWS[law][0](np.random.default_rng(4), 60)

        def capital(z, m, s):
            total, best, seen, squares = 1.0, 0.0, 0.5, 0.25
            for t, value in enumerate(z, start=1):
                sd = math.sqrt(squares / t)
                total *= 1 + min(s / sd, c / m) * (value - m)
                best = max(best, total)
                seen += value
                squares += (value - seen / (t + 1)) ** 2
            return best

        def refuted_up_to(z):
            low, high = 0.0, 1.0
            for _ in range(45):
                m = (low + high) / 2
                won = any(capital(z, m, s) >= 10 / level for s in (0.01, 0.03, 0.1, 0.3, 1.0))
                low, high = (m, high) if won else (low, m)
            return low

        interval = betting_interval(lower + (upper - lower) * z, lower, upper, level=level)
        expected = (lower + 5 * refuted_up_to(z), upper - 5 * refuted_up_to(1 - z))
        # The root finder stops at 1e-12 of the range, the bisection at 3e-14.
        np.testing.assert_allclose(interval[:2], expected, rtol=0, atol=1e-10)

    def test_prefixes_are_nested(self):
        """What makes it valid under stopping: a bet that looked at n or at later samples would break it."""
        x = BOUNDED_LAWS["skewed"][0](np.random.default_rng(5), 3_000)
        intervals = [betting_interval(x[:n], 0, 1, level=LEVEL) for n in range(1, 3_000, 37)]
        lower, upper = np.array([i[:2] for i in intervals]).T
        # 1e-11: the root finder's tolerance.
        assert np.diff(lower).min() >= -1e-11
        assert np.diff(upper).max() <= 1e-11
        assert lower[-1] > lower[5] > 0

    @pytest.mark.parametrize("law", BOUNDED_LAWS)
    def test_width_shrinks_like_the_standard_error(self, law):
        x = BOUNDED_LAWS[law][0](np.random.default_rng(6), 100_000)
        halves = []
        for n in (10_000, 100_000):
            interval = betting_interval(x[:n], 0, 1)
            assert interval.lower <= x[:n].mean() <= interval.upper
            halves.append((interval.upper - interval.lower) / 2)
            normal = x.std() * math.sqrt(2 * math.log(2e6) / n)
            # A single normal look is the floor (running maxima may undercut it a little); 1.2 is documented.
            assert 0.9 < halves[-1] / normal < 1.25
        assert halves[0] / halves[1] == pytest.approx(math.sqrt(10), rel=0.15)

    def test_mirror_image(self):
        x = BOUNDED_LAWS["skewed"][0](np.random.default_rng(7), 500)
        interval, mirrored = betting_interval(x, -1, 2), betting_interval(-x, -2, 1)
        # Rounding of 1 - z and the root finder's tolerance.
        np.testing.assert_allclose(mirrored[:2], (-interval.upper, -interval.lower), rtol=0, atol=1e-10)

    @pytest.mark.parametrize("level", [0.05, 1e-6])
    def test_constant_samples_at_an_end(self, level):
        n = 2_000
        zeros, ones = (
            betting_interval(np.zeros(n), 0, 1, level=level),
            betting_interval(np.ones(n), 0, 1, level=level),
        )
        # No valid limit undercuts the mean under which n zeros have probability `level`.
        floor = 1 - level ** (1 / n)
        assert zeros.lower == 0
        assert floor <= zeros.upper <= 2.5 * floor
        assert ones.upper == 1
        assert ones.lower == pytest.approx(1 - zeros.upper, abs=1e-10)

    def test_constant_samples_inside(self):
        interval = betting_interval(np.full(5_000, 0.7), 0, 1)
        assert 0.69 < interval.lower < 0.7 < interval.upper < 0.71

    @pytest.mark.parametrize("value", [0.1, 0.4, 0.7])
    def test_one_sample_says_nothing(self, value):
        assert betting_interval([value], 0.1, 0.7, level=LEVEL) == (0.1, 0.7, LEVEL, False)

    def test_samples_without_a_common_mean(self):
        with pytest.raises(DomainError, match="no common mean"):
            betting_interval(np.repeat([0.0, 1.0], 500), 0, 1)

    @pytest.mark.parametrize("bad", [-1e-9, 1 + 1e-9])
    def test_sample_outside_the_range(self, bad):
        with pytest.raises(DomainError, match="must lie in"):
            betting_interval([0.5, bad], 0, 1)

    @pytest.mark.parametrize("ends", [(1, 1), (1, 0), (0, math.inf), (math.nan, 1)])
    def test_bad_range(self, ends):
        with pytest.raises(DomainError, match="range"):
            betting_interval([1.0], *ends)


class TestLogEProcess:
    @pytest.mark.parametrize("law", LAWS)
    def test_level_at_the_boundary(self, law):
        samples = LAWS[law](np.random.default_rng(10), (RUNS, 2_000))
        assert_level_is_kept(sum(log_e_process(x, 1.0) >= math.log(1 / LEVEL) for x in samples))

    @pytest.mark.parametrize(
        ("law", "excess", "n"), [("skewed", 1.5, 400), ("two-point", 1.5, 400), ("rare-event", 3.0, 10_000)]
    )
    def test_power(self, law, excess, n):
        """A mean of `excess` times the bound is refuted at 1e-6."""
        samples = LAWS[law](np.random.default_rng(11), (200, n))
        assert sum(log_e_process(x, 1 / excess) >= math.log(1e6) for x in samples) >= 180

    def test_documented_blind_spot(self):
        """Events of 150 bounds, one in 100: the bet .01 is too large to gain on them, .002 is not."""
        samples = LAWS["rare-event"](np.random.default_rng(13), (100, 40_000))
        assert sum(log_e_process(x, 1 / 1.5) >= math.log(1e6) for x in samples) <= 10
        assert sum(log_e_process(x, 1 / 1.5, lambdas=(0.002,)) >= math.log(1e6) for x in samples) >= 90

    def test_by_hand(self):
        # t = 1: mean(1.2, 1.6) = 1.4; t = 2: mean(1.2 * 1.6, 1.6 * 2.8) = 3.2. Tolerance: rounding.
        assert log_e_process([2, 4], 1, lambdas=(0.2, 0.6)) == pytest.approx(math.log(3.2), rel=1e-14)
        # t = 1: 1 + .5 (3/2 - 1) = 1.25; t = 2: 1.25 * .5. The maximum over time counts.
        assert log_e_process([3, 0], 2, lambdas=(0.5,)) == pytest.approx(math.log(1.25), rel=1e-14)
        # Five bets on one sample of twice the bound: 1 + mean(.01, .03, .1, .3, .6).
        assert log_e_process([2], 1) == pytest.approx(math.log(1.208), rel=1e-14)
        assert log_e_process([1, 1, 1], 1) == 0

    def test_never_falls_as_samples_are_added(self):
        x = LAWS["skewed"](np.random.default_rng(12), 300)
        values = [log_e_process(x[:n], 0.9) for n in range(1, 301)]
        assert min(np.diff(values)) >= 0

    def test_overflow_is_infinite_evidence(self):
        assert log_e_process([1e300, 0.0], 1e-300) == math.inf
        assert log_e_process([1e250] * 3, 1.0) == pytest.approx(3 * math.log(1e250), rel=0.01)

    @pytest.mark.parametrize("bound", [0.0, -1.0])
    def test_bound_must_be_positive(self, bound):
        with pytest.raises(DomainError, match="bound must be > 0"):
            log_e_process([1.0], bound)

    @pytest.mark.parametrize("bound", [math.nan, math.inf])
    def test_bound_must_be_finite(self, bound):
        with pytest.raises(NonFiniteError):
            log_e_process([1.0], bound)

    def test_samples_must_be_nonnegative(self):
        with pytest.raises(DomainError, match="samples must be >= 0"):
            log_e_process([1.0, -1e-12], 1.0)

    @pytest.mark.parametrize("lambdas", [(0.0,), (1.0,), (0.5, -0.1), ()])
    def test_bad_bets(self, lambdas):
        with pytest.raises(DomainError, match="lambda"):
            log_e_process([1.0], 1.0, lambdas=lambdas)


class TestStudentInterval:
    # The rare event needs more replicates: with 256 it is in the next test.
    @pytest.mark.parametrize(("law", "n"), [("skewed", 256), ("two-point", 256), ("rare-event", 10_000)])
    def test_level_at_the_boundary(self, law, n):
        samples = LAWS[law](np.random.default_rng(20), (RUNS, n))
        one_sided = [student_interval(x, level=LEVEL, sides=1) for x in samples]
        assert_level_is_kept(sum(i.upper < 1 for i in one_sided))
        assert_level_is_kept(sum(i.lower > 1 for i in one_sided))
        assert_level_is_kept(
            sum(not i.lower <= 1 <= i.upper for i in (student_interval(x, level=LEVEL) for x in samples))
        )

    @pytest.mark.parametrize(("law", "share"), [("rare-event", 0.0766), ("heavily skewed", 0.097)])
    def test_documented_failures(self, law, share):
        """Why it is approximate: the upper limit of 256 replicates at 1e-3 misses far more often here."""
        samples = LAWS[law](np.random.default_rng(21), (RUNS, 256))
        missed = sum(student_interval(x, sides=1).upper < 1 for x in samples)
        # Six binomial standard errors around the share in the docstring.
        assert abs(missed / RUNS - share) < 6 * math.sqrt(share / RUNS)

    def test_power(self):
        samples = LAWS["skewed"](np.random.default_rng(22), (200, 1_000))
        intervals = [student_interval(x, sides=1) for x in samples]
        # z(1e-3) + z(.05) standard errors are .15.
        assert sum(i.upper < 1.2 for i in intervals) >= 190
        assert sum(i.lower > 0.8 for i in intervals) >= 190

    def test_by_hand(self):
        # Mean 2, s = 1, n = 3; quantiles of Student's t with 2 degrees of freedom from its closed form.
        def quantile(p):
            return (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))

        two, one = student_interval([1, 2, 3], level=LEVEL), student_interval([1, 2, 3], level=LEVEL, sides=1)
        # Tolerance: the accuracy of scipy's quantile.
        np.testing.assert_allclose(two[:2], 2 + quantile(0.975) / math.sqrt(3) * np.array([-1, 1]), rtol=1e-10)
        np.testing.assert_allclose(one[:2], 2 + quantile(0.95) / math.sqrt(3) * np.array([-1, 1]), rtol=1e-10)
        assert (two.level, two.approximate) == (LEVEL, True)

    def test_equals_the_test_it_inverts(self):
        x = LAWS["skewed"](np.random.default_rng(23), 300)
        interval = student_interval(x, sides=1)
        # The level is recovered up to the accuracy of scipy's quantile.
        assert ttest_1samp(x, interval.upper, alternative="less").pvalue == pytest.approx(1e-3, rel=1e-8)
        assert ttest_1samp(x, interval.lower, alternative="greater").pvalue == pytest.approx(1e-3, rel=1e-8)

    def test_constant_samples(self):
        assert student_interval(np.full(300, 0.5))[:2] == (0.5, 0.5)

    def test_needs_two_samples(self):
        with pytest.raises(DomainError, match="at least 2"):
            student_interval([1.0])

    @pytest.mark.parametrize("sides", [0, 3])
    def test_bad_sides(self, sides):
        with pytest.raises(DomainError, match="sides"):
            student_interval([1.0, 2.0], sides=sides)


class TestClopperPearson:
    # P(x > threshold) = delta under each law.
    @pytest.mark.parametrize(
        ("law", "threshold", "delta"),
        [("skewed", math.log(10), 0.1), ("rare-event", 50.0, 0.01), ("two-point", 1.0, 0.5)],
    )
    def test_level_at_the_boundary(self, law, threshold, delta):
        n = 400
        failures = (LAWS[law](np.random.default_rng(30), (RUNS, n)) > threshold).sum(axis=1)
        counts, runs = np.unique(failures, return_counts=True)
        limits = [clopper_pearson(int(k), n, level=LEVEL) for k in counts]
        assert_level_is_kept(sum(r for i, r in zip(limits, runs, strict=True) if i.lower > delta))
        assert_level_is_kept(sum(r for i, r in zip(limits, runs, strict=True) if i.upper < delta))

    @pytest.mark.parametrize("delta", [0.01, 0.1, 0.5, 0.95])
    def test_level_is_exact(self, delta):
        """All counts, weighted by their probabilities: the level is kept, and not by being idle."""
        n = 300
        counts = np.arange(n + 1)
        limits = [clopper_pearson(int(k), n, level=LEVEL) for k in counts]
        weight = binom.pmf(counts, n, delta)
        for alarm in ([i.lower > delta for i in limits], [i.upper < delta for i in limits]):
            probability = weight[alarm].sum()
            # The count's largest step near the limit is below .03, or above it where no count can alarm.
            assert probability <= LEVEL
            assert probability > 0.015

    @pytest.mark.parametrize("level", [0.05, 1e-6])
    def test_no_failure_in_closed_form(self, level):
        interval = clopper_pearson(0, 500, level=level)
        assert interval.lower == 0
        # scipy's root finder stops at 2e-12.
        assert interval.upper == pytest.approx(1 - level ** (1 / 500), abs=1e-11)
        assert clopper_pearson(500, 500, level=level).lower == pytest.approx(level ** (1 / 500), abs=1e-11)
        assert clopper_pearson(500, 500, level=level).upper == 1
        assert clopper_pearson(0, 500, level=level).approximate is False

    def test_limits_invert_the_tails(self):
        interval = clopper_pearson(7, 90, level=1e-3)
        # At the lower limit 7 or more failures have probability 1e-3, at the upper one 7 or fewer.
        assert binom.sf(6, 90, interval.lower) == pytest.approx(1e-3, rel=1e-6)
        assert binom.cdf(7, 90, interval.upper) == pytest.approx(1e-3, rel=1e-6)

    def test_power(self):
        """At 1e-6 and n = 2,000, a failure probability of .1 refutes .05 and confirms .15."""
        failures = (np.random.default_rng(31).random((200, 2_000)) < 0.1).sum(axis=1)
        limits = [clopper_pearson(int(k), 2_000) for k in failures]
        assert sum(i.lower > 0.05 for i in limits) >= 190
        assert sum(i.upper <= 0.15 for i in limits) >= 190

    @pytest.mark.parametrize("delta", [0.5, 0.1, 0.01, 1e-3])
    def test_tail_sample_size_is_the_least(self, delta):
        n = tail_sample_size(delta)
        assert clopper_pearson(0, n).upper <= delta < clopper_pearson(0, n - 1).upper

    def test_tail_sample_size_by_hand(self):
        assert tail_sample_size(0.01) == 1375
        assert tail_sample_size(0.9) == 6
        assert tail_sample_size(0.5, level=0.05) == 5

    @pytest.mark.parametrize(("failures", "n"), [(-1, 5), (6, 5), (0, 0)])
    def test_bad_counts(self, failures, n):
        with pytest.raises(DomainError, match="failures"):
            clopper_pearson(failures, n)

    @pytest.mark.parametrize("failures", [math.nan, 1.0])
    def test_counts_are_integers(self, failures):
        with pytest.raises(TypeError):
            clopper_pearson(failures, 5)

    @pytest.mark.parametrize("delta", [0.0, 1.0, math.nan])
    def test_bad_delta(self, delta):
        with pytest.raises(DomainError, match="delta"):
            tail_sample_size(delta)


class TestSlopes:
    x = np.geomspace(10, 1_000, 9)

    @pytest.mark.parametrize("exponent", [-2.0, -1.0, -0.5, 0.0, 0.7])
    def test_power_law(self, exponent):
        y = 3.0 * self.x**exponent
        # Rounding of logarithms near 7, divided by a grid of 2 decades.
        assert loglog_slope(self.x, y) == pytest.approx(exponent, abs=1e-13)
        np.testing.assert_allclose(local_slopes(self.x, y), exponent, rtol=0, atol=1e-13)

    def test_least_squares(self):
        y = np.random.default_rng(40).exponential(size=(2, 3, 9))
        slopes = np.asarray(loglog_slope(self.x, y))
        assert slopes.shape == (2, 3)
        for index in np.ndindex(2, 3):
            expected = np.polyfit(np.log(self.x), np.log(y[index]), 1)[0]
            # polyfit solves a least-squares system of condition number about 10.
            assert slopes[index] == pytest.approx(expected, rel=1e-12)
            assert loglog_slope(self.x, y[index]) == pytest.approx(slopes[index], rel=1e-13)
        assert local_slopes(self.x, y).shape == (2, 3, 8)

    def test_a_log_factor_is_seen(self):
        """log(n)/n has local slope -1 + 1/log(n): not -1 on any window one can run."""
        n = np.geomspace(1e3, 1e5, 9)
        local = local_slopes(n, np.log(n) / n)
        assert (local > -0.95).all()
        assert -1 < loglog_slope(n, np.log(n) / n) < -0.8
        # The tolerance is the curvature 1/log(n)^2 over a third of an e-fold.
        np.testing.assert_allclose(local, -1 + 1 / np.log(np.sqrt(n[1:] * n[:-1])), rtol=0, atol=5e-3)
        np.testing.assert_allclose(local_slopes(n, np.log(n) / n / np.log(n)), -1, rtol=0, atol=1e-13)

    @pytest.mark.parametrize("function", [loglog_slope, local_slopes])
    @pytest.mark.parametrize("x", [[1.0], [0.0, 1.0], [-1.0, 1.0], [2.0, 1.0], [1.0, 1.0]])
    def test_bad_grid(self, function, x):
        with pytest.raises(DomainError, match="x must"):
            function(x, np.ones(len(x)))

    @pytest.mark.parametrize("function", [loglog_slope, local_slopes])
    @pytest.mark.parametrize("bad", [0.0, -1.0])
    def test_curves_are_positive(self, function, bad):
        with pytest.raises(DomainError, match="y must be > 0"):
            function([1, 2], [1.0, bad])

    @pytest.mark.parametrize("function", [loglog_slope, local_slopes])
    def test_shapes(self, function):
        with pytest.raises(ShapeError, match="last axis"):
            function([1, 2, 3], np.ones((3, 2)))


# At one event in 100, means of 200 replicates would vanish.
NOISE = {**LAWS, "rare-event": lambda rng, shape: np.where(rng.random(shape) < 0.1, 10.0, 0.0)}


class TestSlopeInterval:
    x = 10.0 * 2 ** np.arange(5)

    @pytest.mark.parametrize("law", ["skewed", "rare-event", "two-point"])
    def test_level_at_the_boundary(self, law):
        rng = np.random.default_rng(50)
        alarms = vacuous = 0
        for seed in range(RUNS):
            samples = NOISE[law](rng, (200, 5)) / self.x
            interval = slope_interval(self.x, samples, level=LEVEL, resamples=400, seed=seed)
            vacuous += math.isinf(interval.lower)
            alarms += not interval.lower <= -1 <= interval.upper
        assert_level_is_kept(alarms)
        assert vacuous <= 10

    def test_level_with_dependent_points(self):
        """A factor common to the points of a replicate leaves the slope alone if they are resampled together."""
        rng = np.random.default_rng(51)
        alarms, widths = 0, []
        for seed in range(RUNS):
            samples = rng.exponential(size=(200, 1)) * rng.gamma(4.0, 0.25, size=(200, 5)) / self.x
            interval = slope_interval(self.x, samples, level=LEVEL, resamples=400, seed=seed)
            alarms += not interval.lower <= -1 <= interval.upper
            widths.append(interval.upper - interval.lower)
        assert_level_is_kept(alarms)
        # A point has variance 2 * 1.25 - 1 and two points covariance 1, so the slope sees 0.5 / 200; points
        # resampled independently would see 1.5 / 200 and be sqrt(3) times too wide.
        centred = np.log(self.x) - np.log(self.x).mean()
        assert np.mean(widths) == pytest.approx(2 * 1.96 * math.sqrt(0.5 / 200 / (centred @ centred)), rel=0.1)

    @pytest.mark.parametrize(("exponent", "compatible"), [(-1.0, True), (-0.5, False), (-0.9, False)])
    def test_power(self, exponent, compatible):
        """200 replicates over 1.5 decades tell -1 from -.9 at 1e-3, and 1/sqrt(n) is never taken for 1/n."""
        x = np.geomspace(10, 10**2.5, 5)
        rng = np.random.default_rng(52)
        seen = 0
        for seed in range(20):
            samples = rng.gamma(4.0, 0.25, size=(200, 5)) * x**exponent
            interval = slope_interval(x, samples, resamples=2_000, seed=seed)
            seen += interval.lower <= -1 <= interval.upper
        assert seen == 20 if compatible else seen <= 1

    def test_point_estimate_inside(self):
        samples = NOISE["skewed"](np.random.default_rng(53), (300, 5)) / self.x
        interval = slope_interval(self.x, samples, seed=0)
        assert interval.lower < loglog_slope(self.x, samples.mean(axis=0)) < interval.upper
        assert (interval.level, interval.approximate) == (1e-3, True)

    def test_same_seed_same_interval(self):
        samples = NOISE["skewed"](np.random.default_rng(54), (200, 5)) / self.x
        first, again, other = (slope_interval(self.x, samples, level=LEVEL, seed=s) for s in (3, 3, 4))
        assert first == again
        assert first != other

    def test_noiseless_curve(self):
        samples = np.tile(2 / np.sqrt(self.x), (200, 1))
        interval = slope_interval(self.x, samples, seed=0)
        # Rounding of means of 200 equal values.
        np.testing.assert_allclose(interval[:2], -0.5, rtol=0, atol=1e-13)

    def test_signed_samples_with_a_positive_mean(self):
        rng = np.random.default_rng(55)
        interval = slope_interval(self.x, (1 + 2 * rng.standard_normal((2_000, 5))) / self.x, seed=0)
        assert -1.2 < interval.lower < -1 < interval.upper < -0.8

    def test_a_resample_without_a_slope_decides_nothing(self):
        samples = np.zeros((200, 5))
        samples[0] = 1 / self.x  # absent from a share 1/e of the resamples
        assert slope_interval(self.x, samples, seed=0) == (-math.inf, math.inf, 1e-3, True)

    def test_mean_curve_must_be_positive(self):
        with pytest.raises(DomainError, match="mean curve must be > 0"):
            slope_interval(self.x, np.zeros((200, 5)), seed=0)

    def test_memory(self):
        x = np.geomspace(1, 100, 20)
        samples = NOISE["skewed"](np.random.default_rng(56), (500, 20)) / x
        tracemalloc.start()
        try:
            slope_interval(x, samples, seed=0)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 200e6  # all 9,999 resamples together are 800 MB

    def test_resamples_must_reach_the_percentile(self):
        with pytest.raises(DomainError, match="at least 2000 resamples"):
            slope_interval(self.x, np.ones((200, 5)), resamples=1_999, seed=0)

    def test_needs_two_replicates(self):
        with pytest.raises(DomainError, match="at least 2"):
            slope_interval(self.x, np.ones((1, 5)), seed=0)

    @pytest.mark.parametrize("shape", [(5,), (200, 4), (2, 200, 5)])
    def test_shapes(self, shape):
        with pytest.raises(ShapeError):
            slope_interval(self.x, np.ones(shape), seed=0)

    @pytest.mark.parametrize("seed", [None, 1.5])
    def test_seed_is_an_integer(self, seed):
        with pytest.raises(TypeError):
            slope_interval(self.x, np.ones((200, 5)), seed=seed)


class TestAgreeWithin:
    @pytest.mark.parametrize("law", LAWS)
    def test_one_law(self, law):
        rng = np.random.default_rng(60)
        # Four comparisons of probability 6e-5 in 200 runs: more than one alarm has probability 1e-3.
        assert sum(not agree_within(LAWS[law](rng, 2_000), LAWS[law](rng, 3_000)) for _ in range(200)) <= 1

    def test_level_at_the_boundary(self):
        """At 1.96 sigmas, where mean and median are one comparison."""
        rng = np.random.default_rng(61)
        x, y = LAWS["two-point"](rng, (RUNS, 500)), LAWS["two-point"](rng, (RUNS, 800))
        alarms = sum(not agree_within(a, b, 1.96, quantiles=(0.5,)) for a, b in zip(x, y, strict=True))
        assert_level_is_kept(alarms)
        assert alarms >= 20

    def test_sees_a_shifted_mean(self):
        rng = np.random.default_rng(62)
        # A shift of 7 combined standard errors, below the resolution of the quantiles.
        assert not agree_within(rng.standard_normal(10_000), rng.standard_normal(10_000) + 0.1, quantiles=(0.01,))

    def test_sees_a_spread_that_the_mean_hides(self):
        rng = np.random.default_rng(63)
        x, y = rng.standard_normal(20_000), 1.2 * rng.standard_normal(20_000)
        assert not agree_within(x, y)
        assert agree_within(x, y, quantiles=(0.5,))

    def test_rounding_is_not_law(self):
        values = np.exp(np.random.default_rng(64).integers(0, 5, 1_000))
        assert agree_within(values, np.nextafter(values, np.inf))
        assert agree_within(np.full(9, 0.1), np.full(9, np.nextafter(0.1, 1)))
        assert agree_within(values, values.astype(np.float32), rounding=1e-6)
        assert not agree_within(np.full(9, 0.1), np.full(9, 0.1001))

    @pytest.mark.parametrize(
        "options", [{"sigmas": 0}, {"sigmas": math.nan}, {"quantiles": (1.0,)}, {"rounding": -1.0}]
    )
    def test_bad_options(self, options):
        with pytest.raises(DomainError):
            agree_within([1.0, 2.0], [1.0, 2.0], **options)


GRID = np.array([1.0, 2.0, 4.0])
SAMPLERS = {
    "betting_interval": lambda x: betting_interval(x, 0, 1),
    "log_e_process": lambda x: log_e_process(x, 1.0),
    "student_interval": student_interval,
    "loglog_slope": lambda x: loglog_slope(GRID, x),
    "local_slopes": lambda x: local_slopes(GRID, x),
    "slope_interval": lambda x: slope_interval(GRID, [x, x], seed=0),
    "agree_within": lambda x: agree_within(x, [0.5, 0.25, 0.5]),
    "agree_within, second": lambda x: agree_within([0.5, 0.25, 0.5], x),
}


@pytest.mark.parametrize("sampler", SAMPLERS)
class TestNothingBrokenPasses:
    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_non_finite(self, sampler, bad):
        with pytest.raises(NonFiniteError) as caught:
            SAMPLERS[sampler](np.array([0.5, bad, 0.5]))
        assert caught.value.index is not None
        assert caught.value.index[-1] in (0, 1)  # slope_interval sees it in the first replicate

    def test_empty(self, sampler):
        with pytest.raises(DomainError):
            SAMPLERS[sampler](np.array([]))

    def test_not_numbers(self, sampler):
        with pytest.raises(TypeError):
            SAMPLERS[sampler](np.array([0.5, None, 0.5]))


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, math.nan])
@pytest.mark.parametrize(
    "decider",
    [
        lambda level: betting_interval([0.5], 0, 1, level=level),
        lambda level: student_interval([0.5, 1.0], level=level),
        lambda level: clopper_pearson(0, 5, level=level),
        lambda level: tail_sample_size(0.1, level=level),
        lambda level: slope_interval(GRID, np.ones((2, 3)), level=level, seed=0),
    ],
    ids=["betting_interval", "student_interval", "clopper_pearson", "tail_sample_size", "slope_interval"],
)
def test_level_is_a_probability(decider, level):
    with pytest.raises(DomainError, match="level must lie"):
        decider(level)


@pytest.mark.parametrize(
    "decider", [lambda x: betting_interval(x, 0, 9), student_interval, lambda x: log_e_process(x, 1)]
)
def test_one_axis_of_samples(decider):
    with pytest.raises(ShapeError, match="axes"):
        decider(np.ones((3, 3)))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_number_is_not_a_sample(sampler):
    with pytest.raises(ShapeError):
        SAMPLERS[sampler](np.float64(0.5))
