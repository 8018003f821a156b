"""Tango's interval against likelihoods maximised numerically, against McNemar and Wilson, and its exact coverage."""

import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar
from truenorth.evals.statistics.interval import inverted_p
from truenorth.evals.statistics.newcombe import newcombe_paired
from truenorth.evals.statistics.tango import tango_paired
from truenorth.evals.statistics.wilson import wilson


def score(difference, lost, gained, n):
    """The statistic with the nuisance chance q of a lost pair found by maximising the multinomial likelihood on a line."""

    def loss(q):
        chances = np.array([q, q + difference, 1 - 2 * q - difference])
        counts = np.array([lost, gained, n - lost - gained])
        return -float(counts[counts > 0] @ np.log(np.maximum(chances[counts > 0], 1e-300)))

    low, high = max(0.0, -difference), (1 - difference) / 2
    q = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return (gained - lost - n * difference) / np.sqrt(n * (2 * q + difference * (1 - difference)))


@pytest.mark.parametrize(("lost", "gained", "n"), [(12, 2, 50), (1, 5, 20), (3, 3, 25), (0, 4, 12), (30, 1, 40)])
def test_limits_are_where_the_statistic_of_a_numerical_likelihood_meets_the_quantile(lost, gained, n):
    found = tango_paired(lost, gained, n)
    for limit, sign in ((found.low, 1), (found.high, -1)):
        if abs(limit) < 1:
            assert score(limit, lost, gained, n) == pytest.approx(sign * 1.959964, abs=1e-3)


def test_at_no_difference_it_is_mcnemars_statistic():
    for lost, gained in ((12, 2), (1, 5), (20, 9)):
        p = inverted_p(lambda alpha: tango_paired(lost, gained, 50, alpha), 0.0)  # noqa: B023 - called at once
        assert p == pytest.approx(stats.chi2.sf((lost - gained) ** 2 / (lost + gained), 1), rel=1e-6)


def test_without_discordant_pairs_it_has_wilsons_width():
    for n in (1, 25, 400):
        found = tango_paired(0, 0, n)
        assert (-found.low, found.value, found.high) == pytest.approx((wilson(0, n).high, 0, wilson(0, n).high), abs=1e-9)


@pytest.mark.parametrize("alpha", [1e-12, 0.05, 0.5, 1 - 1e-9])
def test_limits_are_in_order_and_change_sides_with_the_models(alpha):
    for n in (1, 2, 7):
        for lost, gained in ((b, c) for b in range(n + 1) for c in range(n + 1 - b)):
            found, other = tango_paired(lost, gained, n, alpha), tango_paired(gained, lost, n, alpha)
            assert -1 <= found.low <= found.value <= found.high <= 1
            assert (found.low, found.high) == pytest.approx((-other.high, -other.low))


def test_impossible_counts_are_refused():
    for lost, gained, n in ((0, 0, 0), (-1, 2, 5), (3, 3, 5)):
        with pytest.raises(ValueError, match=f"of {n}"):
            tango_paired(lost, gained, n)


@pytest.mark.parametrize(
    ("base", "tuned", "correlation"), [(0.1, 0.1, 0.3), (0.2, 0.2, 0.5), (0.5, 0.5, 0.6), (0.3, 0.6, 0.3), (0.2, 0.4, 0.3)]
)
def test_exact_coverage_at_25_pairs_is_nominal_and_no_further_off_than_newcombes(base, tuned, correlation):
    n, both = 25, base * tuned + correlation * (base * (1 - base) * tuned * (1 - tuned)) ** 0.5
    chances = [both, base - both, tuned - both, 1 - base - tuned + both]
    covered = np.zeros(2)
    for a, b, c in itertools.product(range(n + 1), repeat=3):
        if a + b + c <= n:
            weight = stats.multinomial.pmf([a, b, c, n - a - b - c], n, chances)
            limits = tango_paired(b, c, n), newcombe_paired(a, b, c, n - a - b - c)
            covered += weight * np.array([one.low - 1e-12 <= tuned - base <= one.high + 1e-12 for one in limits])
    assert 0.93 <= covered[0] <= 0.97
    assert abs(covered[0] - 0.95) <= abs(covered[1] - 0.95) + 0.001
