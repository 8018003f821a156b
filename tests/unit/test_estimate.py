"""Which estimator is used when, and that pairing is by item."""

import random

import pytest
from scipy import stats
from truenorth.evals.estimate import estimate, estimate_one, pair_up, paired_delta
from truenorth.evals.metrics import METRICS
from truenorth.evals.statistics.mcnemar import mcnemar_exact
from truenorth.evals.types import ItemValue

RATE, KL = METRICS["refusal_rate"], METRICS["kl_exact_token"]


def items(values, clusters=None, weights=None):
    clusters = clusters or [f"c{i}" for i in range(len(values))]
    weights = weights or [1.0] * len(values)
    return [ItemValue(f"i{n}", c, v, w) for n, (v, c, w) in enumerate(zip(values, clusters, weights, strict=True))]


def test_estimator_follows_from_the_kind_of_item():
    assert estimate(RATE, items([1, 0, 1])).estimator == "wilson"
    assert estimate(RATE, items([1, 0, 1], ["a", "a", "b"])).estimator == "wilson_clustered"
    assert estimate(KL, items([1, 0, 1])).estimator == "cluster_t"
    assert paired_delta(RATE, items([1, 0]), items([1, 1])).estimator == "tango"
    assert paired_delta(RATE, items([1, 0, 1], ["a", "a", "b"]), items([1, 1, 0], ["a", "a", "b"])).estimator == "newcombe_clustered"
    assert paired_delta(KL, items([1, 0]), items([1, 1])).estimator == "cluster_t"


def test_half_points_of_ties_are_rates_without_mcnemar():
    found = paired_delta(METRICS["pairwise_accuracy"], items([1, 0.5, 0, 1]), items([1, 1, 0.5, 1]))
    assert (found.estimator, found.value, found.gained, found.lost) == ("newcombe_clustered", 0.25, 0, 0)


def test_delta_pairs_by_item_whatever_the_order():
    base, tuned = items([0] * 30 + [1] * 10), items([1] * 12 + [0] * 18 + [1] * 8 + [0] * 2)
    shuffled = random.Random(0).sample(tuned, len(tuned))
    found = paired_delta(RATE, base, shuffled)
    assert (found.value, found.gained, found.lost, found.n) == (pytest.approx(0.25), 12, 2, 40)
    assert found.p_value == mcnemar_exact(2, 12)


def test_items_without_a_value_on_either_side_are_not_paired():
    found = paired_delta(RATE, items([1, None, 0, 1]), items([1, 1, None, 0])[:4])
    assert (found.n, found.lost) == (2, 1)
    assert paired_delta(RATE, items([None]), items([1])).reason == "no item has a value in both models"


def test_pairing_shrinks_the_interval_of_correlated_outcomes():
    rng = random.Random(1)
    base = [float(rng.random() < 0.5) for _ in range(200)]
    tuned = [1.0 if rng.random() < 0.1 else value for value in base]
    paired, alone = paired_delta(RATE, items(base), items(tuned)), estimate(RATE, items(tuned))
    assert paired.ci_high - paired.ci_low < alone.ci_high - alone.ci_low


def test_repeated_samples_do_not_narrow_the_interval():
    values = [1.0, 0.0, 0.0, 1.0, 1.0] * 6
    clusters = [f"c{i}" for i in range(30)]
    once = paired_delta(RATE, items(values, clusters), items([1 - v for v in values], clusters))
    many = paired_delta(RATE, items(values * 3, clusters * 3), items([1 - v for v in values] * 3, clusters * 3))
    assert many.ci_high - many.ci_low > 0.9 * (once.ci_high - once.ci_low)


def test_no_change_at_all_still_has_an_interval():
    for values, clusters in (([1.0, 0.0] * 10, None), ([1.0, 0.0] * 10, [f"c{i // 2}" for i in range(20)])):
        found = paired_delta(RATE, items(values, clusters), items(values, clusters))
        assert found.value == 0
        assert found.ci_low < -0.01
        assert found.ci_high > 0.01
        assert found.p_value == 1
        assert 0 < found.mde < 1


def test_kl_of_the_base_with_itself_is_zero_with_a_zero_interval():
    found = estimate(KL, items([0.0] * 8, weights=[5.0] * 8))
    assert (found.value, found.ci_low, found.ci_high) == (0, 0, 0)


def test_one_item_has_a_value_and_for_means_no_interval():
    found = estimate(KL, items([0.7]))
    assert (found.value, found.ci_low, found.ci_high) == (0.7, None, None)
    assert estimate_one(KL, items([0.7])).p_value(1.0) is None


def test_p_value_of_a_mean_is_that_of_the_t_test():
    values = [0.2, 0.9, 0.4, 0.7, 0.1, 0.8]
    assert estimate_one(KL, items(values)).p_value(0.2) == pytest.approx(stats.ttest_1samp(values, 0.2).pvalue, rel=1e-6)


def test_p_value_and_interval_agree_at_the_limit():
    found = estimate_one(RATE, items([1.0] * 30 + [0.0] * 20, [f"c{i % 17}" for i in range(50)]))
    _, low, high = found.interval(0.05)
    assert found.p_value(low) == pytest.approx(0.05, rel=1e-3)
    assert found.p_value(high + 0.01) < 0.05 < found.p_value(high - 0.01)


def test_pair_up_keeps_the_tuned_order():
    tuned = items([1, 0, 1])
    assert [t.item for _, t in pair_up(items([1, 1, 1]), tuned)] == [t.item for t in tuned]
