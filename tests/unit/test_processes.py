"""Two processes over gloo against one. What they do is in tests/ppo_worker.py; they are started once for this file."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from ppo_worker import RUNS, THREE, train_reward_model, trainer
from safetensors.torch import load_file
from torch import Tensor
from truenorth.cli.main import main
from truenorth.prompts.errors import InputError
from truenorth.rlhf.preflight import check_settings
from truenorth.rlhf.processes import Processes
from truenorth.rlhf.rewards import AS_IT_IS
from truenorth.rlhf.sharding import equal_chunks

WORKER = Path(__file__).resolve().parents[1] / "ppo_worker.py"
ALIKE = 1e-6
"""Largest difference of a parameter after three steps."""


def launch(script: Path, *args: Any, processes: int = 2) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), str(script)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    return subprocess.run([*command, *map(str, args)], capture_output=True, text=True, check=False, env=env)


@pytest.fixture(scope="module")
def both(tiny_base: Path, tiny_reward: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left."""
    out = tmp_path_factory.mktemp("both")
    done = launch(WORKER, tiny_base, tiny_reward, out)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.fixture(scope="module")
def alone(tiny_base: Path, tiny_reward: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process left of the runs that are compared."""
    out = tmp_path_factory.mktemp("alone")
    for run in ("plain", "critic", "global_mean"):
        trainer(tiny_base, tiny_reward, out, run).train()
    return out


def seen(both: Path, run: str) -> list[dict[str, Any]]:
    return [json.loads((both / f"{run}.{rank}.json").read_text()) for rank in range(2)]


def distance(one: Path, other: Path) -> float:
    """Largest difference between the parameters of the last checkpoints: policy, value head, own critic, optimizer."""
    folders = [sorted((run / "ppo_checkpoints").glob("step-*"))[-1] for run in (one, other)]
    names = sorted(file.name for file in folders[0].glob("*.safetensors"))
    assert names == sorted(file.name for file in folders[1].glob("*.safetensors"))
    pairs = [(load_file(folders[0] / name), load_file(folders[1] / name)) for name in names]
    return max(float((mine[key] - theirs[key]).abs().max()) for mine, theirs in pairs for key in mine)


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "train" / "ppo.csv").open() as stream:
        return list(csv.DictReader(stream))


# -- the same training


@pytest.mark.parametrize(
    ("run", "reference"), [("plain", "plain"), ("critic", "critic"), ("sharded", "plain"), ("global_mean", "global_mean")]
)
def test_i6_two_processes_end_where_one_does(both: Path, alone: Path, run: str, reference: str):
    assert distance(both / run, alone / reference) <= ALIKE


def test_i6_is_broken_by_means_over_each_process_alone(both: Path, alone: Path):
    """The cause that the test above is for, planted."""
    assert distance(both / "local_mean", alone / "global_mean") > 100 * ALIKE


def test_both_processes_sample_and_end_with_what_one_process_would(both: Path, tiny_base: Path, tiny_reward: Path, tmp_path: Path):
    mine = trainer(tiny_base, tiny_reward, tmp_path, "plain")
    items = [[[list(prompt), list(response)] for prompt, response in mine.rollout().items]]
    first, second = seen(both, "plain")
    assert first == second
    assert first["tokens"][:1] == items
    assert seen(both, "sharded")[0]["tokens"] == first["tokens"]


def test_the_log_has_the_numbers_of_all_processes(both: Path, alone: Path):
    mine, theirs = rows(both / "plain"), rows(alone / "plain")
    assert [row["val/first_ratio_dev"] for row in mine] == ["0.0"] * 3
    for a, b in zip(mine, theirs, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            if a[name] != b[name]:
                assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-3, abs=1e-4), name


def test_one_process_writes_and_leaves_the_same_files(both: Path, alone: Path):
    left, expected = ({str(p.relative_to(out / "plain")) for p in (out / "plain").rglob("*")} for out in (both, alone))
    assert left == expected
    timing = (both / "plain" / "train" / "timing.csv").read_text().splitlines()
    assert len(timing) == len((alone / "plain" / "train" / "timing.csv").read_text().splitlines())


def test_a_reward_model_of_two_processes_is_that_of_one(both: Path, tiny_base: Path, tmp_path: Path):
    train_reward_model(tiny_base, tmp_path)
    adapters = [
        Path("final_rm_model_adapters") / "adapter_model.safetensors",
        Path("rm_model_adapters") / "epoch-1" / "adapter_model.safetensors",
    ]
    for name in adapters:
        ours, theirs = load_file(both / "reward" / name), load_file(tmp_path / name)
        assert ours.keys() == theirs.keys()
        assert max(float((ours[key] - theirs[key]).abs().max()) for key in ours) <= ALIKE
    with (both / "reward" / "train" / "reward.csv").open() as mine, (tmp_path / "train" / "reward.csv").open() as stream:
        for a, b in zip(csv.DictReader(mine), csv.DictReader(stream), strict=True):
            names = a.keys() - {"min_reward", "max_reward"}  # TRL takes them over the micro-batches of all processes together
            assert {name: float(a[name]) for name in names} == pytest.approx({name: float(b[name]) for name in names}, rel=1e-3, abs=1e-4)
    left, expected = ({str(p.relative_to(out)) for p in out.rglob("*")} for out in (both / "reward", tmp_path))
    assert left == expected


# -- ending and going on


def test_a_signal_to_one_process_ends_all_and_one_process_goes_on(both: Path, alone: Path, tiny_base: Path, tiny_reward: Path):
    assert seen(both, "interrupted") == [{"interrupted": True, "steps": 2}] * 2
    assert [path.name for path in (both / "interrupted" / "ppo_checkpoints").iterdir()] == ["step-000002"]
    assert trainer(tiny_base, tiny_reward, both, "interrupted").train().steps == 3
    assert distance(both / "interrupted", alone / "plain") <= ALIKE


def test_what_is_not_finite_in_one_process_stops_all(both: Path):
    first, second = seen(both, "not_finite")
    assert first == second
    assert (first["brake"], first["steps"]) == ("non_finite", 1)
    assert rows(both / "not_finite")[0]["brake"] == "non_finite"


def test_processes_with_other_seeds_are_refused_by_each(both: Path):
    assert all("the 2 processes differ in seed" in found["error"] for found in seen(both, "another_seed"))
    assert not (both / "another_seed" / "train" / "ppo.csv").exists()


def test_rows_that_can_not_be_shared_evenly_are_refused(both: Path):
    assert all("2 processes can't share the 3 rows" in found["error"] for found in seen(both, "uneven"))


def test_a_process_that_accelerate_starts_alone_is_refused(monkeypatch: pytest.MonkeyPatch):
    accelerator = Accelerator(cpu=True)
    assert Processes(accelerator).world == 1
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match=r"started 2 processes \(WORLD_SIZE\), accelerate found 1"):
        Processes(accelerator)


# -- the command


@pytest.mark.slow
def test_the_command_trains_in_two_processes_what_it_trains_in_one(tiny_base: Path, tmp_path: Path, one_thread: None):
    pairs = tmp_path / "pairs.jsonl"
    words = [f"{a} {b}" for a in ("cats", "dogs", "tea") for b in ("one", "two", "three", "four")]
    rows = [{"prompt": f"tell me about {word}", "chosen": "yes sure", "rejected": "no sorry"} for word in words]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ppo = {"steps": 2, "rollout_batch_size": 4, "max_new_tokens": 4, "learning_rate": 3e-4, "lora": {"r": 4}}
    profile = {
        "profile": "mistral-7b",
        "model": {"name": str(tiny_base), "dtype": "float32", "threads": 1},
        "data": {"name": str(pairs), "pairs": None},
        "reward_model": {
            "batch_size": 1,
            "gradient_accumulation": 2,
            "validation_fraction": 1 / 3,
            "min_accuracy": 0.0,
            "lora": {"r": 4, "dropout": 0.0},
        },
        "ppo": ppo,
        "eval": {"suites": ["benign"], "pairs": [], "capability": [], "gates": []},
    }
    (tmp_path / "small.yaml").write_text(json.dumps(profile))
    command = ["train", "ppo", str(tmp_path / "small.yaml"), "--out"]
    done = launch_command([*command, str(tmp_path / "two")])
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("ppo: 2 steps") == 1
    assert main([*command, str(tmp_path / "one")]) == 0
    assert distance(tmp_path / "two", tmp_path / "one") <= ALIKE


def launch_command(args: list[str]) -> subprocess.CompletedProcess[str]:
    return launch(Path("-m"), "truenorth.cli.main", *args)


# -- shares


class ThreeOfThem(Processes):
    """Process `rank` of three, whose neighbours' tensors are known."""

    def __init__(self, rank: int, everybody: list[Tensor]) -> None:
        self.rank, self.world, self.everybody = rank, 3, everybody

    def _gather(self, x: Tensor) -> Tensor:
        return torch.cat([torch.tensor([len(part)]) if x.shape == (1,) else padded(part, len(x)) for part in self.everybody])


def padded(x: Tensor, n: int) -> Tensor:
    return torch.cat([x, x.new_zeros(n - len(x), *x.shape[1:])])


def test_gathered_rows_come_back_in_the_order_they_were_shared_from():
    whole = torch.arange(12.0).reshape(6, 2)
    shares = [whole[rank::3] for rank in range(3)]
    for rank in range(3):
        processes = ThreeOfThem(rank, shares)
        assert processes.share(range(6)) == [rank, rank + 3]
        assert torch.equal(processes.gather_rows(shares[rank]), whole)


def test_gathered_tokens_may_be_of_different_numbers():
    parts = [torch.tensor([1.0, 2.0]), torch.tensor([3.0]), torch.tensor([4.0, 5.0, 6.0])]
    assert ThreeOfThem(1, parts).gather_tokens(parts[1]).tolist() == [1, 2, 3, 4, 5, 6]


def test_processes_that_share_a_base_make_as_many_calls_whatever_their_prompts():
    assert equal_chunks(range(5), width=10, budget=25) == [[0, 1], [2, 3], [4]]
    assert equal_chunks(range(2), width=100, budget=25) == [[0], [1]]


def test_a_quantised_base_is_not_split(tiny_base: Path):
    from truenorth.evals.models.hf import TransformersModel
    from truenorth.rlhf.sharding import shard_base

    model = TransformersModel.load(tiny_base)
    model.quantization = "nf4"
    with pytest.raises(InputError, match="quantised to nf4 can't be split"):
        shard_base(model, torch.device("cpu"))


def test_a_base_is_not_split_over_one_process():
    settings = THREE.model_copy(update={"shard_base": True})
    check_settings(settings, AS_IT_IS, validates=False, processes=2)
    with pytest.raises(InputError, match=r"ppo\.shard_base: there are no other processes"):
        check_settings(settings, AS_IT_IS, validates=False, processes=1)


def test_every_run_of_the_worker_is_looked_at():
    text = Path(__file__).read_text()
    assert [run for run in RUNS if f'"{run}"' not in text] == []
