"""Guard models: a prompt and a parser each, as their makers publish them. None was run here; docs/judges.md says what was checked."""

from .base import NOT_RUN, Data, Guard, head_and_tail, prompt_sha256, shield, whole_request
from .harmbench import HARMBENCH
from .llama_guard import LLAMA_GUARD
from .qwen3guard import QWEN3GUARD
from .wildguard import WILDGUARD

GUARDS: dict[str, Guard] = {guard.name: guard for guard in (WILDGUARD, QWEN3GUARD, HARMBENCH, LLAMA_GUARD)}

__all__ = ["GUARDS", "NOT_RUN", "Data", "Guard", "head_and_tail", "prompt_sha256", "shield", "whole_request"]
