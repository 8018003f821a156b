"""TRL's RewardTrainer with checkpoints of ours: safetensors and JSON where transformers writes pickles (optimizer.pt, rng_state.pth).

What transformers does on resuming stays its own: it reads the step, skips the batches that were seen and asks for the random states
when the next one begins. Imports trl, so it is imported only when training starts.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers.trainer import TRAINER_STATE_NAME
from trl import RewardTrainer  # type: ignore[attr-defined]

from ..prompts.errors import InputError
from ..prompts.files import read_json, write_json
from .checkpoints import optimizer_slots, set_optimizer_slots
from .logs import START_ANEW
from .publish import replace_folder
from .random_state import random_state, set_random_state


class ResumableRewardTrainer(RewardTrainer):  # type: ignore[misc]
    """Keeps one checkpoint, `FOLDER/resume`: adapter with head, AdamW's slots, schedule, random states and counts.

    Args:
        checkpoint: folder of the checkpoint.
        identity: digests of what determines the run; another run's checkpoint is refused.
        options: RewardTrainer's own arguments.
    """

    def __init__(self, *, checkpoint: Path, identity: dict[str, str], **options: Any) -> None:
        super().__init__(**options)
        self.checkpoint, self.identity = checkpoint, identity

    def steps_done(self) -> int:
        """Optimizer steps in the checkpoint; 0 where there is none.

        Raises:
            InputError: it is damaged or of another run.
        """
        if not self.checkpoint.exists():
            return 0
        value = read_json(self.checkpoint / "run.json", "checkpoint")
        try:
            identity, step = dict(value["identity"]), int(value["step"])
        except (TypeError, KeyError, ValueError):
            raise InputError("not a checkpoint of this program", file=self.checkpoint, advice=START_ANEW) from None
        different = sorted(key for key in self.identity if identity.get(key) != self.identity[key])
        if different:
            raise InputError(f"the checkpoint is of another run: {', '.join(different)} differ", file=self.checkpoint, advice=START_ANEW)
        return step

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if not self.is_world_process_zero():
            return
        assert self.optimizer is not None  # both are made before the first step
        assert self.lr_scheduler is not None
        temporary = self.checkpoint.with_name(f".{self.checkpoint.name}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        tensors = get_peft_model_state_dict(self.model)
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, temporary / "adapter.safetensors")
        save_file(optimizer_slots(self.optimizer), temporary / "optimizer.safetensors")
        replace(self.state, log_history=[], stateful_callbacks=[]).save_to_json(str(temporary / TRAINER_STATE_NAME))
        run = {"identity": self.identity, "step": self.state.global_step, "num_tokens": self._total_train_tokens}
        write_json(temporary / "run.json", run | {"scheduler": self.lr_scheduler.state_dict(), "random": random_state()})
        replace_folder(temporary, self.checkpoint)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        with _readable(self.checkpoint):
            tensors = load_file(self.checkpoint / "adapter.safetensors")
            if set(tensors) != set(get_peft_model_state_dict(self.model)):
                raise ValueError("other tensors than the adapter has")
            set_peft_model_state_dict(self.model, tensors)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        assert self.optimizer is not None  # made by the caller just before
        assert self.lr_scheduler is not None
        run = read_json(self.checkpoint / "run.json", "checkpoint")
        with _readable(self.checkpoint):
            set_optimizer_slots(self.optimizer, load_file(self.checkpoint / "optimizer.safetensors"))
            self.lr_scheduler.load_state_dict(run["scheduler"])
            for group, rate in zip(self.optimizer.param_groups, run["scheduler"]["_last_lr"], strict=True):
                group["lr"] = rate
            self._total_train_tokens = run["num_tokens"]

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            set_random_state(read_json(self.checkpoint / "run.json", "checkpoint")["random"])


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever a damaged file makes the libraries raise
        raise InputError(f"the checkpoint can't be read: {error}", file=folder, advice=START_ANEW) from None
