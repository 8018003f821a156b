"""A chat model behind an OpenAI-compatible server (vLLM, llama.cpp, Ollama): for judges that ask one, and to be measured itself.

Responses leave this machine only for the server that the user names: plain http goes to loopback alone, redirects are not followed, proxies
of the environment are not used. The key comes from the variable TRUENORTH_JUDGE_KEY and stands in no artefact. Leaves out streaming, and
what is asked: `openai.py`, `pairwise.py`, `models/openai.py`.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self
from urllib.parse import SplitResult, urlsplit

from ...prompts.errors import InfrastructureError, InputError

KEY = "TRUENORTH_JUDGE_KEY"
TIMEOUT = "TRUENORTH_SERVER_TIMEOUT"
"""Variable: seconds to wait for an answer. It changes no result, so it is no setting of a run."""
RETRIED = frozenset({408, 409, 429}) | frozenset(range(500, 600))
WRONG = frozenset({400, 413, 422})
MAX_BODY = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and tries of one question."""

    timeout: float = field(default_factory=lambda: positive(TIMEOUT, 600.0))
    """For connecting and for each read. A server with one slot answers the last of several requests after all the others."""
    deadline: float = field(default_factory=lambda: 3 * positive(TIMEOUT, 600.0))
    """For all tries together."""
    tries: int = 5
    wait: float = 1.0
    """Before the second try; doubles with each."""


class RefusedError(InfrastructureError):
    """The server takes this one request for wrong, such as one that is too long; it may answer others."""


class _RetryableError(Exception):
    """The server may answer later; in `wait` seconds, where it said so."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class ChatServer:
    """One chat completion a question, at temperature 0."""

    model: str
    url: str
    limits: Limits = field(default_factory=Limits)
    sleep: Callable[[float], None] = time.sleep
    role: ClassVar[str] = "judge"
    """What messages call it."""
    key: ClassVar[str] = KEY
    """Variable that holds the key."""

    @classmethod
    def from_argument(cls, argument: str) -> Self:
        """`MODEL@URL`.

        Raises:
            InputError: model or URL is missing, or the URL is not allowed.
        """
        model, _, url = argument.rpartition("@")
        if not model or not url:
            raise InputError(f"{cls.role} 'openai:{argument}' names no model and server", field=cls.role, advice=_ADVICE)
        check_url(url)
        return cls(model, url.rstrip("/"))

    def ask(self, instructions: str, asked: str, max_tokens: int) -> str:
        """The answer to a system's and a user's message.

        Raises:
            InfrastructureError: the server can't be reached, refuses, or answers something that is no chat completion.
        """
        return read_completion(self.send(self.body(instructions, asked, max_tokens)))

    def send(self, body: bytes) -> bytes:
        """The server's answer to a chat completion request; tried again until the deadline.

        Raises:
            RefusedError: the server takes the request for wrong.
            InfrastructureError: the server can't be reached in time, or refuses to answer at all.
        """
        end = time.monotonic() + self.limits.deadline
        reason, asked_for = "", 0.0
        for number in range(self.limits.tries):
            left = end - time.monotonic()
            if left <= 0:
                break
            try:
                return self._post(body, left)
            except _RetryableError as error:
                reason, asked_for = str(error), error.wait
            if number + 1 < self.limits.tries:
                self.sleep(max(0.0, min(max(self.limits.wait * 2**number, asked_for), end - time.monotonic())))
        raise InfrastructureError(f"{self.role} server {self.url}: {reason or 'no time left'}\nThe same command goes on where it stopped.")

    def body(self, instructions: str, asked: str, max_tokens: int) -> bytes:
        """What is sent."""
        messages = [{"role": "system", "content": instructions}, {"role": "user", "content": asked}]
        return json.dumps({"model": self.model, "messages": messages, "temperature": 0, "max_tokens": max_tokens}).encode()

    def _post(self, body: bytes, left: float) -> bytes:
        parts = check_url(self.url)
        connection = _connect(parts, min(self.limits.timeout, left))
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key := os.environ.get(self.key):
            headers["Authorization"] = f"Bearer {key}"
        end = time.monotonic() + left
        try:
            connection.request("POST", f"{parts.path}/chat/completions", body, headers)
            answer = connection.getresponse()
            data = _read(answer, end)
        except (OSError, http.client.HTTPException) as error:
            raise _RetryableError(f"{type(error).__name__}: {error}") from None
        finally:
            connection.close()
        if answer.status in RETRIED:
            raise _RetryableError(f"HTTP {answer.status}", _seconds(answer.getheader("Retry-After")))
        if answer.status in WRONG:
            raise RefusedError(f"{self.role} server {self.url}: HTTP {answer.status}: {_reason(data)}")
        if answer.status != 200:
            hint = (
                " (redirects are not followed)"
                if 300 <= answer.status < 400
                else f"; is {self.key} right?"
                if answer.status in (401, 403)
                else ""
            )
            raise InfrastructureError(f"{self.role} server {self.url}: HTTP {answer.status}{hint}")
        return data


def positive(variable: str, default: float) -> float:
    """A number of at least 1 from the environment.

    Raises:
        InputError: the variable holds something else.
    """
    text = os.environ.get(variable, "").strip()
    try:
        value = float(text or default)
    except ValueError:
        value = 0.0
    if not 1 <= value < 1e6:
        raise InputError(f"{variable} is {text!r}; expected a number of at least 1", field=variable)
    return value


def _seconds(header: str | None) -> float:
    """Of a Retry-After header; 0 where there is none, or a date."""
    return float(header) if header is not None and header.strip().isdecimal() else 0.0


def _reason(data: bytes) -> str:
    """The beginning of what the server said, whatever it is."""
    return repr(data[:300].decode("utf-8", "replace"))


def check_url(url: str) -> SplitResult:
    """The URL's parts.

    Raises:
        InputError: not http(s), user or query in it, or plain http to another machine.
    """
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        raise InputError("the judge's URL can't be read", field="judge", advice=_ADVICE) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine or parts.query or parts.fragment:
        raise InputError(f"{url!r} is no server's address", field="judge", advice=_ADVICE)
    if parts.username is not None:
        raise InputError("the judge's URL holds a user name", field="judge", advice=f"Keys belong into the variable {KEY}.")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise InputError(f"plain http to {parts.hostname}", field="judge", advice="Use https, or a server on 127.0.0.1.")
    return parts


def read_completion(data: bytes) -> str:
    """Text of the first choice.

    Raises:
        InfrastructureError: the body is no chat completion.
    """
    try:
        content: Any = json.loads(data)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise InfrastructureError("the judge server's answer is no chat completion\nIs the URL that of the /v1 interface?") from None
    return content if isinstance(content, str) else ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _connect(parts: SplitResult, timeout: float) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, parts.port, timeout=timeout)


def _read(answer: http.client.HTTPResponse, end: float) -> bytes:
    """The body, bounded in size and time: a server that sends a byte a second is cut off at the deadline."""
    data = bytearray()
    while chunk := answer.read1(65536):
        data += chunk
        if len(data) > MAX_BODY:
            raise InfrastructureError(f"the judge server's answer is longer than {MAX_BODY} bytes")
        if time.monotonic() > end:
            raise _RetryableError("too slow")
    return bytes(data)


_ADVICE = "Write openai:MODEL@URL, e.g. openai:qwen3@http://127.0.0.1:8000/v1"
