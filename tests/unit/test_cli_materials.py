"""What a run trains on never holds what it is measured on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from truenorth.cli.config import load_config
from truenorth.cli.materials import capability_tasks, prepare
from truenorth.prompts.errors import NothingToEvaluateError


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


def test_nothing_left_to_train_on_is_said(tmp_path: Path) -> None:
    with pytest.raises(NothingToEvaluateError, match="was excluded"):
        prepare(load_config("mistral-7b", _config(tmp_path, range(8, 12))), tmp_path / "run")


def test_the_embedded_task_is_written_and_others_keep_their_names(tmp_path: Path) -> None:
    task, other = capability_tasks(load_config("tiny", ["eval.capability=[tiny-facts, arc_easy]"]), tmp_path)
    assert other == "arc_easy"
    documents = (tmp_path / "capability" / "tiny-facts.jsonl").read_text().splitlines()
    assert Path(task).is_file()
    assert len(documents) > 20
