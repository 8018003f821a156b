"""Coverage of the interval of one rate, exactly: every possible count, weighed by its binomial chance."""

import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq
from truenorth.evals.statistics.wilson import rate_interval, wilson, wilson_clustered


def coverage(interval, n, rate):
    inside = [k for k in range(n + 1) if (found := interval(k, n)).low <= rate <= found.high]
    return stats.binom.pmf(inside, n, rate).sum()


@pytest.mark.parametrize("n", [25, 50, 100, 200])
@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 0.95, 0.98])
def test_coverage_is_at_least_93_percent(n, rate):
    assert coverage(rate_interval, n, rate) >= 0.93


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2, 0.3, 0.4, 0.5])
def test_coverage_at_25_is_at_most_97_percent_where_counts_allow(rate):
    assert coverage(rate_interval, 25, rate) <= 0.97


def test_coverage_above_97_percent_at_two_percent_of_25_is_the_nearest_that_any_interval_comes():
    """With 25 responses and a rate of .02 the sums of likely counts jump from .911 to .987: nothing lies between."""
    reached = np.cumsum(stats.binom.pmf(range(26), 25, 0.02))
    assert not any(0.93 <= value <= 0.97 for value in reached)
    assert coverage(rate_interval, 25, 0.02) == pytest.approx(reached[2])
    assert coverage(wilson, 25, 0.02) == pytest.approx(reached[1])


def test_mean_coverage_over_all_rates_is_nominal():
    for n in (25, 100):
        covered = [coverage(rate_interval, n, rate) for rate in np.linspace(0.01, 0.99, 99)]
        assert 0.95 <= np.mean(covered) <= 0.965


def test_wilsons_dip_near_zero_is_gone():
    """Just inside Wilson's lower limit for one event its coverage is .84, at every n."""
    for n in (25, 1000):
        rate = wilson(1, n).low - 1e-9
        assert coverage(wilson, n, rate) < 0.85
        assert coverage(rate_interval, n, rate) > 0.95


def mid_p_upper(k, n, alpha=0.05):
    """By the definition, with binomial chances instead of incomplete beta functions."""
    return brentq(lambda p: stats.binom.cdf(k - 1, n, p) + stats.binom.pmf(k, n, p) / 2 - alpha / 2, k / n, 1 - 1e-12)


def test_limits_are_the_further_ones_of_wilson_and_mid_p():
    for n, alpha in itertools.product((5, 25, 100), (0.05, 0.2)):
        for k in range(n):
            high = max(wilson(k, n, alpha).high, mid_p_upper(k, n, alpha))
            assert rate_interval(k, n, alpha).high == pytest.approx(high, abs=1e-9)
            assert rate_interval(n - k, n, alpha).low == pytest.approx(1 - high, abs=1e-9)
    assert rate_interval(1, 25).low == pytest.approx(1 - mid_p_upper(24, 25))
    assert rate_interval(1, 25).low < wilson(1, 25).low


def test_mid_p_limit_worked_by_hand():
    """One of one: p / 2 = .1, so p = .2; Wilson's lower limit at that level is 1 / (1 + z^2) = .378."""
    assert rate_interval(1, 1, alpha=0.2).low == pytest.approx(0.2)


def test_with_many_events_it_is_nearly_wilsons_interval():
    for k in range(100, 901, 100):
        found, plain = rate_interval(k, 1000), wilson(k, 1000)
        assert found.low == pytest.approx(plain.low, abs=5e-4)
        assert found.high == pytest.approx(plain.high, abs=5e-4)


@pytest.mark.parametrize("alpha", [1e-12, 0.5, 1 - 1e-9])
def test_any_level_and_fractional_counts_have_limits_in_order(alpha):
    for events, n in itertools.product((0, 1e-6, 0.3, 2.5, 7), (7, 10.3)):
        found = rate_interval(events, n, alpha)
        assert 0 <= found.low <= found.value <= found.high <= 1


def test_rates_of_clusters_are_kept_from_the_dips_too():
    values = [1.0] + [0.0] * 99
    found = wilson_clustered(values, [str(i) for i in range(100)])
    assert found.low == pytest.approx(1 - mid_p_upper(99, 100), rel=0.03)
