"""The prompts of two recordings: what only one of them was asked is missing from the other, and counts there as without a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .rows import suite_sha256
from .types import Prompt, PromptSuite


def united(ours: Sequence[PromptSuite], theirs: Sequence[PromptSuite]) -> tuple[PromptSuite, ...]:
    """Our suites, with the prompts that their counterparts have besides.

    A suite's counterpart has its name, or (files without a `suite` column are named after themselves) shares prompts with it. Suites of
    theirs without one are left out: there is nothing to compare. Prompts are the same by their id, else by their text.
    """
    lacking: dict[str, dict[str, Prompt]] = {}
    for suite in theirs:
        known = _counterpart(suite, ours)
        if known is not None:
            ids, texts = {prompt.id for prompt in known.prompts}, {prompt.messages for prompt in known.prompts}
            more = {
                prompt.id: replace(prompt, label="") for prompt in suite.prompts if prompt.id not in ids and prompt.messages not in texts
            }
            lacking.setdefault(known.name, {}).update(more)
    return tuple(_with(suite, lacking.get(suite.name, {})) for suite in ours)


def _counterpart(suite: PromptSuite, ours: Sequence[PromptSuite]) -> PromptSuite | None:
    """The suite of ours of that name, else the one that shares most prompts with it; None where none does."""
    texts = {prompt.messages for prompt in suite.prompts}
    shared = {other.name: sum(prompt.messages in texts for prompt in other.prompts) for other in ours}
    named = next((other for other in ours if other.name == suite.name), None)
    nearest = max(ours, key=lambda other: shared[other.name])
    return named or (nearest if shared[nearest.name] else None)


def _with(suite: PromptSuite, more: dict[str, Prompt]) -> PromptSuite:
    if not more:
        return suite
    prompts = (*suite.prompts, *more.values())
    digest = suite_sha256(prompts)
    return replace(suite, version=digest[:12], prompts=prompts, sha256=digest)
