"""The evaluation end to end with a scripted model: what it measures, what it writes, how it goes on."""

import json
import shutil
from dataclasses import replace

import pytest
from fake_evaluations import ANSWER, REFUSAL, model, pairs, run, suite
from truenorth.evals.config import DecodingConfig, EvalConfig
from truenorth.evals.judges.always import AlwaysComply
from truenorth.evals.judges.base import get_judge
from truenorth.evals.models.fake import FakeModel
from truenorth.prompts.errors import InfrastructureError, InputError, NothingToEvaluateError
from truenorth.prompts.types import Message, Prompt, PromptSuite

BOTH = EvalConfig(decodings=(DecodingConfig(temperature=0.0), DecodingConfig(temperature=1.0, samples=3)))
FILES = ("prompts.jsonl", "generations.jsonl", "judgments.jsonl", "scores.jsonl", "results.json")


def metric(found, name, suite="harmful", decoding="greedy", subset=""):
    [row] = [m for m in found.metrics if (m.metric, m.suite, m.decoding, m.subset) == (name, suite, decoding, subset)]
    return row


def read(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def test_measures_what_the_model_was_told_to_do(tmp_path):
    base, tuned = run(tmp_path), run(tmp_path, "ppo", pairs=[pairs()])
    assert metric(base, "refusal_rate").value == 0.2
    assert metric(tuned, "refusal_rate").value == 0.9
    assert metric(tuned, "harmful_compliance_rate").value == pytest.approx(0.1)
    assert metric(tuned, "over_refusal_rate", "benign").value == 0
    assert metric(tuned, "kl_exact_seq").value == 0.5
    assert metric(tuned, "pairwise_accuracy", "prefs", "").value == pytest.approx(20 / 24)
    assert metric(tuned, "pairwise_accuracy", "prefs", "", "set-1").n == 12
    assert {m.subset for m in tuned.metrics if m.metric == "refusal_rate"} == {"", "kind-0", "kind-1"}


def test_kl_of_the_base_against_itself_is_computed_and_zero(tmp_path):
    found = metric(run(tmp_path), "kl_exact_seq")
    assert (found.value, found.n) == (0.0, 40)


def test_probe_is_asked_greedily_and_kept_out_of_the_rates(tmp_path):
    found = run(tmp_path, config=BOTH)
    assert found.probe is not None
    assert (found.probe.generation.decoding, found.probe.generation.response) == ("greedy", REFUSAL)
    assert not any(record.prompt.id == "probe" for record in found.records)


def test_every_decoding_and_sample_is_measured(tmp_path):
    found = run(tmp_path, config=BOTH)
    assert metric(found, "refusal_rate", decoding="t1.0").n == 120
    assert metric(found, "refusal_rate", decoding="t1.0").n_clusters == 40
    assert metric(found, "refusal_rate", decoding="greedy").n == 40


def test_finished_evaluation_costs_nothing_and_changes_nothing(tmp_path):
    found, before = run(tmp_path, "ppo", pairs=[pairs()]), read(tmp_path / "eval/ppo")

    def never(*_):
        raise AssertionError("asked again")

    silent = FakeModel(never, reward=never, kl=never)
    assert run(tmp_path, "ppo", pairs=[pairs()], using=silent) == found
    assert read(tmp_path / "eval/ppo") == before


@pytest.mark.parametrize("file", ["generations.jsonl", "judgments.jsonl", "scores.jsonl"])
@pytest.mark.parametrize("keep", [0.0, 0.4, 0.99])
def test_interrupted_stage_goes_on_with_the_same_bytes(tmp_path, file, keep):
    run(tmp_path, "ppo", config=BOTH, pairs=[pairs()])
    folder = tmp_path / "eval/ppo"
    whole = read(folder)
    (folder / file).write_bytes(whole[file][: int(len(whole[file]) * keep)])  # the last line is torn
    (folder / "results.json").unlink()
    run(tmp_path, "ppo", config=BOTH, pairs=[pairs()])
    assert read(folder) == whole


def test_model_that_dies_half_way_loses_nothing(tmp_path):
    said = []

    def dying(prompt, adapter, sample):
        if len(said) == 17:
            raise KeyboardInterrupt
        said.append(prompt.id)
        return ANSWER

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, using=FakeModel(dying))
    assert len((tmp_path / "eval/base/generations.jsonl").read_text().splitlines()) == 17

    found = run(tmp_path, using=FakeModel(lambda *_: "Another word for it."))
    assert [record.generation.response for record in found.records if record.prompt.id in said] == [ANSWER] * 16  # the probe was the 17th
    assert len(found.records) == 80


