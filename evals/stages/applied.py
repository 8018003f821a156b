"""Before stage 1: an adapter that changes nothing is not measured. The check of the same name looks at all responses afterwards."""

from __future__ import annotations

from typing import Any

from ...prompts.errors import InfrastructureError
from ..models.base import ScoresKL
from ..types import Decoding
from .job import Job

PROMPTS, TOKENS = 8, 8


def refuse_idle_adapter(job: Job) -> None:
    """Answer a few of the prompts in a few tokens with the adapter, and compare its distribution with the base's on them.

    Raises:
        InfrastructureError: KL is exactly 0 on every token.
    """
    model: Any = job.model  # two roles at once: it answers and compares distributions
    if job.adapter is None or not isinstance(job.model, ScoresKL):
        return
    prompts = list({ask.prompt.id: ask.prompt for ask in job.plan}.values())[:PROMPTS]
    drawn = model.generate(prompts, Decoding("greedy", 0.0, TOKENS), adapter=job.adapter, seed=job.config.seed)
    items = [(row.prompt_tokens, row.response_tokens) for row in drawn if row.prompt_tokens and row.response_tokens]
    if items and all(kl.exact == 0 for kl in model.sequence_kl(items, adapter=job.adapter)):
        raise InfrastructureError(
            f"adapter {job.adapter!r} was not applied, or does nothing: KL to its base is exactly 0 on {len(items)} responses\n"
            "Look whether its layers are the model's, and whether it was trained."
        )
