"""`truenorth train` in one process or in several (torchrun): the main one holds the run folder and decides, the others do what it does.

Left out: the embedded base, which one process trains.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..prompts.errors import InputError
from .config import RunConfig
from .console import say
from .pipeline import Pipeline, fresh_manifest, stages
from .run_folder import RunFolder

if TYPE_CHECKING:
    from ..rlhf.processes import Processes

Stage = tuple[str, tuple[str, ...], Callable[[], Any]]
"""Name, outputs, work."""


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
            advice="Train with several (`truenorth train`), then use this command without a launcher on the same --out.",
        )


def train_together(config: RunConfig, out: Path, last: str) -> bool:
    """Do the training stages up to `last` that are not done yet.

    Returns:
        Whether this process is the main one, which reports.

    Raises:
        InputError: bad input, or several processes where the embedded base is not trained yet.
    """
    todo = stages(Pipeline(config, out))
    todo = todo[: [name for name, *_ in todo].index(last) + 1]
    if launched() == 1:
        with RunFolder.open(out, fresh_manifest(config, "train")) as run:
            for name, outputs, work in todo:
                run.do(name, outputs, work, say)
        return True
    return _share(config, out, todo)


def _share(config: RunConfig, out: Path, todo: list[Stage]) -> bool:
    import torch

    from ..rlhf.processes import Processes, accelerator_for
    from .pipeline import device

    processes = Processes(accelerator_for(torch.device(device())))
    try:
        if processes.main:
            with RunFolder.open(out, fresh_manifest(config, "train")) as run:
                _lead(run, processes, todo)
        else:
            for _, _, work in todo:
                if processes.from_main(0.0):
                    work()
        processes.accelerator.wait_for_everyone()
    finally:
        processes.accelerator.end_training()
    return processes.main


def _lead(run: RunFolder, processes: Processes, todo: list[Stage]) -> None:
    if any(name == "base" and not run.is_done(name) for name, *_ in todo):
        raise InputError(
            "the embedded base is not trained yet, which one process does", file=run.path,
            advice="Run `truenorth train reward` with the same profile and --out without a launcher first.",
        )  # fmt: skip
    for name, outputs, work in todo:
        processes.from_main(float(not run.is_done(name)))
        run.do(name, outputs, work, say)
