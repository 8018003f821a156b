"""Recorded responses as a model: what was generated elsewhere is judged like everything else.

Leaves out what needs a model's probabilities: KL, rewards, capability, the probe.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ...prompts.errors import InputError
from ...prompts.files import sha256_bytes, to_json
from ...prompts.replay import Replay
from ...prompts.types import Prompt
from ..types import Decoding, ModelCard
from .base import Generated

DECODING = "recorded"
"""Name of the decoding: how the responses were drawn is not known."""


class ReplayModel:
    """Gives the recorded responses of one file.

    A prompt without a response (or with fewer than others) gives an empty one, which has no verdict: it is counted as invalid and not
    left out, because what is missing may be missing for a reason.

    Args:
        replay: the file's content.
        name: how reports call the model.

    Raises:
        InputError: two suites hold the same prompt under the same id, with responses of their own.
    """

    def __init__(self, replay: Replay, name: str) -> None:
        self.name = name
        prompts = {(suite.name, prompt.id): prompt for suite in replay.suites for prompt in suite.prompts}
        owners: dict[Prompt, str] = {}
        self._said: dict[Prompt, dict[int, str]] = {}
        for recorded in replay.responses:
            prompt = prompts[recorded.suite, recorded.prompt_id]
            if owners.setdefault(prompt, recorded.suite) != recorded.suite:
                raise InputError(
                    f"suites {owners[prompt]!r} and {recorded.suite!r} both hold prompt {prompt.id!r}", advice="Rename one id."
                )
            self._said.setdefault(prompt, {})[recorded.sample] = recorded.response
        self._sha256 = sha256_bytes(to_json([[r.suite, r.prompt_id, r.sample, r.response] for r in replay.responses]).encode())

    @property
    def decoding(self) -> Decoding:
        """As many samples as the prompt with the most responses has."""
        return Decoding(DECODING, 0.0, 0, max(max(samples) + 1 for samples in self._said.values()))

    def card(self, adapter: str | None) -> ModelCard:
        """Identity by the recorded responses."""
        return ModelCard(label="base", model=self.name, model_sha256=self._sha256)

    def generate(self, prompts: Sequence[Prompt], decoding: Decoding, *, adapter: str | None, seed: int) -> Iterator[Generated]:
        """The recorded responses; empty ones where there are none."""
        wanted = [(prompt, sample) for prompt in prompts for sample in range(decoding.samples)]
        for row in self.answer_each(wanted, decoding, adapter=adapter, seed=seed):
            yield replace(row, index=row.index // decoding.samples)

    def answer_each(
        self, wanted: Sequence[tuple[Prompt, int]], decoding: Decoding, *, adapter: str | None, seed: int
    ) -> Iterator[Generated]:
        """As in `AnswersEach`."""
        for index, (prompt, sample) in enumerate(wanted):
            yield Generated(index, sample, self._said.get(prompt, {}).get(sample, ""), "replay")
