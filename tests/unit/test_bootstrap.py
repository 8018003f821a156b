"""The cluster bootstrap against standard errors that are known, and its repeatability."""

import math

import numpy as np
import pytest
from scipy import stats
from truenorth.evals.statistics.bootstrap import cluster_bootstrap
from truenorth.evals.statistics.clusters import cluster_ratio
from truenorth.evals.statistics.interval import Interval
from truenorth.evals.statistics.noninferiority import side_of


def mean(totals):
    return totals[..., 0] / totals[..., 1]


def column(values):
    return np.stack([values, np.ones(len(values))], axis=1)


def test_spread_of_the_replicates_is_the_cluster_robust_standard_error():
    rng = np.random.default_rng(0)
    names = [f"c{i}" for i in range(200) for _ in range(3)]
    values = np.repeat(rng.normal(size=200), 3) + 0.3 * rng.normal(size=600)
    found = cluster_bootstrap(column(values), names, mean, draws=4000)
    assert found.value == pytest.approx(values.mean())
    assert found.draws.std() == pytest.approx(cluster_ratio(values, [1.0] * 600, names).se, rel=0.05)


def test_percentile_interval_agrees_with_scipys():
    values = np.random.default_rng(1).exponential(size=80)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=6000, method="percentile", rng=np.random.default_rng(2)).confidence_interval
    ours = cluster_bootstrap(column(values), [str(i) for i in range(80)], mean, draws=6000).percentile()
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=0.03)


def test_basic_interval_is_the_percentile_interval_mirrored_at_the_value():
    values = np.random.default_rng(3).exponential(size=50)
    found = cluster_bootstrap(column(values), [str(i) for i in range(50)], mean, draws=500)
    percentile, basic = found.percentile(0.1), found.basic(0.1)
    assert (basic.low + percentile.high, basic.high + percentile.low) == pytest.approx((2 * found.value, 2 * found.value))


def test_the_same_data_give_the_same_bytes_in_any_order():
    rng = np.random.default_rng(4)
    values, names = rng.integers(0, 2, 60).astype(float), np.array([f"c{i % 17}" for i in range(60)])
    order = rng.permutation(60)
    first = cluster_bootstrap(column(values), names.tolist(), mean, draws=300)
    again = cluster_bootstrap(column(values[order]), names[order].tolist(), mean, draws=300)
    assert (first.draws == again.draws).all()


def test_draws_do_not_depend_on_how_many_are_made_at_a_time(monkeypatch):
    from truenorth.evals.statistics import bootstrap

    values, names = np.arange(30.0), [str(i) for i in range(30)]
    whole = cluster_bootstrap(column(values), names, mean, draws=200)
    monkeypatch.setattr(bootstrap, "CELLS", 30 * 7)
    assert (cluster_bootstrap(column(values), names, mean, draws=200).draws == whole.draws).all()


def test_one_cluster_has_no_interval_and_replicates_without_a_value_are_left_out():
    assert math.isnan(cluster_bootstrap(column(np.ones(3)), ["a"] * 3, mean).basic().low)

    def only_of_the_first(totals):
        with np.errstate(invalid="ignore", divide="ignore"):
            return totals[..., 0] / totals[..., 0]

    found = cluster_bootstrap(np.eye(3), ["a", "b", "c"], only_of_the_first, draws=300)
    assert 150 < len(found.draws) < 270  # a third of the draws of three lacks the first: (2/3)^3


@pytest.mark.parametrize(
    ("limits", "at_least", "side"),
    [((-0.02, 0.01), True, "good"), ((-0.05, 0.01), True, "good"), ((-0.09, -0.06), True, "bad"), ((-0.09, 0.0), True, "between")],
)
def test_noninferiority_is_read_off_the_interval(limits, at_least, side):
    low, high = limits
    assert side_of(Interval(0.0, low, high), -0.05, at_least=at_least) == side
    assert side_of(Interval(0.0, -high, -low), 0.05, at_least=not at_least) == side


def test_no_interval_decides_nothing():
    assert side_of(Interval(0.9, math.nan, math.nan), 0.5, at_least=True) == "between"
