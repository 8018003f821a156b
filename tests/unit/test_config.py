"""Profiles, files and overrides become one RunConfig, or an error that says where and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel
from truenorth.cli.config import RunConfig, load_config, profile_names
from truenorth.prompts.errors import InputError


def _write(folder: Path, text: str) -> str:
    path = folder / "c.yaml"
    path.write_text(text)
    return str(path)


def _error(source: str, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load_config(source, overrides)
    assert caught.value.exit_code == 4
    return str(caught.value)


def test_how_servers_are_asked_is_set_in_a_profile_and_is_no_part_of_what_a_resume_compares() -> None:
    usual, patient = load_config("tiny"), load_config("tiny", ["server.timeout=30", "server.requests=2"])
    assert (patient.server.timeout, patient.server.requests) == (30, 2)
    assert patient.model_dump() == usual.model_dump()


def test_every_profile_that_ships_loads() -> None:
    assert {"mistral-7b", "mistral-7b-qlora", "tiny"} <= set(profile_names())
    assert [load_config(name).profile for name in profile_names()] == profile_names()


def test_the_recipe_is_the_documented_one() -> None:
    config = load_config("mistral-7b")
    reward, ppo = config.reward_model, config.ppo
    assert (config.model.name, config.data.name, config.data.pairs) == ("mistralai/Mistral-7B-Instruct-v0.2", "Anthropic/hh-rlhf", 20_000)
    assert (reward.batch_size, reward.gradient_accumulation, reward.epochs, reward.learning_rate) == (4, 4, 1, 1e-5)
    assert (ppo.clip_range, ppo.kl_coef, ppo.learning_rate, ppo.micro_batch_size, ppo.rollout_batch_size) == (0.2, 0.05, 1e-6, 4, 64)
    assert [(x.r, x.alpha, x.dropout) for x in (reward.lora, ppo.lora)] == [(16, 32, 0.05)] * 2
    assert (config.eval.inconclusive, config.eval.probe) == ("fail", "check")


def test_qlora_differs_from_the_recipe_in_the_format_of_the_base_alone() -> None:
    plain, qlora = (load_config(name).model_dump() for name in ("mistral-7b", "mistral-7b-qlora"))
    assert qlora["model"].pop("quantization") == "nf4"
    assert plain["model"].pop("quantization") == "none"
    assert {key: qlora[key] for key in qlora if key != "profile"} == {key: plain[key] for key in plain if key != "profile"}


def test_a_file_starts_from_a_profile_and_changes_some_of_it(tmp_path: Path) -> None:
    tiny, mine = load_config("tiny"), load_config(_write(tmp_path, "profile: tiny\nppo:\n  steps: 7\n  lora: {r: 4}\n"))
    assert (mine.profile, mine.ppo.steps, mine.ppo.lora.r) == ("tiny", 7, 4)
    assert mine.ppo.lora.alpha == tiny.ppo.lora.alpha
    assert mine.model_copy(update={"ppo": tiny.ppo}) == tiny


def test_overrides_apply_in_order_and_reach_into_lists() -> None:
    config = load_config("tiny", ["ppo.steps=3", "ppo.steps=4", "ppo.kl-coef=1e-3", "eval.gates.0.min=0.9", "eval.suites=[benign]"])
    assert (config.ppo.steps, config.ppo.kl_coef, config.eval.gates[0].min, config.eval.suites) == (4, 1e-3, 0.9, ("benign",))


def test_the_seed_is_the_evaluations_seed_unless_it_has_its_own() -> None:
    assert load_config("tiny", ["seed=5"]).eval.seed == 5
    assert load_config("tiny", ["seed=5", "eval.seed=6"]).eval.seed == 6


def test_relative_paths_of_a_file_are_relative_to_it(tmp_path: Path) -> None:
    text = "profile: mistral-7b\ndata: {name: pairs.jsonl}\nmodel: {name: ../base}\neval: {suites: [benign, ./mine]}\n"
    config = load_config(_write(tmp_path, text))
    assert config.data.name == str(tmp_path / "pairs.jsonl")
    assert config.model.name == str(tmp_path.parent / "base")
    assert config.eval.suites == ("benign", str(tmp_path / "mine"))
    assert load_config("mistral-7b").model.name == "mistralai/Mistral-7B-Instruct-v0.2"


WRONG = {
    "unknown key": ("profile: tiny\nppo:\n  stpes: 3\n", "c.yaml:3:ppo.stpes: unknown key; did you mean ppo.steps?"),
    "key of another group": ("profile: tiny\nkl_coef: 3\n", "c.yaml:2:kl_coef: unknown key; did you mean ppo.kl_coef?"),
    "in a list": ("profile: tiny\neval:\n  gates:\n    - {metric: x, mni: 1}\n", "c.yaml:4:eval.gates.0.mni: unknown key; did you mean"),
    "text for a number": (
        "profile: tiny\nppo: {learning_rate: fast}\n",
        'c.yaml:2:ppo.learning_rate: is "fast"; must be a number of more than 0',
    ),
    "quoted number": ("profile: tiny\nppo: {steps: '3'}\n", 'ppo.steps: is "3"; must be an integer of at least 1'),
    "boolean for a number": ("profile: tiny\nppo: {steps: true}\n", "ppo.steps: is true; must be an integer of at least 1"),
    "negative": ("profile: tiny\nppo:\n  kl_coef: -1\n", "c.yaml:3:ppo.kl_coef: is -1; must be a number of at least 0"),
    "zero": ("profile: tiny\nppo: {lora: {r: 0}}\n", "ppo.lora.r: is 0; must be an integer of at least 1"),
    "range": ("profile: tiny\nppo: {gamma: 2}\n", "ppo.gamma: is 2; must be a number of at least 0 and at most 1"),
    "choice": ("profile: tiny\nmodel: {dtype: fp8}\n", 'model.dtype: is "fp8"; must be float32 or bfloat16'),
    "yes is text": ("profile: tiny\nppo: {normalize_reward: yes}\n", 'ppo.normalize_reward: is "yes"; must be true or false'),
    "group is text": ("profile: tiny\nppo: fast\n", 'c.yaml:2:ppo: is "fast"; must be a map'),
    "group is null": ("profile: tiny\nppo: ~\n", "c.yaml:2:ppo: is null; must be a map"),
    "infinity": ("profile: tiny\nppo:\n  stop_kl: .inf\n", "c.yaml:3:ppo.stop_kl: .inf is not a finite number"),
    "variable": ("model:\n  name: ${MODEL}\n", "c.yaml:2:model.name: is '${MODEL}'; environment variables are not expanded"),
    "empty": ("", "c.yaml: is empty"),
    "list": ("- a\n", "holds a list where a map of settings was expected"),
    "unknown profile": ("profile: tinny\n", "c.yaml:1:profile: no profile 'tinny'\nDid you mean tiny?"),
    "conflict": ("profile: tiny\nmodel: {quantization: nf4}\n", "model.quantization 'nf4' can't be used with model.name 'tiny'"),
    "no division": ("profile: tiny\nppo: {minibatches: 3}\n", "ppo.minibatches 3 must divide ppo.rollout_batch_size"),
    "unknown judge": ("profile: tiny\neval: {judge: keywrd}\n", "c.yaml:2:eval.judge: no judge named 'keywrd'\nDid you mean keyword?"),
    "unknown metric": (
        "profile: tiny\neval:\n  gates:\n    - {metric: refusal_rat, min: 0}\n",
        "c.yaml:4:eval.gates.0.metric: no metric named",
    ),
    "two limits": (
        "profile: tiny\neval: {gates: [{metric: refusal_rate, min: 0, max: 1}]}\n",
        "exactly one of min, max, min_delta, max_delta",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_in_a_file_is_named_with_its_place_and_what_is_allowed(case: str, tmp_path: Path) -> None:
    text, message = WRONG[case]
    error = _error(_write(tmp_path, text))
    assert message in error
    assert len(error.splitlines()) <= 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("ppo.stpes=3", "ppo.stpes: unknown key; did you mean ppo.steps? (-o ppo.stpes=3)"),
        ("ppo.steps", "override 'ppo.steps' is not of the form dotted.key=value"),
        ("=3", "is not of the form dotted.key=value"),
        ("ppo.steps=0", "ppo.steps: is 0; must be an integer of at least 1 (-o ppo.steps=0)"),
        ("ppo.steps=", "ppo.steps: is null; must be an integer of at least 1 (-o ppo.steps=)"),
        ("ppo.stop_kl=.inf", ".inf is not a finite number (-o ppo.stop_kl=.inf)"),
        ("eval.gates.99.min=1", "no item '99' in a list of"),
        ("eval.gates.first.min=1", "no item 'first' in a list of"),
        ("seed.x=1", "seed is not a group of settings (-o seed.x=1)"),
        ("ppo={a: 1, a: 2}", "duplicate key"),
        ("profile=tiny", "the profile can't be an override"),
    ],
)
def test_a_mistake_in_an_override_names_the_override(override: str, message: str) -> None:
    assert message in _error("tiny", override)


def test_at_most_three_problems_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    lines = _error(_write(tmp_path, "profile: tiny\na1: 1\na2: 1\na3: 1\na4: 1\na5: 1\n")).splitlines()
    assert len(lines) == 3
    assert lines[2].endswith("(and 2 more problems)")


def test_an_unknown_profile_or_file_is_named_with_the_nearest(tmp_path: Path) -> None:
    assert "no profile 'tinny'\nDid you mean tiny?" in _error("tinny")
    _write(tmp_path, "profile: tiny\n")
    assert "no such configuration\nDid you mean c.yaml?" in _error(str(tmp_path / "d.yaml"))
    assert "is a folder" in _error(f"{tmp_path}/")


def test_every_setting_is_described_and_frozen() -> None:
    def check(model: type[BaseModel]) -> int:
        count = 0
        assert (model.model_config.get("frozen"), model.model_config.get("extra")) == (True, "forbid"), model
        for name, field in model.model_fields.items():
            inner = field.annotation if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel) else None
            count += check(inner) if inner else 1
            assert inner or field.description, f"{model.__name__}.{name}"
        return count

    assert check(RunConfig) > 50
