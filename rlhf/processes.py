"""The processes of one training run: which rows are whose, and what they tell each other. With one process everything is the identity.

Every process holds the whole model, its own share of the rows, and, once they were gathered, the whole rollout: advantages, whitening,
metrics and guards are computed from all rows by everybody, with the same bits, so nobody decides anything alone. Only gradients, and what
an update saw of its tokens, are summed or gathered. Left out: overlapping that sum with the backward pass, as DDP does; LoRA's gradients
are a few hundred MB at most, and DDP's wrapper knows one forward pass, not four roles.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..prompts.errors import InputError
from .trackers import check_installed

T = TypeVar("T")


def accelerator_for(device: torch.device, report_to: Sequence[str] = (), out: Path | None = None) -> Accelerator:
    """The Accelerator of this process, on the CPU where the model is there.

    Args:
        device: of the model.
        report_to: names of trackers.
        out: run folder; trackers that write files put them into `trackers/`, apart from everything that is compared.

    Raises:
        InputError: a tracker is not installed.
    """
    check_installed(report_to)
    cpu = device.type == "cpu" and not torch.cuda.is_available()
    return Accelerator(cpu=cpu, log_with=list(report_to) or None, project_dir=None if out is None else str(out / "trackers"))


def launched() -> int:
    """Processes that the launcher started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process writes the files."""
    return os.environ.get("RANK", "0") == "0"


class Processes:
    """What the training code needs of an Accelerator.

    Args:
        accelerator: of this process.

    Raises:
        InputError: the launcher started another number of processes than accelerate found: each would train alone.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.rank, self.world = int(accelerator.process_index), int(accelerator.num_processes)
        launched = int(os.environ.get("WORLD_SIZE", self.world))
        if launched != self.world:
            raise InputError(
                f"the launcher started {launched} processes (WORLD_SIZE), accelerate found {self.world}",
                advice="Use torchrun; on machines without a GPU, `accelerate launch` starts what accelerate does not find.",
            )

    @property
    def main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share(self, rows: Sequence[T]) -> list[T]:
        """Every `world`-th of the rows; all processes get the same number when `world` divides theirs."""
        return list(rows[self.rank :: self.world])

    def gather_rows(self, x: Tensor) -> Tensor:
        """The rows of all processes, in the order that `share` took them from. Shapes: (n, ...) -> (n * world, ...), on the CPU."""
        if self.world == 1:
            return x.cpu()
        parts: Tensor = self._gather(x).unflatten(0, (self.world, len(x)))
        return parts.transpose(0, 1).flatten(0, 1).contiguous()

    def gather_responses(self, responses: Sequence[tuple[int, ...]], width: int) -> list[tuple[int, ...]]:
        """Token ids of all processes' responses, at most `width` each, in the order that `share` took their rows from."""
        if self.world == 1:
            return list(responses)
        ids = torch.tensor([[*row, *[-1] * (width - len(row))] for row in responses])
        return [tuple(token for token in row if token >= 0) for row in self.gather_rows(ids).tolist()]

    def gather_tokens(self, x: Tensor) -> Tensor:
        """Values of all processes, which may have different numbers of them. Shapes: (n,) -> (all of them,)."""
        if self.world == 1:
            return x
        counts = self._gather(torch.tensor([len(x)])).tolist()
        padded = torch.zeros(max(counts), dtype=x.dtype, device=x.device)
        padded[: len(x)] = x
        return torch.cat([part[:n] for part, n in zip(self._gather(padded).split(max(counts)), counts, strict=True)])

    def sum(self, x: float) -> float:
        """Sum over the processes."""
        return float(self.gather_rows(torch.tensor([x], dtype=torch.float64)).sum())

    def any(self, flag: bool) -> bool:
        """Whether it is true in any process."""
        return self.sum(float(flag)) > 0

    def from_main(self, x: float) -> float:
        """The main process's number."""
        return float(self.gather_rows(torch.tensor([x], dtype=torch.float64))[0])

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes; losses were divided by the tokens of all of them."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.world == 1 or not gradients:
            return
        total = self.accelerator.reduce(torch.cat([g.flatten() for g in gradients]), reduction="sum")
        for gradient, part in zip(gradients, total.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def agree(self, facts: Mapping[str, str]) -> None:
        """Check that all processes have the same facts; returns when all have come here.

        Raises:
            InputError: they differ, in every process.
        """
        digests = torch.tensor([[_number(text) for text in facts.values()]])
        everybody = self.gather_rows(digests)
        different = [name for name, column in zip(facts, everybody.T, strict=True) if len(column.unique()) > 1]
        if different:
            raise InputError(
                f"the {self.world} processes differ in {', '.join(different)}",
                advice="Give all of them the same command, the same files, and one output folder that all can read.",
            )

    def _gather(self, x: Tensor) -> Tensor:
        gathered: Tensor = self.accelerator.gather(x.to(self.accelerator.device).contiguous())
        return gathered.cpu()


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
