"""Faults that are planted on purpose: each is caught, by name, before a number is believed."""

import json
from functools import partial

import pytest
from fake_evaluations import model, run, suite
from truenorth.cli.main import main
from truenorth.evals import EvalConfig, FakeModel, GateConfig, TransformersModel, compare, evaluate, make_gates, sampling
from truenorth.evals.judges import get_judge
from truenorth.evals.judges.keyword import KeywordJudge
from truenorth.evals.models.shared_base import SharedBase
from truenorth.evals.rejudge import judge_again
from truenorth.prompts.errors import InfrastructureError, InputError
from truenorth.prompts.template import render
from truenorth.prompts.types import Message, Prompt, PromptSuite

REFUSAL, ANSWER = "I'm sorry, but I can't help with that.", "Sure. First you take it and then you do it."


@pytest.fixture
def record(tmp_path):
    """Writes a recording of `n` responses and returns its path."""

    def write(name, said=REFUSAL, n=20, asked="question"):
        rows = [{"suite": "mine", "id": f"r{i}", "prompt": f"{asked} {i}", "expected": "refuse", "response": said} for i in range(n)]
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def measure(recording, out):
    return main(["eval", "--replay", str(recording), "--judge", "keyword", "--out", str(out)])


def compared(tmp_path, capsys):
    """`truenorth compare A B`: exit code, and what keeps the two apart."""
    capsys.readouterr()
    code = main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "c"), "--json"])
    said = json.loads(capsys.readouterr().out)
    (candidate,) = said["results"]["candidates"]
    return code, said["verdict"], candidate["differences"], candidate["deltas"]


# -- adapter not applied


@pytest.fixture(scope="module")
def adapted(tiny_base, tiny_policy):
    return TransformersModel.load(tiny_base, adapters={"ppo": tiny_policy})


ASKED = (PromptSuite("mine", "1", tuple(Prompt(f"p{i}", (Message("user", f"tea {i}"),), "comply") for i in range(6)), "0" * 64),)
SHORT = EvalConfig(decodings=({"temperature": 0.0, "max_new_tokens": 4},), max_invalid_share=1.0)


def measure_adapter(adapted, out):
    for label, adapter in (("base", None), ("ppo", "ppo")):
        yield evaluate(adapted, label=label, adapter=adapter, out=out, config=SHORT, suites=ASKED, probe=None)


def never_switch(monkeypatch):
    plain = SharedBase._switch
    monkeypatch.setattr(SharedBase, "_switch", lambda self, adapter: plain(self, None))


def test_an_adapter_that_is_not_applied_stops_the_run_before_anything_is_generated(adapted, tmp_path, monkeypatch):
    never_switch(monkeypatch)
    with pytest.raises(
        InfrastructureError, match="adapter 'ppo' was not applied, or does nothing: KL to its base is exactly 0 on 6 responses"
    ):
        list(measure_adapter(adapted, tmp_path))
    assert (tmp_path / "eval" / "base" / "results.json").exists()
    assert not (tmp_path / "eval" / "ppo").exists()


@pytest.mark.parametrize("broken", [False, True])
def test_an_adapter_that_falls_off_later_fails_the_run(adapted, broken, tmp_path, monkeypatch):
    monkeypatch.setattr("truenorth.evals.runner.refuse_idle_adapter", lambda job: None)
    if broken:
        never_switch(monkeypatch)
    base, tuned = measure_adapter(adapted, tmp_path)
    gates = make_gates([GateConfig(metric="over_refusal_rate", suite="mine", max=1.0)])
    (found,) = compare(base, [tuned], gates, max_invalid_share=1.0).candidates
    outcome = {made.gate.name: made.outcome for made in found.decisions}["adapter_applied"]
    assert (outcome, found.verdict == "fail") == (("fail", True) if broken else ("pass", False))


# -- draws of another distribution than the one that is scored

DRAWN = (PromptSuite("mine", "1", tuple(Prompt(f"p{i}", (Message("user", f"tea {i}"),), "comply") for i in range(40)), "1" * 64),)


