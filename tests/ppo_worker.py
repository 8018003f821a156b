"""One of several processes that train together: `torchrun ... ppo_worker.py BASE REWARD_MODEL OUT`, used by tests/unit/test_processes.py.

Runs short trainings one after the other in sub-folders of OUT; every process writes what it saw to OUT/RUN.RANK.json.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from ppo_runs import SETTINGS, make_prompts
from truenorth.evals.models.hf import TransformersModel
from truenorth.prompts.errors import InputError
from truenorth.prompts.types import Message, PreferencePair, Prompt
from truenorth.rlhf.config import LoraSettings, ModelSettings, RewardModelSettings
from truenorth.rlhf.ppo import PPOTrainer
from truenorth.rlhf.reward_model import RewardModelTrainer

THREE = SETTINGS.model_copy(update={"steps": 3, "save_every": 99, "learning_rate": 1e-4, "value_learning_rate": 3e-4})
"""12 optimizer steps. AdamW divides a gradient near 0 by its own size: rounding moves such a parameter by a part of its rate."""
RANK = int(os.environ.get("RANK", "0"))
RUNS: dict[str, dict[str, Any]] = {
    "plain": {},
    "critic": {"value_model": "adapter", "kl_placement": "loss", "kl_target": 0.01, "kl_horizon": 20, "gradient_checkpointing": True},
    "sharded": {"shard_base": True, "gradient_checkpointing": True},
    "local_mean": {"minibatches": 1},
    "global_mean": {"minibatches": 1},
    "interrupted": {},
    "not_finite": {},
    "another_seed": {},
    "uneven": {"rollout_batch_size": 6},
}
"""Settings of each run, beside `THREE`."""


def trainer(base: Path, reward_model: Path, out: Path, run: str) -> PPOTrainer:
    """What the run trains with, in this process."""
    model = TransformersModel.load(base, reward_model=reward_model, name="base")
    seed = 1 + (run == "another_seed") * RANK
    reward = nan_in_the_second_process if run == "not_finite" else None
    made = PPOTrainer(model, make_prompts(20), THREE.model_copy(update=RUNS[run]), out=out / run, seed=seed, reward=reward, progress=False)
    if run == "local_mean":
        plant_local_mean(made)
    if run == "interrupted" and RANK == 1:
        signal_after(made, steps=2)
    return made


def nan_in_the_second_process(prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
    """A reward that fails in one process."""
    return [math.nan if RANK == 1 else 1.0 for _ in prompts]


def plant_local_mean(made: PPOTrainer) -> None:
    """Every process divides by its own tokens and the gradients are averaged, as DDP does with a mean loss."""
    loss = made.updater.policy_loss

    def local(experience: Any, group: Sequence[int], stats: Any) -> torch.Tensor:
        mask = experience.rollout.mask
        mine = mask[made.processes.share(range(len(mask)))].sum()
        return loss(experience, group, stats) * mask.sum() / (mine * made.processes.world)

    made.updater.policy_loss = local  # type: ignore[method-assign,assignment]


def signal_after(made: PPOTrainer, *, steps: int) -> None:
    """SIGTERM comes to this process alone."""
    step = made.step

    def signalled(rollout: Any) -> Any:
        row = step(rollout)
        if made.state.step == steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return row

    made.step = signalled  # type: ignore[method-assign]


def seen(make: Callable[[], PPOTrainer]) -> dict[str, Any]:
    """How a run ended in this process, and the tokens that it trained on."""
    tokens: list[Any] = []
    try:
        made = make()
        rollout = made.rollout
        made.rollout = lambda: (tokens.append(found.items) if (found := rollout()) else None, found)[1]  # type: ignore[method-assign]
        result = made.train()
    except InputError as error:
        return {"error": str(error)}
    except KeyboardInterrupt:
        return {"interrupted": True, "steps": made.state.step}
    return {"steps": result.steps, "brake": result.brake, "tokens": tokens, "policy": made.model.base.tensors_sha256("default")}


def train_reward_model(base: Path, out: Path) -> None:
    """Two optimizer steps of 8 pairs each, without dropout, whose noise each process would draw for itself."""
    pairs = [PreferencePair(f"p{i}", (Message("user", f"tell me {i}"),), f"yes {i} good", "no bad") for i in range(20)]
    settings = RewardModelSettings(
        learning_rate=1e-4, batch_size=2, gradient_accumulation=4, save_every=1, lora=LoraSettings(r=4, dropout=0.0)
    )
    model = ModelSettings(name="base", dtype="float32")
    RewardModelTrainer(base, pairs[:16], settings, model, out=out, seed=1, validation=pairs[16:], progress=False).train()


def main() -> None:
    """All runs, in their order, and a reward model."""
    torch.set_num_threads(1)
    base, reward_model, out = map(Path, sys.argv[1:4])
    for run in sys.argv[4:] or RUNS:
        found = seen(lambda run=run: trainer(base, reward_model, out, run))  # type: ignore[misc]
        (out / f"{run}.{RANK}.json").write_text(json.dumps(found))
    train_reward_model(base, out / "reward")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
