"""Coverage of the interval of one rate, exactly: every possible count, weighed by its binomial chance."""

import numpy as np
import pytest
from scipy import stats
from truenorth.evals.statistics.wilson import rate_interval, wilson, wilson_clustered


def coverage(interval, n, rate):
    inside = [k for k in range(n + 1) if (found := interval(k, n)).low <= rate <= found.high]
    return stats.binom.pmf(inside, n, rate).sum()


@pytest.mark.parametrize("n", [25, 50, 100, 200])
@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1, 0.5, 0.9, 0.95, 0.98])
def test_coverage_is_at_least_93_percent(n, rate):
    assert coverage(rate_interval, n, rate) >= 0.93


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


def test_it_is_wilsons_interval_from_a_dozen_events_on_and_never_narrower():
    for k in range(101):
        found, plain = rate_interval(k, 100), wilson(k, 100)
        assert found.low <= plain.low
        assert found.high >= plain.high
        if 12 <= k <= 88:
            assert found == plain


def test_few_events_have_the_one_sided_exact_limit():
    assert rate_interval(2, 25).low == pytest.approx(stats.beta.ppf(0.05, 2, 24))
    assert rate_interval(23, 25).high == pytest.approx(stats.beta.ppf(0.95, 24, 2))


def test_rates_of_clusters_are_kept_from_the_dips_too():
    values = [1.0] + [0.0] * 99
    found = wilson_clustered(values, [str(i) for i in range(100)])
    assert found.low == pytest.approx(stats.beta.ppf(0.05, 1, 100), rel=0.03)
