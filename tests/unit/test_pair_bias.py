"""Gaps by length and markup, and the effect of batching, on scores whose bias is planted."""

from pathlib import Path

import numpy as np
import pytest
from truenorth.evals.estimate import estimate, paired_delta
from truenorth.evals.metrics import METRICS
from truenorth.evals.stages.score import marks_of
from truenorth.evals.types import PairScore
from truenorth.prompts.pairs import load_pairs


def pair(i, chosen, rejected, **more):
    return PairScore("s", f"p{i}", float(chosen), float(rejected), **more)


def value(name, rows):
    return estimate(METRICS[name], METRICS[name].items(rows))


def test_the_longer_response_wins_by_hand_whatever_the_scores_are():
    words = [(9, 3), (2, 3), (1, 3), (4, 4), (None, 4)]
    rows = [pair(i, i % 2, 1, chosen_words=a, rejected_words=b) for i, (a, b) in enumerate(words)]
    found = value("longer_wins_accuracy", rows)
    assert (found.value, found.n, found.higher_is_better) == (1.5 / 4, 4, None)
    assert found.ci_low < 1.5 / 4 < found.ci_high
    assert METRICS["longer_wins_accuracy"].items([pair(0, 2, 1)]) == []


HH = Path(__file__).parents[3] / "shared" / "data" / "hh_rlhf" / "harmless-base" / "test.jsonl.gz"


@pytest.mark.shared
@pytest.mark.skipif(not HH.is_file(), reason="the public HH-RLHF files are not beside the repository")
def test_the_shorter_response_is_the_better_one_in_public_pairs_on_harm():
    rows = [
        pair(i, 0, 0, chosen_words=len(one.chosen.split()), rejected_words=len(one.rejected.split()))
        for i, one in enumerate(load_pairs(HH).pairs)
    ]
    assert 1 - value("longer_wins_accuracy", rows).value == pytest.approx(0.561, abs=5e-4)


def test_length_gap_by_hand():
    rows = [
        pair(0, 2, 1, chosen_words=9, rejected_words=3),
        pair(1, 2, 1, chosen_words=9, rejected_words=3),
        pair(2, 1, 2, chosen_words=2, rejected_words=3),
        pair(3, 2, 1, chosen_words=2, rejected_words=3),
        pair(4, 1, 2, chosen_words=3, rejected_words=3),
        pair(5, 1, 2),
    ]
    found = value("length_bias_gap", rows)
    assert found.value == pytest.approx(2 / 2 - 1 / 2)
    assert (found.n, found.estimator) == (4, "cluster_bootstrap")


def test_a_model_that_counts_words_has_a_gap_of_one_and_a_blind_one_of_none():
    rng = np.random.default_rng(0)
    words = rng.integers(5, 50, (400, 2))
    likes_length = [pair(i, a, b, chosen_words=int(a), rejected_words=int(b)) for i, (a, b) in enumerate(words)]
    blind = [pair(i, *rng.normal(size=2), chosen_words=int(a), rejected_words=int(b)) for i, (a, b) in enumerate(words)]
    assert value("length_bias_gap", likes_length).value == 1.0
    found = value("length_bias_gap", blind)
    assert found.ci_low < 0 < found.ci_high


def test_no_gap_where_one_kind_of_pairs_is_missing():
    rows = [pair(0, 2, 1, chosen_words=9, rejected_words=3)]
    assert METRICS["length_bias_gap"].items(rows) == []


def test_style_gap_reads_markup():
    rows = [pair(i, 2, 1, chosen_marks=4, rejected_marks=0) for i in range(3)]
    rows += [pair(9 + i, 1 + (i == 0) * 2, 2, chosen_marks=0, rejected_marks=4) for i in range(4)]
    assert value("style_bias_gap", rows).value == pytest.approx(1 - 1 / 4)


def test_base_and_tuned_share_a_reward_model_so_its_gap_does_not_differ():
    rows = [pair(i, i % 3, 1, chosen_words=5 + i % 2, rejected_words=5 + (i + 1) % 2) for i in range(30)]
    items = METRICS["length_bias_gap"].items(rows)
    found = paired_delta(METRICS["length_bias_gap"], items, items)
    assert (found.value, found.ci_low, found.ci_high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("Plain words, 3.5 of them - and a dash.", 0),
        ("- one\n- two", 2),
        ("# Title\n\n1. first\n2) second\n> quoted", 4),
        ("some **bold** and `code`", 2),
        ("```python\nprint(1)\n```", 2),
        ("* * *", 1),
        ("2 * 3 * 4 = 24", 0),
    ],
)
def test_marks_of_layout_are_counted(text, marks):
    assert marks_of(text) == marks


def test_counting_marks_takes_linear_time_on_hostile_text():
    import time

    start = time.perf_counter()
    marks_of("*" * 200_000), marks_of("`" * 200_000), marks_of(" " * 200_000), marks_of("**a" * 60_000)
    assert time.perf_counter() - start < 2


def test_batch_gap_is_the_mean_distance_between_both_scores():
    rows = [pair(0, 2, 1, chosen_alone=2.5), pair(1, 1, 2, chosen_alone=1.0), pair(2, 7, 1)]
    found = value("batch_gap", rows)
    assert (found.value, found.n) == (0.25, 2)
