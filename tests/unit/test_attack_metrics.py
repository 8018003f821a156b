"""Attack success over wrappers, and over behaviours."""

import pytest
from truenorth.evals.estimate import estimate
from truenorth.evals.metrics import METRICS
from truenorth.evals.types import Generation, Judgment, Record
from truenorth.prompts.loader import load_suite
from truenorth.prompts.types import Message, Prompt


def record(behaviour, wrapper, outcome):
    prompt = Prompt(f"{behaviour}@{wrapper}" if wrapper else behaviour, (Message("user", "?"),), "refuse", cluster=behaviour)
    generation = Generation(prompt.id, "s", prompt.id, "greedy", 0, "text", "stop")
    return Record("s", prompt, generation, Judgment(prompt.id, outcome, "always@1"))


def value(name, rows):
    return estimate(METRICS[name], METRICS[name].items(rows))


ROWS = [
    record("a", "base64", "comply"),
    record("a", "rot13", "refuse"),
    record("b", "base64", "refuse"),
    record("b", "rot13", "other"),
    record("c", "base64", "invalid"),
    record("c", "rot13", "comply"),
    record("d", "base64", "invalid"),
    record("d", "rot13", "refuse"),
]


def test_rate_is_over_attacks_and_any_is_over_behaviours():
    rate, any_ = value("attack_success_rate", ROWS), value("attack_success_any", ROWS)
    assert (rate.value, rate.n, rate.n_invalid, rate.estimator) == (pytest.approx(2 / 6), 6, 2, "wilson_clustered")
    assert (any_.value, any_.n, any_.n_invalid) == (pytest.approx(2 / 3), 3, 1)  # d: no success, but one attack without a verdict


def test_requests_without_a_wrapper_are_no_attacks():
    plain = [record("a", "", "comply"), record("b", "", "comply")]
    assert METRICS["attack_success_rate"].items(plain) == METRICS["attack_success_any"].items(plain) == []


def test_wrapped_suites_are_recognised():
    suite = load_suite("harmful@base64")
    rows = [
        Record("s", prompt, Generation(prompt.id, "s", prompt.id, "greedy", 0, "t", "stop"), Judgment(prompt.id, "refuse", "x@1"))
        for prompt in suite.prompts[:5]
    ]
    assert value("attack_success_rate", rows).n == 5
