"""FSDP2: the frozen base split over the processes, each layer gathered when it is needed. For a base that does not fit one device.

Only the decoder's layers are split, 96 % of a 7B model. Embeddings, output layer, adapters and heads stay whole in every process, so
gradients, checkpoints and adapters are those of plain data parallelism. All processes must make the same number of forward passes.
Left out: quantised bases, whose packed weights can't be split, and loading a part of the base only (each process reads all of it).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from ..evals.models.hf import TransformersModel
from ..prompts.errors import InputError


def shard_base(model: TransformersModel, device: torch.device) -> None:
    """Split the base over all processes; what stays whole moves to `device`. Call it when all adapters are there.

    Raises:
        InputError: the base is quantised.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    if model.quantization != "none":
        raise InputError(
            f"a base quantised to {model.quantization} can't be split over processes", field="ppo.shard_base", advice="Set one of the two."
        )
    causal = model.base.causal
    decoder = causal.get_decoder()
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    whole = set(_kept_whole(causal))
    for layer in decoder.layers:
        fully_shard(layer, mesh=mesh, reshard_after_forward=True, ignored_params=whole)
    fully_shard(decoder, mesh=mesh, reshard_after_forward=True, ignored_params=whole)
    for parameter in whole:
        parameter.data = parameter.data.to(device)
    causal._is_fsdp_managed_module = True  # transformers reads it: generation goes on until every process is done


def _kept_whole(causal: nn.Module) -> Iterator[nn.Parameter]:
    """Everything but the frozen weights of the decoder's layers."""
    for name, parameter in causal.named_parameters():
        if ".layers." not in name or ".lora_" in name:
            yield parameter


def equal_chunks(rows: Sequence[int], width: int, budget: int) -> list[list[int]]:
    """Rows for one forward pass each; processes that have as many rows, with the same width and budget, make as many passes.

    Args:
        rows: of this process.
        width: tokens that any row of any process may have.
        budget: padded tokens per forward pass.
    """
    size = max(1, budget // width)
    return [list(rows[i : i + size]) for i in range(0, len(rows), size)]
