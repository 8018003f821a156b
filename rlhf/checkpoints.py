"""Checkpoints of PPO: all that training carries from step to step, as safetensors and JSON. Nothing else has state.

Prompts, samples and minibatches follow from (seed, step), so a run that goes on from a checkpoint does the same steps bit for bit.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..prompts.errors import InputError
from ..prompts.files import read_json, write_json
from .critic import VALUE
from .learner import Learner
from .logs import START_ANEW
from .publish import replace_folder

KEEP = 2
"""Numbered checkpoints that are kept."""


@dataclass(slots=True)
class PPOState:
    """What training counts; the rest is tensors."""

    step: int = 0
    """Steps done."""
    skipped: int = 0
    """Optimizer steps that were not taken because a number was not finite."""
    best_step: int = 0
    best_score: float | None = None
    brake: str = ""
    """Why training stopped early: docs/training.md lists the names."""
    kl_coef: float | None = None
    """Present weight of the penalty where it is adaptive."""
    streaks: dict[str, int] = field(default_factory=dict)
    """Alarms of the last step, and for how many steps in a row."""


class Checkpoints:
    """Folders `step-NNNNNN` and `best` with policy, value head, optimizer and state.

    Args:
        folder: `ppo_checkpoints/`.
        identity: digests of what determines the run; another run's checkpoint is refused.
        writes: False in all processes but one, which have the same to save.
    """

    def __init__(self, folder: Path, identity: dict[str, str], *, writes: bool = True) -> None:
        self.folder, self.identity, self.writes = folder, identity, writes

    def save(self, learner: Learner, state: PPOState, name: str = "") -> None:
        """Write one checkpoint, whole or not at all, and drop the oldest numbered ones."""
        if not self.writes:
            return
        name = name or f"step-{state.step:06d}"
        temporary = self.folder / f".{name}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        save_file(learner.policy_tensors(), temporary / "policy.safetensors")
        save_file({k: v.detach().cpu() for k, v in learner.value_head.state_dict().items()}, temporary / "value_head.safetensors")
        if learner.own_critic:
            save_file(learner.model.base.tensors(VALUE), temporary / "value_adapter.safetensors")
        save_file(optimizer_slots(learner.optimizer), temporary / "optimizer.safetensors")
        write_json(temporary / "state.json", {"state": asdict(state), "identity": self.identity})
        replace_folder(temporary, self.folder / name)
        for old in self._numbered()[:-KEEP]:
            shutil.rmtree(old)

    def resume(self, learner: Learner) -> PPOState:
        """Put the newest numbered checkpoint into the learner; a fresh state where there is none.

        Raises:
            InputError: it belongs to another run, or is damaged.
        """
        if not self._numbered():
            return PPOState()
        folder = self._numbered()[-1]
        state = self._read_state(folder / "state.json")
        try:
            learner.set_policy_tensors(load_file(folder / "policy.safetensors"))
            learner.value_head.load_state_dict(load_file(folder / "value_head.safetensors"))
            if learner.own_critic:
                learner.model.base.set_tensors(VALUE, load_file(folder / "value_adapter.safetensors"))
            set_optimizer_slots(learner.optimizer, load_file(folder / "optimizer.safetensors"))
        except Exception as error:  # whatever a damaged file makes the libraries raise
            raise InputError(f"the checkpoint can't be read: {error}", file=folder, advice=START_ANEW) from None
        return state

    def policy(self, name: str) -> dict[str, Tensor]:
        """The policy adapter of a checkpoint."""
        return dict(load_file(self.folder / name / "policy.safetensors"))

    def _numbered(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))

    def _read_state(self, path: Path) -> PPOState:
        value = read_json(path, "checkpoint")
        try:
            state, identity = PPOState(**value["state"]), dict(value["identity"])
        except (TypeError, KeyError, ValueError):
            raise InputError("not a checkpoint of this program", file=path, advice=START_ANEW) from None
        different = sorted(key for key in {*self.identity, *identity} if identity.get(key) != self.identity.get(key))
        if different:
            raise InputError(f"the checkpoint is of another run: {', '.join(different)} differ", file=path, advice=START_ANEW)
        return state


def optimizer_slots(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's tensors as `PARAMETER.SLOT`, on the CPU."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor.detach().cpu() for index, slots in state.items() for name, tensor in slots.items()}


def set_optimizer_slots(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put them back; learning rates and the like stay the optimizer's own."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
