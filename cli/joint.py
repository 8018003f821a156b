"""`truenorth train` in one process or in several (torchrun): the main one holds the run folder and decides, the others do what it does.

Left out: the base and the reward model, which one process trains; and evaluation, which `truenorth run` does in one process afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..prompts.errors import InputError
from .config import RunConfig
from .console import say
from .pipeline import Pipeline, fresh_manifest, stages
from .run_folder import RunFolder

SHARED = "ppo"
"""The stage that several processes do together."""


def launched() -> int:
    """Processes that a launcher (torchrun, accelerate) started for this command."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def refuse_several(command: str) -> None:
    """Stop where a command would do the same thing in several processes.

    Raises:
        InputError: there are several.
    """
    if launched() > 1:
        raise InputError(
            f"`truenorth {command}` is for one process, and {launched()} were started",
            advice="Train with several (`truenorth train ppo`), then use this command without a launcher on the same --out.",
        )


def train_together(config: RunConfig, out: Path, last: str) -> bool:
    """Do the training stages up to `last` that are not done yet.

    Returns:
        Whether this process is the main one, which reports.

    Raises:
        InputError: bad input, or several processes where a stage before PPO is not done.
    """
    todo = stages(Pipeline(config, out))
    todo = todo[: [name for name, *_ in todo].index(last) + 1]
    if launched() == 1:
        with RunFolder.open(out, fresh_manifest(config, "train")) as run:
            for name, outputs, work in todo:
                run.do(name, outputs, work, say)
        return True
    if last != SHARED:
        refuse_several(f"train {last}")
    return _share(config, out, todo)


def _share(config: RunConfig, out: Path, todo: list[tuple[str, tuple[str, ...], Callable[[], Any]]]) -> bool:
    import torch

    from ..rlhf.processes import Processes, accelerator_for
    from .pipeline import device

    processes = Processes(accelerator_for(torch.device(device())))
    *before, (name, outputs, work) = todo
    try:
        if not processes.main:
            if processes.from_main(0.0):
                work()
            processes.accelerator.wait_for_everyone()
            return False
        with RunFolder.open(out, fresh_manifest(config, "train")) as run:
            missing = [stage for stage, *_ in before if not run.is_done(stage)]
            if missing:
                raise InputError(
                    f"{missing[-1]} is not trained yet, which one process does", file=out,
                    advice=f"Run `truenorth train reward` with the same profile and --out, then this with {processes.world} processes.",
                )  # fmt: skip
            processes.from_main(float(not run.is_done(name)))
            run.do(name, outputs, work, say)
            processes.accelerator.wait_for_everyone()
        return True
    finally:
        processes.accelerator.end_training()
