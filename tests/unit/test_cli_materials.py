"""What a run trains on never holds what it is measured on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from truenorth.cli.config import load_config
from truenorth.cli.materials import capability_tasks, load_measured, prepare
from truenorth.prompts.errors import InputError, NothingToEvaluateError


def _pairs(path: Path, topics: range) -> str:
    rows = [
        {"chosen": f"\n\nHuman: What is {i}?\n\nAssistant: It is {i}.", "rejected": f"\n\nHuman: What is {i}?\n\nAssistant: No."}
        for i in topics
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def _config(tmp_path: Path, training: range) -> list[str]:
    suite = tmp_path / "suite.jsonl"
    suite.write_text('{"prompt": "What is 3?", "expected": "comply"}\n')
    return [
        f"data.name={_pairs(tmp_path / 'train.jsonl', training)}", "data.pairs=100",
        f"eval.pairs=[{_pairs(tmp_path / 'test.jsonl', range(8, 12))}]", f"eval.suites=[{suite}]", "eval.gates=[]",
    ]  # fmt: skip


def test_prompts_of_measured_pairs_and_suites_are_not_trained_on(tmp_path: Path) -> None:
    materials = prepare(load_config("mistral-7b", _config(tmp_path, range(10))), tmp_path / "run")
    texts = {pair.messages[-1].content for pair in materials.training_pairs}
    assert texts == {f"What is {i}?" for i in range(8) if i != 3}
    assert {prompt.text for prompt in materials.ppo_prompts} == texts
    assert set(materials.hashes()) == {"training_pairs", "template", "suite", *(pairs.name for pairs in materials.pairs)}


def test_measured_rows_that_are_put_aside_are_told_by_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = _config(tmp_path, range(10))
    with (tmp_path / "test.jsonl").open("a") as stream:
        stream.writelines(json.dumps({"prompt": f"\x1b[31m{i}", "chosen": str(i), "rejected": f"not {i}"}) + "\n" for i in range(200))
        stream.writelines(json.dumps(row) + "\n" for row in [{"prompt": "a", "chosen": "b", "rejected": "b"}] * 2)
        stream.write("{\n")
    _, (pairs,) = load_measured(load_config("mistral-7b", overrides))
    said = capsys.readouterr().err
    assert said.startswith(
        f"warning: {pairs.name}: 3 of 207 rows can't be used and are not measured: 2 x chosen equals rejected, 1 x not valid JSON"
    )
    assert said.count("\n") == 1


def test_pair_sets_and_suites_have_names_of_their_own(tmp_path: Path) -> None:
    overrides = _config(tmp_path, range(10))
    (tmp_path / "more").mkdir()
    for one, other in (("more/a.jsonl", "a.jsonl"), ("suite.jsonl", "")):
        _pairs(tmp_path / one, range(3))
        names = [str(tmp_path / one), *([_pairs(tmp_path / other, range(3))] if other else [])]
        suite = [f"eval.suites=[{_suite(tmp_path / 'suites' / 'suite.jsonl')}]"]
        with pytest.raises(InputError, match=rf"{one} and .*{other} both go by the name" if other else "both go by the name 'suite'"):
            load_measured(load_config("mistral-7b", [*overrides, *suite, f"eval.pairs=[{', '.join(names)}]"]))


def _suite(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"prompt": "What is 3?", "expected": "comply"}\n')
    return path


def test_nothing_left_to_train_on_is_said(tmp_path: Path) -> None:
    with pytest.raises(NothingToEvaluateError, match="was excluded"):
        prepare(load_config("mistral-7b", _config(tmp_path, range(8, 12))), tmp_path / "run")


def test_the_embedded_task_is_written_and_others_keep_their_names(tmp_path: Path) -> None:
    task, other = capability_tasks(load_config("tiny", ["eval.capability=[tiny-facts, arc_easy]"]), tmp_path)
    assert other == "arc_easy"
    documents = (tmp_path / "capability" / "tiny-facts.jsonl").read_text().splitlines()
    assert Path(task).is_file()
    assert len(documents) > 20