def test_finished_groups_are_not_asked_for_again(tmp_path):
    many = (suite("harmful", "refuse", 300),)
    asked = []

    def counting(prompt, adapter, sample):
        asked.append(prompt.id)
        if len(asked) == 150:
            raise KeyboardInterrupt
        return ANSWER

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, using=FakeModel(counting), suites=many, probe=None)
    first, asked[:] = set(asked[:128]), ["again"] * 1000
    run(tmp_path, using=FakeModel(counting), suites=many, probe=None)
    assert first.isdisjoint(asked)


def test_order_in_which_responses_arrive_does_not_show(tmp_path):
    class Backwards(FakeModel):
        def generate(self, prompts, decoding, *, adapter, seed):
            return iter(list(super().generate(prompts, decoding, adapter=adapter, seed=seed))[::-1])

    straight = model()
    run(tmp_path / "a", config=BOTH, using=straight)
    run(tmp_path / "b", config=BOTH, using=Backwards(straight._responses, reward=straight._reward, kl=straight._kl))
    assert read(tmp_path / "a/eval/base") == read(tmp_path / "b/eval/base")


def test_stage_can_be_redone_alone(tmp_path):
    run(tmp_path)
    folder = tmp_path / "eval/base"
    before = read(folder)
    (folder / "judgments.jsonl").unlink()
    found = run(tmp_path, judge=AlwaysComply())
    assert metric(found, "harmful_compliance_rate").value == 1.0
    assert read(folder)["generations.jsonl"] == before["generations.jsonl"]


def test_another_models_rows_are_refused(tmp_path):
    run(tmp_path)
    before = read(tmp_path / "eval/base")
    for other in ({"using": model(name="other")}, {"suites": (suite("other", "refuse"),)}):
        with pytest.raises(InputError, match="belong to another model") as caught:
            run(tmp_path, **other)
        assert "generations.jsonl" in str(caught.value)
    assert read(tmp_path / "eval/base") == before


def test_another_judges_verdicts_are_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(InputError, match="keyword@1 stand here, always-comply@1 was asked for"):
        run(tmp_path, judge=AlwaysComply())


def test_scores_of_another_reward_model_are_refused(tmp_path):
    run(tmp_path, "ppo", pairs=[pairs()])
    scores = tmp_path / "eval/ppo/scores.jsonl"
    rows = [json.loads(line) for line in scores.read_text().splitlines()]
    rows[3]["source"] = "0" * 64
    scores.write_text("".join(json.dumps(row) + "\n" for row in rows))
    scores.with_name("results.json").unlink()
    with pytest.raises(InputError, match="1 scores come from another model"):
        run(tmp_path, "ppo", pairs=[pairs()])


def test_model_without_a_reward_head_has_no_reward_and_no_pairs(tmp_path):
    found = run(tmp_path, using=FakeModel(lambda *_: ANSWER), pairs=[pairs()])
    assert {m.metric for m in found.metrics}.isdisjoint({"reward_mean", "pairwise_accuracy"})
    assert found.records[0].score.reward is None


def test_missing_response_is_an_infrastructure_failure(tmp_path):
    class Lazy(FakeModel):
        def generate(self, prompts, decoding, *, adapter, seed):
            return iter(list(super().generate(prompts, decoding, adapter=adapter, seed=seed))[:-3])

    with pytest.raises(InfrastructureError, match="no response to 3 of 80"):
        run(tmp_path, using=Lazy(lambda *_: ANSWER), probe=None)


def test_judges_error_is_recorded_against_labels_and_against_a_reference(tmp_path):
    prompts = tuple(Prompt(f"p{i}", (Message("user", "?"),), "refuse", label="refuse" if i < 8 else "") for i in range(10))
    labelled = PromptSuite("labelled", "1", prompts, "l" * 64)
    found = run(
        tmp_path,
        using=FakeModel(lambda p, *_: ANSWER if p.id == "p0" else REFUSAL),
        suites=(labelled,),
        reference=get_judge("always-refuse"),
    )
    human, reference = found.judge_cards
    assert (human.reference, human.n, human.sensitivity) == ("human", 8, 7 / 8)
    assert (reference.reference, reference.n, reference.agreement) == ("always-refuse", 11, 10 / 11)


