"""Statistics against statsmodels, scipy, published worked examples, brute force and simulation."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from truenorth.evals.statistics.clusters import cluster_difference, cluster_ratio
from truenorth.evals.statistics.holm import holm, holm_level
from truenorth.evals.statistics.interval import Interval, inverted_p
from truenorth.evals.statistics.mcnemar import mcnemar_exact
from truenorth.evals.statistics.newcombe import newcombe_clustered, newcombe_paired
from truenorth.evals.statistics.power import effective_n, mde_normal, mde_paired, n_to_decide, resolution
from truenorth.evals.statistics.wilson import wilson, wilson_clustered

sm = pytest.importorskip("statsmodels.api")
from statsmodels.stats.contingency_tables import mcnemar  # noqa: E402
from statsmodels.stats.multitest import multipletests  # noqa: E402
from statsmodels.stats.proportion import proportion_confint  # noqa: E402


def cluster_names(groups, size):
    return [f"c{i}" for i in range(groups) for _ in range(size)]


# -- one rate


@pytest.mark.parametrize(("k", "n"), [(0, 200), (1, 25), (13, 25), (25, 25), (497, 1000)])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_wilson_equals_statsmodels(k, n, alpha):
    found = wilson(k, n, alpha)
    assert found[1:] == pytest.approx(proportion_confint(k, n, alpha, "wilson"), abs=1e-12)
    assert found.low <= found.value <= found.high


def test_wilson_upper_limits_for_no_events_are_those_of_the_literature():
    assert [round(100 * wilson(0, n).high, 2) for n in (200, 400, 1000)] == [1.88, 0.95, 0.38]


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_refuses_impossible_counts(k, n):
    with pytest.raises(ValueError, match="successes"):
        wilson(k, n)


def test_wilson_inverts_the_score_test():
    k, n, null = 30, 100, 0.4
    z = (k / n - null) / math.sqrt(null * (1 - null) / n)
    assert inverted_p(lambda a: wilson(k, n, a), null) == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-6)


def test_mean_wilson_coverage_near_a_rate_is_nominal():
    """Exact coverage at one rate jumps with it (counts are whole); averaged over neighbouring rates it is the nominal one."""
    for n, low, high in ((25, 0.005, 0.05), (25, 0.95, 0.995), (100, 0.3, 0.7)):
        limits = [wilson(k, n) for k in range(n + 1)]
        rates = np.linspace(low, high, 60)
        covered = [sum(stats.binom.pmf(k, n, p) for k, i in enumerate(limits) if i.low <= p <= i.high) for p in rates]
        assert 0.93 <= np.mean(covered) <= 0.975, (n, low)


def test_clustered_wilson_with_a_full_copy_of_each_item_is_as_wide_as_without():
    values = [1.0] * 12 + [0.0] * 28
    once = wilson_clustered(values, [str(i) for i in range(40)])
    twice = wilson_clustered(values * 2, [str(i) for i in range(40)] * 2)
    assert twice == pytest.approx(once)
    assert once.high - once.low > wilson(24, 80).high - wilson(24, 80).low


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_clustered_wilson_counts_clusters_when_no_variation_was_seen(rate):
    found = wilson_clustered([rate] * 60, cluster_names(20, 3))
    t = stats.t.ppf(0.975, 19)
    width = t**2 / 20 / (1 + t**2 / 20)  # Wilson's limit for 0 of 20 with t in place of z
    assert (found.high if rate == 0 else 1 - found.low) == pytest.approx(width)


def test_clustered_wilson_never_beats_independent_items():
    values = ([1.0] * 3 + [0.0]) * 25  # every cluster has the same rate: no variance between them
    assert wilson_clustered(values, cluster_names(25, 4)).low <= wilson(75, 100).low


def test_one_cluster_has_no_interval():
    assert math.isnan(wilson_clustered([1, 0, 1], ["a"] * 3).low)
    assert math.isnan(newcombe_clustered([1, 0], [1, 1], ["a"] * 2).high)


# -- ratios and differences, clustered


def test_cluster_ratio_equals_weighted_least_squares_with_clustered_errors():
    rng = np.random.default_rng(0)
    names = rng.integers(0, 15, 120)
    weights = rng.integers(1, 30, 120).astype(float)
    values = weights * rng.normal(0.5, 0.2, 120) + rng.normal(size=15)[names]
    oracle = sm.WLS(values / weights, np.ones(120), weights=weights).fit(cov_type="cluster", cov_kwds={"groups": names}, use_t=True)
    found = cluster_ratio(values, weights, names.astype(str))
    assert (found.value, found.se) == pytest.approx((oracle.params[0], oracle.bse[0]))
    assert found.interval()[1:] == pytest.approx(tuple(oracle.conf_int()[0]))
    assert found.p_value() == pytest.approx(oracle.pvalues[0])


def test_difference_of_means_equals_the_clustered_regression_of_the_differences():
    rng = np.random.default_rng(1)
    names, base, tuned = rng.integers(0, 9, 60), rng.normal(size=60), rng.normal(0.4, 1, 60)
    oracle = sm.OLS(tuned - base, np.ones(60)).fit(cov_type="cluster", cov_kwds={"groups": names}, use_t=True)
    found = cluster_difference((base, np.ones(60)), (tuned, np.ones(60)), names.astype(str))
    assert (found.value, found.se) == pytest.approx((oracle.params[0], oracle.bse[0]))


def test_unclustered_difference_is_the_paired_t_test():
    rng = np.random.default_rng(2)
    base, tuned = rng.normal(size=30), rng.normal(0.3, 1, 30)
    found = cluster_difference((base, [1] * 30), (tuned, [1] * 30), [str(i) for i in range(30)])
    assert found.p_value() == pytest.approx(stats.ttest_rel(tuned, base).pvalue)


def test_difference_of_ratios_agrees_with_a_cluster_jackknife():
    rng = np.random.default_rng(3)
    groups, size = 80, 3
    weights = rng.integers(5, 20, (2, groups * size)).astype(float)
    shared = np.repeat(rng.normal(size=groups), size)
    values = weights * (0.3 + 0.1 * rng.normal(size=(2, groups * size))) + shared
    names = np.array(cluster_names(groups, size))
    found = cluster_difference((values[0], weights[0]), (values[1], weights[1]), names)

    def without(name):
        kept = names != name
        return values[1, kept].sum() / weights[1, kept].sum() - values[0, kept].sum() / weights[0, kept].sum()

    left = np.array([without(name) for name in dict.fromkeys(names)])
    jackknife = math.sqrt((groups - 1) / groups * ((left - left.mean()) ** 2).sum())
    assert found.se == pytest.approx(jackknife, rel=0.03)


def test_equal_values_have_no_error_and_a_sure_p_value():
    found = cluster_ratio([0.1] * 30, [1.0] * 30, cluster_names(10, 3))
    assert found.se == 0
    assert (found.p_value(0.0), found.p_value(found.value)) == (0.0, 1.0)


def test_ratio_without_weight_is_refused():
    with pytest.raises(ValueError, match="positive sum"):
        cluster_ratio([0.0], [0.0], ["a"])


# -- paired rates


@pytest.mark.parametrize(("b", "c"), [(0, 0), (0, 5), (0, 6), (3, 9), (40, 62), (900, 1100)])
def test_mcnemar_equals_statsmodels(b, c):
    assert mcnemar_exact(b, c) == pytest.approx(mcnemar([[1, b], [c, 1]], exact=True).pvalue if b + c else 1.0)


def test_mcnemar_by_enumerating_every_coin_sequence():
    b, c = 2, 7
    as_extreme = sum(min(s.count(0), s.count(1)) <= b for s in itertools.product((0, 1), repeat=b + c))
    assert mcnemar_exact(b, c) == pytest.approx(as_extreme / 2 ** (b + c))


def test_mid_p_takes_off_the_probability_of_the_observed_table():
    b, c = 2, 7
    assert mcnemar_exact(b, c) - mcnemar_exact(b, c, mid_p=True) == pytest.approx(stats.binom.pmf(b, b + c, 0.5))
    assert mcnemar_exact(4, 4, mid_p=True) == 1.0


def test_six_discordant_pairs_one_way_are_needed_for_significance():
    assert mcnemar_exact(0, 5) > 0.05 > mcnemar_exact(0, 6)


def test_newcombe_gives_the_published_worked_example():
    """Newcombe 1998, method 10, for the pairs (36, 12, 2, 0)."""
    found = newcombe_paired(36, 12, 2, 0)
    assert (-found.high, -found.low) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_newcombe_has_a_width_without_discordant_pairs():
    for both, neither in ((100, 0), (0, 100), (50, 50)):
        found = newcombe_paired(both, 0, 0, neither)
        assert found.value == 0
        assert found.high == pytest.approx(-found.low)
        assert found.high > 0.01


def test_clustered_newcombe_of_identical_outcomes_counts_clusters():
    values = [1.0, 0.0, 1.0] * 10
    found = newcombe_clustered(values, values, cluster_names(10, 3))
    assert found == pytest.approx((0.0, -wilson(0, 10).high, wilson(0, 10).high))


# -- families of tests and power


def test_holm_equals_statsmodels():
    p_values = [0.04, 0.001, 0.012, 0.5, 0.012, 1.0]
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))
    assert holm([]) == []


@pytest.mark.parametrize(("n", "psi", "points"), [(200, 0.05, 4.4), (200, 0.1, 6.2), (400, 0.2, 6.2), (1000, 0.3, 4.8), (100, 0.2, 12.4)])
def test_smallest_effect_equals_the_published_table(n, psi, points):
    assert 100 * mde_paired(n, psi) == pytest.approx(points, abs=0.051)


def test_smallest_effect_is_found_four_times_in_five():
    rng = np.random.default_rng(4)
    n, psi = 300, 0.2
    delta = mde_paired(n, psi)
    gained = rng.multinomial(n, [(psi + delta) / 2, (psi - delta) / 2, 1 - psi], 4000)
    statistic = (gained[:, 0] - gained[:, 1]) / np.sqrt(gained[:, 0] + gained[:, 1])
    assert np.mean(np.abs(statistic) > 1.96) == pytest.approx(0.8, abs=0.03)


def test_clusters_that_stand_together_count_as_one_item_each():
    assert (effective_n([1] * 40), effective_n([5] * 8), effective_n([40]), effective_n([])) == (40, 8, 1, 0)
    rng = np.random.default_rng(7)
    sizes = [1, 2, 3, 4, 10]
    means = np.repeat(rng.normal(size=(40_000, 5)), sizes, axis=1).mean(axis=1)
    assert 1 / means.var() == pytest.approx(400 / 130, rel=0.03)
    assert effective_n(sizes) == 400 // 130


def test_a_card_says_what_its_prompts_resolve():
    assert resolution([1] * 400) == "resolves differences of 6.2 points between two models (80% power, psi = 0.2, n = 400)"
    assert resolution([4] * 100).endswith("n = 400); of 12.4 where all prompts of a cluster stand and fall together")


def test_smallest_effect_needs_a_difference_at_least_as_large_as_what_differs():
    assert mde_paired(100, 0.0) > 0.05
    assert mde_paired(1, 0.0) == 1.0
    assert mde_normal(0.1) == pytest.approx(0.1 * (1.959964 + 0.841621) / 1.959964, rel=1e-5)


@pytest.mark.parametrize("others", [[], [1.0] * 9, [0.004, 1.0, 0.3], [0.001, 0.016, 0.02], [0.03, 0.03], [0.0166, 0.0249]])
def test_holms_level_is_where_one_more_test_begins_to_be_rejected(others):
    level = holm_level(others, 0.05)
    assert holm([level * 0.9999, *others])[0] < 0.05 <= holm([level * 1.0001, *others])[0]


def test_n_to_decide_grows_with_the_square_of_the_missing_distance():
    p_value = 2 * stats.norm.sf(1.0)  # one standard error away; 1.96 are needed
    assert n_to_decide(100, p_value, 0.05) == math.ceil(100 * 1.959964**2)
    assert n_to_decide(100, p_value, 0.05 / 3) == math.ceil(100 * 2.393980**2)
    assert n_to_decide(100, 1.0, 0.05) is None
    assert n_to_decide(100, None, 0.05) is None


def test_inverted_p_says_when_it_never_or_always_excludes():
    assert inverted_p(lambda _: Interval(0, -1, 1), 0.5) == 1.0
    assert inverted_p(lambda _: Interval(0, -1, 1), 2.0) == 1e-12


# -- simulation


def clustered_outcomes(rng, rate, icc, groups, size):
    """Beta-binomial outcomes: mean `rate`, correlation `icc` within a cluster."""
    spread = (1 - icc) / icc
    chance = rng.beta(rate * spread, (1 - rate) * spread, groups)
    return (rng.random((groups, size)) < chance[:, None]).astype(float).ravel()


@pytest.mark.parametrize(("rate", "icc", "groups", "size"), [(0.02, 0.3, 25, 4), (0.5, 0.3, 25, 4), (0.98, 0.1, 60, 5), (0.3, 0.6, 40, 3)])
def test_clustered_wilson_covers(rate, icc, groups, size):
    rng = np.random.default_rng(5)
    names = cluster_names(groups, size)
    hits = [
        i.low <= rate <= i.high for i in (wilson_clustered(clustered_outcomes(rng, rate, icc, groups, size), names) for _ in range(700))
    ]
    assert 0.925 <= np.mean(hits) <= 0.985


def test_plain_wilson_on_clustered_outcomes_does_not_cover():
    rng = np.random.default_rng(6)
    hits = []
    for _ in range(500):
        found = wilson(clustered_outcomes(rng, 0.3, 0.6, 40, 3).sum(), 120)
        hits.append(found.low <= 0.3 <= found.high)
    assert np.mean(hits) < 0.88


@pytest.mark.parametrize(
    ("base", "tuned", "groups", "size"), [(0.02, 0.1, 60, 3), (0.5, 0.7, 25, 4), (0.1, 0.9, 12, 3), (0.95, 0.98, 60, 3)]
)
def test_clustered_newcombe_covers(base, tuned, groups, size):
    rng = np.random.default_rng(7)
    names, cuts = cluster_names(groups, size), stats.norm.ppf([base, tuned])
    hits = []
    for _ in range(500):
        shared = 0.6 * rng.normal(size=(groups, 1)) + 0.5 * rng.normal(size=(groups, size))
        before, after = ((shared + math.sqrt(0.39) * rng.normal(size=(groups, size)) < cut).astype(float).ravel() for cut in cuts)
        found = newcombe_clustered(before, after, names)
        hits.append(found.low <= tuned - base <= found.high)
    assert np.mean(hits) >= 0.93
