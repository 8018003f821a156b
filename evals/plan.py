"""What an evaluation will ask: every (suite, prompt, decoding, sample) with the key under which its response is stored."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..prompts.errors import InputError, NothingToEvaluateError
from ..prompts.files import sha256_bytes, to_json
from ..prompts.types import Prompt, PromptSuite
from .config import DecodingConfig
from .store import PROBE_SUITE
from .types import Decoding, ModelCard

_TEMPLATED = re.compile(
    r"\s*(?:<s>|<bos>|<\|begin_of_text\|>|<\|endoftext\|>|\[gMASK\]<sop>|<｜begin▁of▁sentence｜>)?\s*"
    r"(?:\[INST\]|\[SYSTEM_PROMPT\]|<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|<\|(?:user|system)\|>|<｜User｜>)"
)
"""How a rendered prompt begins."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ask:
    """One response that is wanted."""

    key: str
    suite: str
    prompt: Prompt
    decoding: Decoding
    sample: int


def make_plan(
    card: ModelCard, suites: Sequence[PromptSuite], decodings: Sequence[Decoding], *, limit: int | None, seed: int, probe: Prompt | None
) -> list[Ask]:
    """Every response wanted, in canonical order: the probe, then suite, prompt, decoding, sample.

    Raises:
        InputError: two suites share a name, one is called like the probe, two prompts of a suite share an id, or most prompts of a
            suite are rendered in a chat template already.
        NothingToEvaluateError: a suite has no prompts.
    """
    names = [suite.name for suite in suites]
    for name in names:
        if names.count(name) > 1 or name == PROBE_SUITE:
            raise InputError(f"suite name {name!r} is taken", field="eval.suites", advice="Give each suite its own name.")
    asks = [_ask(card, PROBE_SUITE, probe, Decoding("greedy", 0.0, decodings[0].max_new_tokens), 0, seed)] if probe else []
    for suite in suites:
        if not suite.prompts:
            raise NothingToEvaluateError(f"suite {suite.name!r} has no prompts")
        if card.template_sha256:
            _refuse_rendered(suite)
        for prompt in suite.prompts[:limit]:
            asks += [_ask(card, suite.name, prompt, how, sample, seed) for how in decodings for sample in range(how.samples)]
        ids = [prompt.id for prompt in suite.prompts]
        if len(set(ids)) < len(ids):
            twice = next(name for name in ids if ids.count(name) > 1)
            raise InputError(f"suite {suite.name!r} has two prompts with id {twice!r}", field="id")
    return asks


def _refuse_rendered(suite: PromptSuite) -> None:
    """Raise InputError when most prompts are rendered in a chat template already; a few, such as attacks that quote one, are told."""
    rendered = [prompt.id for prompt in suite.prompts if any(_TEMPLATED.match(turn.content) for turn in prompt.messages)]
    if not rendered:
        return
    found = f"{len(rendered)} of {len(suite.prompts)} prompts of {suite.name!r} hold the chat template already"
    if len(rendered) > len(suite.prompts) / 2:
        advice = "Give the requests alone, without [INST], <|im_start|> and the like."
        raise InputError(f"{found}: it would be applied twice", field="prompt", advice=advice)
    _LOG.warning("%s, e.g. %r: they are asked as they are, with the template around them", found, rendered[0])


def make_decodings(configs: Iterable[DecodingConfig]) -> tuple[Decoding, ...]:
    """Named decodings of a config: `greedy`, or `t` and the temperature.

    Raises:
        InputError: none, two of one temperature, or several samples of the greedy one.
    """
    made: list[Decoding] = []
    for config in configs:
        name = "greedy" if config.temperature == 0 else f"t{config.temperature}"
        if name == "greedy" and config.samples > 1:
            raise InputError(f"{config.samples} greedy samples are {config.samples} times the same response", field="eval.decodings")
        if name in [other.name for other in made]:
            raise InputError(f"decoding {name} stands twice", field="eval.decodings", advice="Raise its `samples` instead.")
        made.append(Decoding(name, config.temperature, config.max_new_tokens, config.samples))
    if not made:
        raise InputError("no decoding", field="eval.decodings")
    return tuple(made)


def generation_key(card: ModelCard, suite: str, prompt: Prompt, decoding: Decoding, sample: int, seed: int) -> str:
    """Content hash of all that determines a response; the seed plays no part in a greedy one, nor in one of several recorded ones."""
    drawn = [decoding.temperature, seed, sample] if decoding.temperature > 0 else [0.0, sample] if sample else [0.0]
    facts = [
        [card.model_sha256, card.adapter_sha256, card.tokenizer_sha256, card.template_sha256, card.dtype],
        [*drawn, decoding.max_new_tokens],
        [suite, prompt.id, [[message.role, message.content] for message in prompt.messages]],
    ]
    return sha256_bytes(to_json(facts).encode())


def nearest(name: str, known: Iterable[str]) -> str:
    """A `Did you mean` line, or the list of what there is."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=2)
    return f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known)}."


def _ask(card: ModelCard, suite: str, prompt: Prompt, decoding: Decoding, sample: int, seed: int) -> Ask:
    return Ask(generation_key(card, suite, prompt, decoding, sample, seed), suite, prompt, decoding, sample)
