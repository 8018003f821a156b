"""Several processes share one evaluation: each does every n-th group of rows into a journal of its own, the first one merges them.

Groups are cut by the plan alone, so a row is computed in the same batch whoever computes it, and the files have the same bytes as those
of one process. `join_processes` is for programs that torchrun starts. Left out: capability tasks, which the first process runs alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass


def _alone(value: bool) -> bool:
    return value


@dataclass(frozen=True, slots=True)
class Shard:
    """This process's part; by default all of the work.

    Args:
        rank: number of this process, 0 for the one that writes the files.
        count: number of processes.
        agree: returns the first process's value to all of them, when all have come there.
    """

    rank: int = 0
    count: int = 1
    agree: Callable[[bool], bool] = _alone

    @property
    def main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def takes(self, group: int) -> bool:
        """Whether the group of that number is this process's."""
        return group % self.count == self.rank

    def meet(self) -> None:
        """Wait for all processes."""
        self.agree(True)


ALONE = Shard()


def join_processes() -> Shard:
    """The shard of a process that torchrun started, connected to the others; `ALONE` without it. Each process gets a GPU of its own.

    Raises:
        RuntimeError: the other processes can't be reached.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count < 2:
        return ALONE
    from datetime import timedelta

    import torch
    from torch import distributed

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if not distributed.is_initialized():
        distributed.init_process_group("gloo", timeout=timedelta(days=2))  # one process may have far longer work than the others

    def agree(value: bool) -> bool:
        flag = torch.tensor([int(value)])
        distributed.broadcast(flag, 0)
        distributed.barrier()
        return bool(flag.item())

    return Shard(distributed.get_rank(), count, agree)