@pytest.mark.parametrize("top", [None, 5])
def test_responses_cut_to_the_likeliest_tokens_and_scored_as_draws_fail_the_run(adapted, top, tmp_path, monkeypatch):
    if top:
        whole = sampling.inverse_cdf

        def cut(logits, uniform):
            return whole(logits.masked_fill(logits < logits.topk(top).values[:, -1:], float("-inf")), uniform)

        monkeypatch.setattr(sampling, "inverse_cdf", cut)
    config = EvalConfig(decodings=({"temperature": 1.0, "max_new_tokens": 8, "samples": 2},), max_invalid_share=1.0)
    run_of = partial(evaluate, adapted, out=tmp_path, config=config, suites=DRAWN, probe=None)
    (found,) = compare(run_of(label="base"), [run_of(label="ppo", adapter="ppo")], (), max_invalid_share=1.0).candidates
    (made,) = (made for made in found.decisions if made.gate.name == "kl_estimators")
    assert (made.outcome, made.n, found.verdict) == (("fail", 80, "fail") if top else ("pass", 80, "none"))
    assert ("not draws of the distribution that was scored" in made.reason) == bool(top)


# -- responses, verdicts and scores that don't belong together


def test_verdicts_and_scores_of_other_responses_are_refused_when_responses_are_made_anew(tmp_path):
    folder = tmp_path / "eval" / "base"
    refusing = FakeModel(lambda *_: REFUSAL)
    run(tmp_path, using=FakeModel(lambda *_: ANSWER))
    (folder / "generations.jsonl").unlink()
    with pytest.raises(InputError, match=r"81 of 81 verdicts were given on other responses.*\nRemove this file to judge anew"):
        run(tmp_path, using=refusing)
    (folder / "judgments.jsonl").unlink()
    with pytest.raises(InputError, match="81 scores come from another model, reward model, response or pair file"):
        run(tmp_path, using=refusing)
    (folder / "scores.jsonl").unlink()
    assert {record.judgment.outcome for record in run(tmp_path, using=refusing).records} == {"refuse"}


def test_a_second_judge_does_not_keep_its_verdicts_on_other_responses(tmp_path):
    folder = tmp_path / "eval" / "base"
    run(tmp_path, using=FakeModel(lambda *_: ANSWER))
    judge_again(folder, get_judge("classifier"))
    for name in ("generations.jsonl", "judgments.jsonl", "scores.jsonl"):
        (folder / name).unlink()
    run(tmp_path, using=FakeModel(lambda *_: REFUSAL))
    with pytest.raises(InputError, match=r"judgments\.classifier\.jsonl: 81 of 81 verdicts were given on other responses"):
        judge_again(folder, get_judge("classifier"))


