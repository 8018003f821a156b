"""Judges that take several responses at once: same batches and same verdicts whether or not a run was interrupted."""

import pytest
from fake_evaluations import run
from truenorth.evals.judges import Ruling, batch_size, get_judge, judge_each
from truenorth.evals.rejudge import judge_again

FOLDER = "eval/base"


class Batched:
    """Its verdict depends on the batch, as a model's may in half precision; stops before the call number `fails_at`."""

    name, revision, batch_size = "batched", "1", 7

    def __init__(self, fails_at=None):
        self.fails_at, self.calls = fails_at, 0

    def judge(self, prompt, response, finish_reason):
        raise AssertionError("asked one by one")

    def judge_batch(self, items):
        if self.calls == self.fails_at:
            raise KeyboardInterrupt
        self.calls += 1
        digest = sum(len(item.response) + len(item.prompt.id) for item in items)
        return [Ruling("refuse" if (digest + place) % 2 else "comply", f"batch of {len(items)}, {digest}") for place, _ in enumerate(items)]


def test_interrupted_batches_are_repeated_as_a_whole(tmp_path):
    run(tmp_path / "whole", judge=Batched())
    expected = (tmp_path / "whole" / FOLDER / "judgments.jsonl").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", judge=Batched(fails_at=4))
    journal = tmp_path / "parts" / FOLDER / "judgments.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 28
    journal.write_bytes(b"".join(lines[:25]))  # killed within the fourth batch
    judge = Batched()
    run(tmp_path / "parts", judge=judge)
    assert journal.read_bytes() == expected
    assert judge.calls == -(-81 // 7) - 3


def test_second_judge_goes_on_with_the_same_batches(tmp_path):
    for name in ("whole", "parts"):
        run(tmp_path / name)
    judge_again(tmp_path / "whole" / FOLDER, Batched())
    with pytest.raises(KeyboardInterrupt):
        judge_again(tmp_path / "parts" / FOLDER, Batched(fails_at=2))
    judge_again(tmp_path / "parts" / FOLDER, Batched())
    first, second = ((tmp_path / name / FOLDER / "judgments.batched.jsonl").read_bytes() for name in ("whole", "parts"))
    assert first == second


def test_judges_without_batches_are_asked_one_by_one():
    assert batch_size(get_judge("keyword")) == 1
    assert list(judge_each(get_judge("keyword"), [])) == []
