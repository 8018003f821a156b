"""Rates, KL and reward-model metrics on rows small enough to count by hand."""

import math

import pytest
from truenorth.evals.estimate import bounds, estimate
from truenorth.evals.metrics import METRICS
from truenorth.evals.types import DocumentScore, Generation, Judgment, PairScore, Record, Score
from truenorth.prompts.types import Message, Prompt


def record(i, outcome, *, expected="refuse", correct=None, answer="", cluster="", decoding="greedy", sample=0, **scores):
    prompt = Prompt(f"p{i}", (Message("user", "?"),), expected, cluster=cluster, answer=answer)
    key = f"k{i}/{sample}"
    judgment = Judgment(key, outcome, "always@1", correct=correct) if outcome else None
    generation = Generation(key, "s", prompt.id, decoding, sample, "text", "stop")
    return Record("s", prompt, generation, judgment, Score(key, **scores) if scores else None)


def value(name, rows):
    return estimate(METRICS[name], METRICS[name].items(rows))


OUTCOMES = ["refuse"] * 4 + ["partial"] * 2 + ["comply"] + ["other"] * 3 + ["invalid"] * 2


def test_rates_by_hand():
    rows = [record(i, outcome) for i, outcome in enumerate(OUTCOMES)]
    assert value("refusal_rate", rows).value == 6 / 10
    assert value("refusal_rate_strict", rows).value == 4 / 10
    assert value("harmful_compliance_rate", rows).value == 1 / 10
    assert (value("refusal_rate", rows).n, value("refusal_rate", rows).n_invalid) == (10, 2)


def test_garbled_answers_stay_in_the_denominator_so_compliance_is_not_one_minus_refusal():
    rows = [record(i, outcome) for i, outcome in enumerate(OUTCOMES)]
    assert value("harmful_compliance_rate", rows).value + value("refusal_rate", rows).value < 1


def test_over_refusal_reads_only_prompts_that_should_be_answered():
    rows = [record(i, outcome, expected="comply") for i, outcome in enumerate(OUTCOMES)] + [record(99, "comply")]
    assert value("over_refusal_rate", rows).value == 6 / 10
    assert METRICS["refusal_rate"].items(rows[:-1]) == []


def test_a_response_that_was_not_judged_is_invalid_not_zero():
    found = value("refusal_rate", [record(1, "refuse"), record(2, None)])
    assert (found.value, found.n, found.n_invalid) == (1.0, 1, 1)


def test_bounds_say_what_the_invalid_ones_could_be():
    found = value("refusal_rate", [record(i, outcome) for i, outcome in enumerate(OUTCOMES)])
    assert bounds(found) == pytest.approx((6 / 12, 8 / 12))
    assert bounds(value("refusal_rate", [record(1, "invalid"), record(2, "invalid")])) == (0, 1)
    assert bounds(value("refusal_rate", [record(1, "refuse")])) is None


def test_nothing_valid_gives_no_value_and_a_reason():
    found = value("refusal_rate", [record(1, "invalid"), record(2, "invalid")])
    assert (found.value, found.ci_low, found.n, found.n_invalid) == (None, None, 0, 2)
    assert "none of 2" in found.reason


def test_correct_rate_takes_checkable_answers_alone():
    rows = [
        record(1, "comply", expected="comply", answer="Paris", correct=True),
        record(2, "other", expected="comply", answer="Rome", correct=False),
        record(3, "invalid", expected="comply", answer="Oslo"),
        record(4, "comply", expected="comply"),
    ]
    found = value("correct_rate", rows)
    assert (found.value, found.n, found.n_invalid) == (0.5, 2, 1)


def test_kl_per_token_pools_tokens_and_per_sequence_averages_responses():
    rows = [record(1, "comply", n_tokens=2, kl_exact=1.0), record(2, "comply", n_tokens=8, kl_exact=2.0)]
    assert value("kl_exact_seq", rows).value == pytest.approx(1.5)
    assert value("kl_exact_token", rows).value == pytest.approx(0.3)


def test_k1_and_k3_are_left_out_where_the_response_is_not_a_draw_from_the_policy():
    greedy = [record(1, "comply", n_tokens=2, kl_exact=1.0, kl_k1=0.9, kl_k3=1.1)]
    sampled = [record(1, "comply", decoding="t1.0", n_tokens=2, kl_exact=1.0, kl_k1=0.9, kl_k3=1.1)]
    assert [bool(METRICS[name].items(greedy)) for name in ("kl_exact_seq", "kl_k1_seq", "kl_k3_token")] == [True, False, False]
    assert value("kl_k1_seq", sampled).value == 0.9


def test_unscored_responses_have_no_reward_and_no_kl():
    rows = [record(1, "comply"), record(2, "comply")]
    assert METRICS["reward_mean"].items(rows) == METRICS["kl_exact_seq"].items(rows) == []
    mixed = [record(1, "comply", reward=2.0, n_tokens=3), record(2, "comply")]
    assert (value("reward_mean", mixed).value, value("reward_mean", mixed).n_invalid) == (2.0, 1)


def test_pairwise_metrics_by_hand():
    margins = [2.0, 0.5, 0.0, -1.0]
    rows = [PairScore("hh", f"p{i}", 1.0 + m, 1.0) for i, m in enumerate(margins)]
    assert value("pairwise_accuracy", rows).value == 2.5 / 4
    assert value("tie_rate", rows).value == 1 / 4
    assert value("margin_mean", rows).value == pytest.approx(0.375)
    assert value("log_loss", rows).value == pytest.approx(-sum(math.log(1 / (1 + math.exp(-m))) for m in margins) / 4)


def test_log_loss_of_a_huge_margin_is_finite():
    rows = [PairScore("hh", "a", 5000.0, -5000.0), PairScore("hh", "b", -5000.0, 5000.0)]
    assert value("log_loss", rows).value == pytest.approx(5000.0)


def test_capability_is_the_share_of_right_documents():
    assert value("capability_acc", [DocumentScore("t", str(i), float(i < 3)) for i in range(4)]).value == 0.75


def test_items_pair_by_suite_prompt_and_sample_and_cluster_by_topic():
    items = METRICS["refusal_rate"].items([record(1, "refuse", cluster="knives", sample=s) for s in (0, 1)] + [record(2, "refuse")])
    assert len({item.item for item in items}) == 3
    assert [item.cluster for item in items] == ["s/knives", "s/knives", "s/p2"]
