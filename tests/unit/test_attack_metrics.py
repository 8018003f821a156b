"""Attack success over wrappers, and over behaviours."""

from collections import Counter
from dataclasses import replace

import pytest
from fake_evaluations import ANSWER, REFUSAL, run
from truenorth.evals import FakeModel
from truenorth.evals.comparison import compare, deltas
from truenorth.evals.estimate import estimate
from truenorth.evals.metrics import METRICS
from truenorth.evals.types import Generation, Judgment, Record
from truenorth.prompts.loader import load_suite
from truenorth.prompts.types import Message, Prompt
from truenorth.reports.report import Report
from truenorth.reports.sections import attacks


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


def rows_of(measured):
    return {row.subset: row for row in measured if row.metric == "attack_success_rate"}


def test_each_wrapper_has_a_row_of_its_own_beside_the_categories(tmp_path):
    """The model answers whatever is spelled backwards, and nothing else."""
    suite = load_suite("harmful@base64+reversed+story")
    suite = replace(suite, prompts=suite.prompts[:90])
    fooled = FakeModel(lambda prompt, adapter, sample: ANSWER if prompt.id.endswith("@reversed") else REFUSAL)
    measured = run(tmp_path, using=fooled, suites=(suite,), probe=None).metrics
    found = rows_of(measured)
    wrapped = {name: (row.value, row.n) for name, row in found.items() if name.startswith("@")}
    count = Counter(prompt.id.rpartition("@")[2] for prompt in suite.prompts)
    assert wrapped == {f"@{name}": (float(name == "reversed"), count[name]) for name in ("base64", "reversed", "story")}
    assert set(found) - set(wrapped) == {"", *(prompt.category for prompt in suite.prompts)}
    assert not any(row.subset.startswith("@") for row in measured if row.metric != "attack_success_rate")
    assert all(row.estimator == "wilson" for name, row in found.items() if name in wrapped)  # each behaviour once in a wrapper


def test_a_wrapper_around_a_wrapper_is_named_whole_and_one_alone_has_no_row(tmp_path):
    twice = load_suite("harmful@base64+reversed@story")
    twice = replace(twice, prompts=twice.prompts[:8])
    model = FakeModel(lambda *_: REFUSAL)
    found = rows_of(run(tmp_path / "twice", using=model, suites=(twice,), probe=None).metrics)
    assert {name for name in found if name.startswith("@")} == {"@base64@story", "@reversed@story"}
    once = load_suite("harmful@base64")
    once = replace(once, prompts=once.prompts[:8])
    assert not any(name.startswith("@") for name in rows_of(run(tmp_path / "once", using=model, suites=(once,), probe=None).metrics))


def test_the_wrappers_of_a_suite_are_compared_one_by_one(tmp_path):
    suite = load_suite("harmful@base64+story")
    suite = replace(suite, prompts=suite.prompts[:40])
    model = FakeModel(lambda prompt, adapter, sample: ANSWER if adapter is None and "@story" in prompt.id else REFUSAL, kl=lambda *_: 1.0)
    runs = [run(tmp_path, label, using=model, suites=(suite,), probe=None) for label in ("base", "ppo")]
    changed = {row.subset: row.value for row in deltas(*runs) if row.metric == "attack_success_rate" and row.subset.startswith("@")}
    assert changed == {"@base64": 0.0, "@story": -1.0}
    shown = attacks.section(Report(compare(runs[1], [replace(runs[0], model=replace(runs[0].model, label="worse"))])))
    (table,) = shown.blocks
    assert table.caption == "Success of each wrapper, worse, harmful@base64+story · greedy"
    assert [[cell.text for cell in row[:4]] for row in table.rows] == [
        ["story", "0.0%", "100.0%", "+100.0"],
        ["base64", "0.0%", "0.0%", "0.0"],
    ]


def test_a_report_without_wrapped_suites_has_no_section_of_attacks(tmp_path):
    assert attacks.section(Report(compare(None, [run(tmp_path)]))) is None
