"""Several processes on one evaluation: the same bytes as one, also when one is killed and fewer or more go on."""

import threading

import pytest
from fake_evaluations import model, pairs, run, suite
from truenorth.evals.config import DecodingConfig, EvalConfig
from truenorth.evals.models.fake import FakeModel
from truenorth.evals.shards import ALONE, Shard, join_processes
from truenorth.evals.stages.applied import PROMPTS

FILES = ("prompts.jsonl", "generations.jsonl", "judgments.jsonl", "scores.jsonl", "worst_pairs.jsonl", "results.json")
CONFIG = EvalConfig(decodings=(DecodingConfig(temperature=0.0, max_new_tokens=32), DecodingConfig(temperature=1.0, samples=2)))
SUITES = (suite("harmful", "refuse", 150), suite("benign", "comply", 150))


def shards(count):
    """Shards of threads that wait for each other as processes do."""
    barrier, said = threading.Barrier(count), [False]

    def agree_as(rank):
        def agree(value):
            if rank == 0:
                said[0] = value
            barrier.wait(30)
            found = said[0]
            barrier.wait(30)
            return found

        return agree

    return barrier, [Shard(rank, count, agree_as(rank)) for rank in range(count)]


def together(out, count, using):
    """Runs the evaluation in `count` threads; returns their results, or what they raised."""
    barrier, parts = shards(count)
    found = [None] * count

    def work(rank):
        try:
            found[rank] = run(out, "ppo", using=using[rank], config=CONFIG, suites=SUITES, pairs=[pairs(200)], shard=parts[rank])
        except BaseException as error:
            found[rank] = error
            barrier.abort()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def read(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The files of one process."""
    out = tmp_path_factory.mktemp("whole")
    run(out, "ppo", config=CONFIG, suites=SUITES, pairs=[pairs(200)])
    return read(out / "eval/ppo")


@pytest.mark.parametrize("count", [2, 3])
def test_several_processes_leave_the_bytes_of_one(tmp_path, whole, count):
    found = together(tmp_path, count, [model() for _ in range(count)])
    assert read(tmp_path / "eval/ppo") == whole
    assert set(whole) == set(FILES)
    assert found[0] == found[1]


def test_each_row_is_computed_once(tmp_path, whole):
    said = [[], []]

    def counting(rank):
        plain = model()

        def say(prompt, adapter, sample):
            said[rank].append((prompt.id, sample))
            return plain._say(prompt, adapter, sample)

        return FakeModel(say, reward=plain._reward, kl=plain._kl)

    together(tmp_path, 2, [counting(0), counting(1)])
    assert all(said)
    assert len(said[0]) + len(said[1]) == 1 + 300 + 600 + 2 * PROMPTS  # each looks first whether the adapter does anything


@pytest.mark.parametrize("then", [1, 2])
def test_what_a_killed_process_left_is_taken_over(tmp_path, whole, then):
    plain, asked = model(), []

    def dying(prompt, adapter, sample):
        asked.append(prompt.id)
        if len(asked) > 90:
            raise KeyboardInterrupt
        return plain._say(prompt, adapter, sample)

    failed = together(tmp_path, 2, [model(), FakeModel(dying, reward=plain._reward, kl=plain._kl)])
    assert any(isinstance(one, BaseException) for one in failed)
    assert list((tmp_path / "eval/ppo").glob(".generations.*.jsonl"))
    together(tmp_path, then, [model() for _ in range(then)])
    assert read(tmp_path / "eval/ppo") == whole


def test_without_a_launcher_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join_processes() is ALONE
    assert ALONE.agree(True) is True
    assert [ALONE.takes(number) for number in range(3)] == [True] * 3
