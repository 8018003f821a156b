"""Calibration of a reward model on margins whose truth is known."""

import math

import numpy as np
import pytest
from truenorth.evals.estimate import estimate
from truenorth.evals.metrics import METRICS
from truenorth.evals.metrics.calibration import inverse_temperature, scaled_margins
from truenorth.evals.types import PairScore


def pairs(margins, clusters=None):
    clusters = clusters or [""] * len(margins)
    return [PairScore("s", f"p{i:05d}", float(m), 0.0, "", c) for i, (m, c) in enumerate(zip(margins, clusters, strict=True))]


def value(name, rows):
    return estimate(METRICS[name], METRICS[name].items(rows))


def drawn(rng, n, temperature=1.0, spread=2.0):
    """Margins of a model that is `temperature` times too sure: the pick is right with probability sigmoid(|m| / temperature)."""
    size = np.abs(rng.normal(0, spread, n))
    right = rng.random(n) < 1 / (1 + np.exp(-size / temperature))
    return np.where(right, size, -size)


def test_brier_and_error_by_hand():
    margin = math.log(4)  # sure of .8
    rows = pairs([margin] * 6 + [-margin] * 4)
    assert value("brier", rows).value == pytest.approx((6 * 0.2**2 + 4 * 0.8**2) / 10)
    assert value("ece", rows).value == pytest.approx(0.8 - 0.6)
    assert value("ece_floor", rows).value == pytest.approx(math.sqrt(2 / math.pi * 10 * 0.16) / 10)


def test_bins_are_of_equal_size_and_add_up_without_signs():
    rows = pairs([math.log(4)] * 10 + [math.log(9)] * 10 + [-math.log(9)] * 10)
    found = value("ece", rows)
    by_hand = (10 * abs(1 - 0.8) + 10 * abs(1 - 0.9) + 10 * abs(0 - 0.9)) / 30
    assert found.value == pytest.approx(by_hand)
    assert (found.estimator, found.n) == ("cluster_bootstrap", 30)


def test_exchanging_the_order_of_the_scores_offset_changes_nothing():
    rng = np.random.default_rng(0)
    margins = drawn(rng, 200)
    moved = [PairScore("s", f"p{i:05d}", 5.0 + m, 5.0) for i, m in enumerate(margins)]
    assert value("ece", pairs(margins)).value == pytest.approx(value("ece", moved).value)


def test_a_tie_is_half_right_and_half_sure():
    assert value("ece", pairs([0.0] * 20)).value == 0.0


def test_temperature_that_was_planted_is_found():
    margins = drawn(np.random.default_rng(1), 40_000, temperature=3.0)
    assert 1 / inverse_temperature(margins) == pytest.approx(3.0, rel=0.05)


def test_temperature_minimises_the_log_loss():
    margins = drawn(np.random.default_rng(2), 500, temperature=2.0)
    best = inverse_temperature(margins)

    def loss(slope):
        return np.logaddexp(0, -slope * margins).mean()

    assert loss(best) <= min(loss(best * 0.97), loss(best * 1.03))


def test_margins_worse_than_chance_are_flattened_and_perfect_ones_stay_finite():
    assert inverse_temperature([-1.0, -2.0, 0.5]) == 0.0
    assert 0 < inverse_temperature([1.0, 2.0]) < math.inf


def test_temperature_of_a_pair_comes_from_the_other_half_alone():
    rows = pairs(drawn(np.random.default_rng(3), 300, temperature=2.0))
    before = scaled_margins(rows)
    changed = [PairScore("s", row.pair_id, row.chosen * (100 if i == 7 else 1), 0.0) for i, row in enumerate(rows)]
    after = scaled_margins(changed)
    slopes = [b / r.chosen for b, r in zip(before, rows, strict=True)]
    moved = [a / r.chosen for a, r in zip(after, changed, strict=True)]
    same_half = [i for i, slope in enumerate(slopes) if slope == pytest.approx(slopes[7])]
    assert 100 < len(same_half) < 200
    assert [moved[i] for i in same_half] == pytest.approx([slopes[i] for i in same_half])
    assert all(moved[i] != pytest.approx(slopes[i]) for i in range(300) if i not in same_half)


def test_pairs_of_one_cluster_share_a_half():
    rows = pairs(drawn(np.random.default_rng(4), 200, temperature=2.0), [f"c{i // 4}" for i in range(200)])
    slopes = [s / r.chosen for s, r in zip(scaled_margins(rows), rows, strict=True)]
    assert all(len({round(s, 9) for s in slopes[i : i + 4]}) == 1 for i in range(0, 200, 4))


def test_scaling_mends_a_model_that_is_too_sure():
    rows = pairs(drawn(np.random.default_rng(5), 3000, temperature=3.0))
    raw, scaled, floor = (value(name, rows) for name in ("ece", "ece_scaled", "ece_floor"))
    assert scaled.value < 0.04 < raw.ci_low
    assert scaled.value == pytest.approx(floor.value, abs=0.02)
    assert value("log_loss_scaled", rows).value < value("log_loss", rows).value


def test_floor_is_what_a_calibrated_model_shows_on_average():
    rng = np.random.default_rng(6)
    shown = [(value("ece", rows).value, value("ece_floor", rows).value) for rows in (pairs(drawn(rng, 300)) for _ in range(40))]
    errors, floors = np.mean(shown, axis=0)
    assert floors == pytest.approx(errors, rel=0.12)


def test_one_cluster_gives_no_scaled_figures():
    rows = pairs([1.0, 2.0, -1.0], ["a"] * 3)
    assert METRICS["ece_scaled"].items(rows) == METRICS["log_loss_scaled"].items(rows) == []