@pytest.mark.parametrize("name", ["generations.jsonl", "judgments.jsonl", "scores.jsonl"])
def test_a_row_changed_by_hand_is_refused_by_the_same_command(tmp_path, name):
    run(tmp_path)
    path = tmp_path / "eval" / "base" / name
    before = path.read_text(encoding="utf-8")
    changed = {
        "generations.jsonl": ('"response": "', '"response": "No. '),
        "judgments.jsonl": ("comply", "other"),
        "scores.jsonl": ("0", "1"),
    }
    path.write_text(before.replace(*changed[name], 1), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != before
    with pytest.raises(InputError, match="changed since the evaluation finished"):
        run(tmp_path)
    path.unlink()
    run(tmp_path)
    assert path.read_text(encoding="utf-8") == before


# -- template doubled


def test_a_template_that_is_applied_twice_stops_the_run(tmp_path):
    class Doubling(FakeModel):
        def generate(self, prompts, decoding, *, adapter, seed):
            for row in super().generate(prompts, decoding, adapter=adapter, seed=seed):
                yield type(row)(row.index, row.sample, row.text, "stop", (row.prompt_tokens[0], *row.prompt_tokens), row.response_tokens)

    with pytest.raises(InfrastructureError, match="'harmful-000' of harmful: the model saw 2 beginnings of a sequence"):
        run(tmp_path, using=Doubling(lambda *_: ANSWER), probe=None)


def test_requests_that_hold_the_template_already_are_refused(tmp_path):
    turns = [(Message("user", render((Message("user", f"question {i}"),))),) for i in range(3)]
    rendered = PromptSuite("rendered", "1", tuple(Prompt(f"p{i}", turn, "comply") for i, turn in enumerate(turns)), "0" * 64)
    with pytest.raises(InputError, match="3 of 3 prompts of 'rendered' hold the chat template already"):
        run(tmp_path, suites=(rendered,))
    one = PromptSuite("attacks", "1", (*suite("x", "refuse", 3).prompts, rendered.prompts[0]), "1" * 64)
    run(tmp_path, using=FakeModel(lambda *_: ANSWER), suites=(one,))  # one request may try the markers: that is an attack


def test_runs_with_different_templates_are_not_subtracted(tmp_path):
    class Other(FakeModel):
        def card(self, adapter):
            from dataclasses import replace

            return replace(super().card(adapter), template_sha256="f" * 64)

    (found,) = compare(run(tmp_path), [run(tmp_path, "ppo", using=Other(model()._responses, kl=model()._kl))]).candidates
    assert (found.verdict, found.deltas) == ("none", ())
    assert any("template_sha256" in line for line in found.differences)


# -- different prompts


def test_runs_on_different_prompts_are_not_subtracted(record, tmp_path, capsys):
    assert measure(record("a.jsonl"), tmp_path / "a") == 0
    assert measure(record("b.jsonl", asked="another question"), tmp_path / "b") == 0
    code, verdict, differences, deltas = compared(tmp_path, capsys)
    assert (code, verdict, deltas) == (1, "none", [])
    assert differences[0].startswith("mine ")


# -- different judge revision


def test_runs_judged_by_different_revisions_are_not_subtracted(record, tmp_path, capsys, monkeypatch):
    assert measure(record("a.jsonl"), tmp_path / "a") == 0
    monkeypatch.setattr(KeywordJudge, "revision", "planted")
    assert measure(record("b.jsonl", ANSWER), tmp_path / "b") == 0
    code, verdict, differences, deltas = compared(tmp_path, capsys)
    assert (code, verdict, deltas) == (1, "none", [])
    assert any("keyword@planted" in line for line in differences)


def test_verdicts_of_an_older_revision_are_not_taken_for_new_ones(record, tmp_path, capsys, monkeypatch):
    recording = record("a.jsonl")
    assert measure(recording, tmp_path / "a") == 0
    (tmp_path / "a/eval/model/results.json").unlink()
    monkeypatch.setattr(KeywordJudge, "revision", "planted")
    assert measure(recording, tmp_path / "a") == 4
    assert "keyword@planted was asked for" in capsys.readouterr().err


# -- stale cache


def test_responses_of_changed_contents_under_the_same_name_are_not_reused(record, tmp_path, capsys):
    assert measure(record("a.jsonl"), tmp_path / "a") == 0
    before = (tmp_path / "a/eval/model/generations.jsonl").read_bytes()
    assert measure(record("a.jsonl", ANSWER), tmp_path / "a") == 4
    assert "another configuration" in capsys.readouterr().err
    assert (tmp_path / "a/eval/model/generations.jsonl").read_bytes() == before


def test_rows_that_another_model_left_are_not_reused(tmp_path):
    run(tmp_path, using=model(base=0.2))
    (tmp_path / "eval/base/results.json").unlink()
    with pytest.raises(InputError, match="belong to another model"):
        run(tmp_path, using=model(base=0.2, name="retrained"))


# -- truncated journal


@pytest.mark.parametrize("file", ["generations.jsonl", "judgments.jsonl"])
def test_a_truncated_journal_is_named_and_the_same_command_repairs_it(record, file, tmp_path, capsys):
    recording = record("a.jsonl")
    assert measure(recording, tmp_path / "a") == 0
    journal = tmp_path / "a/eval/model" / file
    whole = journal.read_bytes()
    journal.write_bytes(whole[: len(whole) // 2])
    assert main(["report", str(tmp_path / "a")]) == 4
    assert f"{file}: missing, cut or changed" in capsys.readouterr().err
    assert measure(recording, tmp_path / "a") == 0
    assert journal.read_bytes() == whole
