"""The reward model's worst errors, as a file to read."""

import json

from truenorth.cli.finished import adopt_evaluation
from truenorth.evals import EvalConfig, FakeModel, evaluate, read_run
from truenorth.evals.types import PairScore
from truenorth.evals.worst_pairs import worst_errors
from truenorth.prompts.pairs import load_pairs
from truenorth.prompts.types import Message, Prompt, PromptSuite

SUITE = PromptSuite("s", "1", (Prompt("p", (Message("user", "?"),), "comply"),), "0" * 64)


def test_only_wrong_pairs_count_and_the_surest_come_first():
    margins = {"a": 1.0, "b": -0.5, "c": 0.0, "d": -3.0, "e": -0.5}
    pairs = [PairScore("s", name, margin, 0.0) for name, margin in margins.items()]
    assert [pair.pair_id for pair in worst_errors(pairs)] == ["d", "b", "e"]
    assert [pair.pair_id for pair in worst_errors(pairs, 1)] == ["d"]


def test_an_evaluation_leaves_its_worst_errors_with_their_texts(tmp_path):
    rows = [{"id": str(i), "prompt": f"Ask {i}?", "chosen": "x" * (5 + i), "rejected": "y" * (5 + 2 * (i % 3))} for i in range(6)]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = FakeModel(lambda *_: "Sure.", reward=lambda _, text: float(len(text)))
    pairs = load_pairs(file)
    evaluate(model, label="base", out=tmp_path / "run", config=EvalConfig(), suites=[SUITE], pairs=[pairs])
    found = [json.loads(line) for line in (tmp_path / "run/eval/base/worst_pairs.jsonl").read_text().splitlines()]
    assert [(row["id"], row["margin"]) for row in found] == [("2", -2.0), ("1", -1.0)]
    assert (found[0]["chosen"], found[0]["messages"]) == ("x" * 7, [{"role": "user", "content": "Ask 2?"}])


def test_rows_that_could_not_be_used_stay_with_the_evaluation_and_its_copies(tmp_path):
    rows = [{"prompt": f"Ask {i}?", "chosen": "a", "rejected": "b"} for i in range(200)]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"prompt": "?", "chosen": "a", "rejected": "a"}]) + "{\n")
    model = FakeModel(lambda *_: "Sure.", reward=lambda _, text: float(len(text)))
    evaluate(model, label="base", out=tmp_path / "run", config=EvalConfig(), suites=[SUITE], pairs=[load_pairs(file)])
    adopt_evaluation(tmp_path / "run/eval/base", tmp_path / "other", "base")
    for folder in ("run", "other"):
        (found,) = read_run(tmp_path / folder / "eval/base").quarantined.items()
        assert (found[0], [(row.file, row.line) for row in found[1]]) == ("pairs", [("pairs.jsonl", 201), ("pairs.jsonl", 202)])
        assert found[1][0].reason == "chosen equals rejected"


def test_no_errors_leave_no_file(tmp_path):
    model = FakeModel(lambda *_: "Sure.")
    evaluate(model, label="base", out=tmp_path, config=EvalConfig(), suites=[SUITE])
    assert not (tmp_path / "eval/base/worst_pairs.jsonl").exists()
    assert not (tmp_path / "eval/base/quarantined_pairs.jsonl").exists()
