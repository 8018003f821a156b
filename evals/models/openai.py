"""A model behind an OpenAI-compatible server (vLLM, llama.cpp, Ollama): `openai:MODEL@URL`. Retries and deadlines: `judges/server.py`.

The server's own chat template and weights are used, and neither can be seen from here: a response's key holds the name and the address
alone. Serve changed weights under another name, or start another run folder. Several requests are under way at a time
(TRUENORTH_SERVER_REQUESTS); one that the server takes for wrong (too long, filtered) gets an empty response, which has no verdict. Left
out: token ids, so no KL and no rewards; capability tasks; adapters (a server gives each adapter a model name of its own).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from ...prompts.errors import InfrastructureError, InputError
from ...prompts.files import sha256_bytes, to_json
from ...prompts.types import Prompt
from ..judges.server import ChatServer, RefusedError, positive
from ..types import Decoding, ModelCard
from .base import Generated

PREFIX = "openai:"
KEY = "TRUENORTH_MODEL_KEY"
REQUESTS = "TRUENORTH_SERVER_REQUESTS"
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

    requests: int = field(default_factory=lambda: int(positive(REQUESTS, 16)))
    """Under way at a time."""
    separate: ClassVar[bool] = True
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
        """One response per prompt and sample, as they are finished; an empty one to a request that the server takes for wrong.

        Raises:
            RefusedError: the server takes all requests for wrong.
            InfrastructureError: the server can't be reached within the deadline, refuses, or answers something else.
        """
        self.card(adapter)
        with ThreadPoolExecutor(self.requests) as pool:
            wanted = [(index, sample) for index in range(len(prompts)) for sample in range(decoding.samples)]
            futures = [pool.submit(self._answer, prompts[index], index, sample, decoding, seed) for index, sample in wanted]
            try:
                yield from _finished(futures)
            finally:
                pool.shutdown(cancel_futures=True)

    def _answer(self, prompt: Prompt, index: int, sample: int, decoding: Decoding, seed: int) -> Generated | _Wrong:
        asked: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": message.role, "content": message.content} for message in prompt.messages],
            "temperature": decoding.temperature,
            "max_tokens": decoding.max_new_tokens,
        }
        if decoding.temperature > 0:
            asked["seed"] = int(sha256_bytes(to_json([seed, prompt.id, sample]).encode())[:8], 16) >> 1
        try:
            text, reason = read_choice(self.send(json.dumps(asked).encode()))
        except RefusedError as error:
            return _Wrong(RefusedError(f"prompt {prompt.id!r}: {error}"), Generated(index, sample, "", "stop"))
        return Generated(index, sample, text, reason)


def _finished(futures: Sequence[Future[Generated | _Wrong]]) -> Iterator[Generated]:
    """Results as they come; after a failure no further request is begun, those under way still count, and then it is raised.

    Requests that the server took for wrong get their empty responses when any other was answered.
    """
    failure: BaseException | None = None
    wrong: list[_Wrong] = []
    answered = False
    for future in as_completed(futures):
        if future.cancelled():
            continue
        if (error := future.exception()) is None:
            found = future.result()
            if isinstance(found, _Wrong):
                wrong.append(found)
            else:
                answered = True
                yield found
        elif failure is None:
            failure = error
            for other in futures:
                other.cancel()
    if failure is not None:
        raise failure
    if wrong and not answered:
        raise wrong[0].error
    for refused in wrong:
        _LOG.warning("no response: %s", refused.error)
        yield refused.row


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
