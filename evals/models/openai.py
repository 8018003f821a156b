"""A model behind an OpenAI-compatible server (vLLM, llama.cpp, Ollama): `openai:MODEL@URL`. Retries and deadlines: `judges/server.py`.

The server's own chat template and weights are used, and neither can be seen from here: a response's key holds the name and the address
alone. Serve changed weights under another name, or start another run folder. A request that the server takes for wrong (too long,
filtered) gets an empty response, which has no verdict. Left out: token ids, so no KL and no rewards; capability tasks; adapters (a server
gives each adapter a model name of its own).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from ...prompts.errors import InfrastructureError, InputError
from ...prompts.files import sha256_bytes, to_json
from ...prompts.types import Message, Prompt
from ..judges.server import PLAIN, ChatServer, RefusedError
from ..types import Decoding, ModelCard
from .base import Generated

PREFIX = "openai:"
KEY = "TRUENORTH_MODEL_KEY"
TEMPLATE = "the server's own"
"""Stands in the place of a template's digest."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Wrong:
    """A request that the server took for wrong, and the response that stands for it."""

    error: RefusedError
    row: Generated


@dataclass(frozen=True)
class OpenAIModel(ChatServer):
    """Answers through chat completions; one request a response."""

    role: ClassVar[str] = "model"
    key: ClassVar[str] = KEY

    @property
    def name(self) -> str:
        """As the user named it."""
        return f"{PREFIX}{self.model}@{self.url}"

    def card(self, adapter: str | None) -> ModelCard:
        """Identity by name and address.

        Raises:
            InputError: an adapter is asked for.
        """
        if adapter is not None:
            raise InputError(f"{self.name} has no adapter {adapter!r}", field="adapter", advice="Name the server's model for it.")
        return ModelCard(label="base", model=self.name, model_sha256=sha256_bytes(self.name.encode()), template_sha256=TEMPLATE)

    def generate(self, prompts: Sequence[Prompt], decoding: Decoding, *, adapter: str | None, seed: int) -> Iterator[Generated]:
        """As `answer_each`, for every sample of every prompt."""
        wanted = [(prompt, sample) for prompt in prompts for sample in range(decoding.samples)]
        for row in self.answer_each(wanted, decoding, adapter=adapter, seed=seed):
            yield replace(row, index=row.index // decoding.samples)

    def answer_each(
        self, wanted: Sequence[tuple[Prompt, int]], decoding: Decoding, *, adapter: str | None, seed: int
    ) -> Iterator[Generated]:
        """One response per prompt and sample, as they are finished; an empty one to a request that the server takes for wrong.

        Those come last, once the server has answered a plain request: what stops it from answering at all costs no response.

        Raises:
            InfrastructureError: the server can't be reached in time, refuses everything, or answers something else.
        """
        self.card(adapter)
        wrong: list[_Wrong] = []
        with ThreadPoolExecutor(self.limits.requests) as pool:
            futures = [pool.submit(self._answer, index, *asked, decoding, seed) for index, asked in enumerate(wanted)]
            try:
                for found in _finished(futures):
                    if isinstance(found, Generated):
                        yield found
                    else:
                        wrong.append(found)
            finally:
                pool.shutdown(cancel_futures=True)
        if wrong:
            self.confirm(wrong[0].error, self._body((Message("user", PLAIN),), decoding))
            _LOG.warning("%d of %d requests have no response: %s", len(wrong), len(wanted), wrong[0].error)
            yield from (refused.row for refused in wrong)

    def _answer(self, index: int, prompt: Prompt, sample: int, decoding: Decoding, seed: int) -> Generated | _Wrong:
        drawn = int(sha256_bytes(to_json([seed, prompt.id, sample]).encode())[:8], 16) >> 1
        try:
            text, reason = read_choice(self.send(self._body(prompt.messages, decoding, drawn)))
        except RefusedError as error:
            return _Wrong(RefusedError(f"prompt {prompt.id!r}: {error}"), Generated(index, sample, "", "stop"))
        return Generated(index, sample, text, reason)

    def _body(self, messages: Sequence[Message], decoding: Decoding, seed: int = 0) -> bytes:
        asked: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "temperature": decoding.temperature,
            "max_tokens": decoding.max_new_tokens,
        }
        return json.dumps(asked | ({"seed": seed} if decoding.temperature > 0 else {})).encode()


def _finished(futures: Sequence[Future[Generated | _Wrong]]) -> Iterator[Generated | _Wrong]:
    """Results as they come; after a failure no further request is begun, those under way still count, and then it is raised."""
    failure: BaseException | None = None
    for future in as_completed(futures):
        if future.cancelled():
            continue
        if (error := future.exception()) is None:
            yield future.result()
        elif failure is None:
            failure = error
            for other in futures:
                other.cancel()
    if failure is not None:
        raise failure


def read_choice(data: bytes) -> tuple[str, Literal["stop", "length"]]:
    """Text of the first choice, and whether it was cut at the length limit.

    Raises:
        InfrastructureError: the body is no chat completion.
    """
    try:
        choice: Any = json.loads(data)["choices"][0]
        text = choice["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise InfrastructureError("the model server's answer is no chat completion\nIs the URL that of the /v1 interface?") from None
    reason: Literal["stop", "length"] = "length" if choice.get("finish_reason") == "length" else "stop"
    return (text if isinstance(text, str) else "").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"), reason
