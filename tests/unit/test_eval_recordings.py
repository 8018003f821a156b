"""`truenorth eval --replay`: several files, several models in one file, what a good answer is, and what can't be used."""

import json

import pytest
from truenorth.cli.main import main

REFUSAL, ANSWER = "I'm sorry, but I can't help with that.", "Sure. First you take it and then you do it."


@pytest.fixture
def write(tmp_path):
    """Writes (prompt, response, more columns) rows and returns the path."""

    def make(name, rows):
        path = tmp_path / name
        path.write_text("".join(json.dumps({"prompt": p, "response": r, **more}) + "\n" for p, r, more in rows))
        return str(path)

    return make


@pytest.fixture
def evaluate(tmp_path, capsys):
    """Runs the command; returns (exit code, its JSON or what it said on stderr)."""

    def run(*arguments):
        code = main(["eval", *arguments, "--out", str(tmp_path / "run"), "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else said.err

    return run


def rates(said):
    models = said["results"]["models"]
    return {(m["label"], row["metric"], row["suite"]): row["value"] for m in models for row in m["metrics"] if not row["subset"]}


def test_several_files_are_one_recording(write, evaluate):
    harmful = write("harmful.jsonl", [(f"h{i}", REFUSAL, {"expected": "refuse"}) for i in range(4)])
    benign = write("benign.jsonl", [(f"b{i}", ANSWER, {"expected": "comply"}) for i in range(4)])
    code, said = evaluate("--replay", harmful, "--replay", benign)
    found = rates(said)
    assert code == 0
    assert (found["model", "refusal_rate", "harmful"], found["model", "over_refusal_rate", "benign"]) == (1.0, 0.0)
    assert said["results"]["models"][0]["model"] == "harmful.jsonl + benign.jsonl"


def test_expected_fills_in_what_no_file_says(write, evaluate):
    rows = [("a", REFUSAL, {}), ("b", ANSWER, {}), ("c", ANSWER, {"expected": "comply"})]
    found = rates(evaluate("--replay", write("r.jsonl", rows), "--expected", "refuse")[1])
    assert found["model", "refusal_rate", "r"] == 0.5
    assert found["model", "over_refusal_rate", "r"] == 0.0


def test_a_recording_without_expectations_is_judged_and_says_what_to_do(write, tmp_path, capsys):
    assert main(["eval", "--replay", write("r.jsonl", [("a", REFUSAL, {})]), "--out", str(tmp_path / "run")]) == 0
    assert "no row says what a good answer is" in capsys.readouterr().err
    assert '"outcome": "refuse"' in (tmp_path / "run/eval/model/judgments.jsonl").read_text()


def test_one_model_of_a_file_is_compared_with_another(write, evaluate):
    said = {"base": REFUSAL, "tuned": ANSWER}
    file = write("both.jsonl", [(p, said[m], {"model": m, "expected": "refuse"}) for p in "abcdefgh" for m in said])
    code, found = evaluate("--replay", file, "--recorded-model", "tuned", "--baseline", "base")
    (delta,) = [row for row in found["results"]["candidates"][0]["deltas"] if row["metric"] == "refusal_rate" and not row["subset"]]
    assert code == 0
    assert (delta["value"], delta["n"], delta["lost"]) == (-1.0, 8, 8)


def test_unknown_model_of_a_file_leaves_nothing_to_evaluate(write, evaluate):
    file = write("both.jsonl", [("a", ANSWER, {"model": "m", "expected": "refuse"})])
    assert evaluate("--replay", file, "--recorded-model", "n")[0] == 5


def test_models_that_are_mixed_are_told(write, tmp_path, capsys):
    file = write("both.jsonl", [("a", ANSWER, {"model": m, "expected": "refuse"}) for m in "mn"])
    assert main(["eval", "--replay", file, "--out", str(tmp_path / "run")]) == 0
    assert "responses of m, n are taken together" in capsys.readouterr().err


def test_several_baselines_of_a_model_are_refused(evaluate):
    code, said = evaluate("--model", "tiny", "--baseline", "a", "--baseline", "b")
    assert (code, "2 baselines" in said) == (4, True)


def test_several_responses_to_one_prompt_are_its_samples(write, evaluate):
    rows = [(p, r, {"expected": "refuse"}) for p in "abc" for r in (REFUSAL, ANSWER, ANSWER)]
    code, said = evaluate("--replay", write("r.jsonl", rows))
    (row,) = [m for m in said["results"]["models"][0]["metrics"] if m["metric"] == "refusal_rate"]
    assert code == 0
    assert (row["value"], row["n"], row["n_clusters"]) == (pytest.approx(1 / 3), 9, 3)


@pytest.mark.parametrize("sizes", [(6, 10), (10, 6)])
def test_prompts_that_only_one_of_two_recordings_answered_are_missing_from_the_other(write, evaluate, sizes):
    rows = [(f"p{i}", REFUSAL, {"id": str(i), "expected": "refuse"}) for i in range(10)]
    candidate, baseline = (write(f"{name}.jsonl", rows[:n]) for name, n in zip("cb", sizes, strict=True))
    code, said = evaluate("--replay", candidate, "--baseline", baseline)
    (found,) = said["results"]["candidates"]
    checks = {gate["name"]: gate for gate in found["gates"]}
    assert (code, checks["invalid_share"]["outcome"], found["differences"]) == (1, "fail", [])
    assert "4 of 10 without a verdict" in checks["invalid_share"]["reason"]


def test_suites_that_only_the_baseline_has_are_left_out(write, evaluate):
    rows = [(f"p{i}", REFUSAL, {"suite": "harmful", "expected": "refuse"}) for i in range(4)]
    more = [(f"q{i}", ANSWER, {"suite": "benign", "expected": "comply"}) for i in range(4)]
    code, said = evaluate("--replay", write("c.jsonl", rows), "--baseline", write("b.jsonl", rows + more))
    assert code == 0
    assert {row["suite"] for model in said["results"]["models"] for row in model["metrics"]} == {"harmful"}