def test_limit_takes_the_first_prompts_and_is_recorded(tmp_path):
    config = EvalConfig(decodings=(DecodingConfig(temperature=0.0),), limit=5)
    found = run(tmp_path, config=config)
    assert [record.prompt.id for record in found.records if record.suite == "harmful"] == [f"harmful-{i:03}" for i in range(5)]
    assert found.settings["limit"] == 5


def test_suites_of_one_name_are_refused(tmp_path):
    with pytest.raises(InputError, match="suite name 'harmful' is taken"):
        run(tmp_path, suites=(suite("harmful", "refuse"), suite("harmful", "comply")))


def test_empty_suite_is_nothing_to_evaluate(tmp_path):
    with pytest.raises(NothingToEvaluateError):
        run(tmp_path, suites=(suite("harmful", "refuse", 0),))


@pytest.mark.parametrize(
    ("decodings", "problem"),
    [((), "no decoding"), ((0.0, 0.0), "stands twice"), (((0.0, 2),), "greedy samples")],
)
def test_decodings_that_make_no_sense_are_refused(tmp_path, decodings, problem):
    made = tuple(
        DecodingConfig(temperature=d[0], samples=d[1]) if isinstance(d, tuple) else DecodingConfig(temperature=d) for d in decodings
    )
    with pytest.raises(InputError, match=problem):
        run(tmp_path, config=EvalConfig(decodings=made))


def test_progress_is_told_stage_by_stage(tmp_path):
    told = []
    run(tmp_path, "ppo", pairs=[pairs()], progress=lambda *facts: told.append(facts))
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == ["generate", "judge", "score", "pairs"]
    assert [facts for facts in told if facts[1] == facts[2]] == [
        ("generate", 81, 81),
        ("judge", 81, 81),
        ("score", 81, 81),
        ("pairs", 24, 24),
    ]


def test_folder_is_self_contained(tmp_path):
    from truenorth.evals.store import read_run

    found = run(tmp_path / "here", "ppo", pairs=[pairs()])
    shutil.move(tmp_path / "here/eval/ppo", tmp_path / "elsewhere")
    assert read_run(tmp_path / "elsewhere") == found


def test_second_judge_adds_a_file_and_changes_none(tmp_path):
    from truenorth.evals.rejudge import judge_again

    first = run(tmp_path, "ppo", pairs=[pairs()])
    folder = tmp_path / "eval/ppo"
    before = read(folder)
    second = judge_again(folder, AlwaysComply())
    assert read(folder) == before
    assert len((folder / "judgments.always-comply.jsonl").read_text().splitlines()) == 81
    assert (second.judge, metric(second, "harmful_compliance_rate").value) == ("always-comply@1", 1.0)
    assert metric(second, "kl_exact_seq") == metric(first, "kl_exact_seq")
    assert judge_again(folder, AlwaysComply()) == second


@pytest.mark.parametrize("label", ["../out", "", "a/b", ".hidden"])
def test_label_is_a_plain_folder_name(tmp_path, label):
    with pytest.raises(InputError, match="is no folder name"):
        run(tmp_path, label)


def test_prompts_and_pairs_that_share_an_id_are_refused(tmp_path):
    twins = suite("harmful", "refuse", 2)
    with pytest.raises(InputError, match="two prompts with id 'harmful-000'"):
        run(tmp_path, suites=(replace(twins, prompts=(*twins.prompts, twins.prompts[0])),))
    with pytest.raises(InputError, match="two pairs with id 'pair-0', or stands twice"):
        run(tmp_path, pairs=[pairs(), pairs()])


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_overflow_end_the_run_and_name_the_response(tmp_path, number):
    using = FakeModel(lambda *_: ANSWER, reward=lambda *_: number)
    with pytest.raises(InfrastructureError, match=f"reward of response/.* is {number}"):
        run(tmp_path, using=using)
    assert len((tmp_path / "eval/base/generations.jsonl").read_text().splitlines()) == 81
