"""A chat model behind an OpenAI-compatible server (vLLM, llama.cpp, Ollama): for judges that ask one, and to be measured itself.

Responses leave this machine only for the server that the user names: plain http goes to loopback alone, redirects are not followed, proxies
of the environment are not used. The key comes from the variable TRUENORTH_JUDGE_KEY and stands in no artefact. A server may be slow: a
request is given up when nothing at all was answered for long (`Limits`), and `traffic.py` says how many are sent at a time. Leaves out
streaming, and what is asked: `openai.py`, `pairwise.py`, `models/openai.py`.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import math
import os
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any, ClassVar, Self
from urllib.parse import SplitResult, urlsplit

from ...prompts.errors import InfrastructureError, InputError
from .guards import prompt_sha256
from .traffic import Traffic

KEY = "TRUENORTH_JUDGE_KEY"
TIMEOUT = "TRUENORTH_SERVER_TIMEOUT"
"""Variable: seconds to wait for an answer. Like the next, it changes no result, so it is no setting of a run."""
REQUESTS = "TRUENORTH_SERVER_REQUESTS"
"""Variable: requests under way at a time, at most."""
CONNECT = 30.0
"""Seconds to wait for a connection."""
BUSY = frozenset({429, 503})
RETRIED = BUSY | frozenset({408, 409}) | frozenset(range(500, 600))
ENDS = frozenset({401, 403, 404})
"""What no request of ours can be answered with, sooner or later; other refusals are of one request."""
MAX_BODY = 1 << 20
PLAIN = "Hello"
"""Answered by every chat model that works."""
ANSWER_TOKENS = 20
"""What a judge's verdict takes, without any thoughts before it."""
_GIVEN: ContextVar[Mapping[str, float | None]] = ContextVar("_GIVEN", default=MappingProxyType({}))


@contextmanager
def patience(*, requests: float | None = None, timeout: float | None = None) -> Iterator[None]:
    """What servers that are named within this block are asked with; None: as the environment says."""
    token = _GIVEN.set({REQUESTS: requests, TIMEOUT: timeout})
    try:
        yield
    finally:
        _GIVEN.reset(token)


def positive(variable: str, default: float) -> float:
    """A number of at least 1: what `patience` was given for the variable, else what the environment holds.

    Raises:
        InputError: the variable holds something else.
    """
    given = _GIVEN.get().get(variable)
    if given is not None:
        return given
    text = os.environ.get(variable, "").strip()
    try:
        value = float(text or default)
    except ValueError:
        value = 0.0
    if not 1 <= value < 1e6:
        raise InputError(f"{variable} is {text!r}; expected a number of at least 1", field=variable)
    return value


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and tries of one question, and how many are asked at a time."""

    timeout: float = field(default_factory=lambda: positive(TIMEOUT, 600.0))
    """For each read. A server with one slot answers the last of several requests after all the others."""
    deadline: float = field(default_factory=lambda: 3 * positive(TIMEOUT, 600.0))
    """For all tries together; since the request was first sent, or since the server last answered any other."""
    tries: int = 5
    """Those of a busy server don't count while it answers others."""
    wait: float = 1.0
    """Before the second try; doubles with each."""
    requests: int = field(default_factory=lambda: int(positive(REQUESTS, 16)))
    """Under way at a time, at most."""


class RefusedError(InfrastructureError):
    """The server takes this one request for wrong, such as one that is too long; it may answer others."""


class _RetryableError(Exception):
    """The server may answer later: in `wait` seconds, where it said so.

    Args:
        reason: for the message.
        wait: seconds; 0 where it didn't say.
        busy: whether it has other requests to answer first.
        late: whether no answer came in time.
    """

    def __init__(self, reason: str, wait: float = 0.0, *, busy: bool = False, late: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.busy, self.late = wait, busy or late, late


@dataclass(frozen=True)
class ChatServer:
    """Sends chat completion requests; safe to use from several threads."""

    model: str
    url: str
    limits: Limits = field(default_factory=Limits)
    sleep: Callable[[float], None] = time.sleep
    traffic: Traffic = field(init=False, repr=False, compare=False)
    role: ClassVar[str] = "judge"
    """What messages call it."""
    key: ClassVar[str] = KEY
    """Variable that holds the key."""

    def __post_init__(self) -> None:
        """Nothing is under way yet."""
        object.__setattr__(self, "traffic", Traffic(self.limits.requests))

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

    def send(self, body: bytes) -> bytes:
        """The server's answer to a chat completion request; tried again while there is hope (`Limits`).

        Raises:
            RefusedError: the server takes the request for wrong.
            InfrastructureError: the server can't be reached in time, or refuses to answer at all.
        """
        first, failed, failures, reason = math.inf, -math.inf, 0, "no time left"
        while failures < self.limits.tries:
            with self.traffic.turn() as width:
                first = min(first, time.monotonic())
                left = self._left(first)
                if left <= 0:
                    break
                found = self._try(body, left)
            if isinstance(found, bytes):
                return found
            if found.late:
                self.traffic.narrow(width)
            failures = 1 if found.busy and self.traffic.answered > max(first, failed) else failures + 1
            failed, reason = time.monotonic(), str(found)
            if found.wait > max(0.0, self._left(first)):
                reason += f"; it asks for {found.wait:.0f} s of peace"
                break
            if failures < self.limits.tries:
                self.sleep(max(0.0, min(max(self.limits.wait * 2 ** (failures - 1), found.wait), self._left(first))))
        raise InfrastructureError(f"{self.role} server {self.url}: {reason}\nThe same command goes on where it stopped.")

    def confirm(self, refused: RefusedError, plain: bytes) -> None:
        """Make sure that the server takes that one request for wrong, and not every one: it still answers a plain one.

        Raises:
            InfrastructureError: it refuses the plain request, too.
        """
        try:
            self.send(plain)
        except RefusedError:
            raise InfrastructureError(f"{refused}\nIt refuses any other request, too.") from None

    def _left(self, first: float) -> float:
        """Seconds until a request that was first sent at that time is given up."""
        return max(first, self.traffic.answered) + self.limits.deadline - time.monotonic()

    def _try(self, body: bytes, left: float) -> bytes | _RetryableError:
        try:
            data = self._post(body, left)
        except _RetryableError as error:
            return error
        except RefusedError:
            self.traffic.answer()
            raise
        self.traffic.answer()
        return data

    def _post(self, body: bytes, left: float) -> bytes:
        parts, key = check_url(self.url), os.environ.get(self.key)
        connection = _connect(parts, min(CONNECT, self.limits.timeout, left))
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        end, connected = time.monotonic() + left, False
        try:
            connection.connect()
            connection.sock.settimeout(min(self.limits.timeout, left))
            connected = True
            connection.request("POST", f"{parts.path}/chat/completions", body, headers)
            answer = connection.getresponse()
            data = _read(answer, end)
        except TimeoutError:
            late = f"no answer in {self.limits.timeout:g} s: raise --server-timeout (or {TIMEOUT})"
            reason = late if connected else "no connection in time"
            raise _RetryableError(reason, late=connected) from None
        except (OSError, http.client.HTTPException) as error:
            raise _RetryableError(f"{type(error).__name__}: {error}") from None
        finally:
            connection.close()
        self._refuse(answer, data, key)
        return data

    def _refuse(self, answer: http.client.HTTPResponse, data: bytes, key: str | None) -> None:
        """Raise what an answer other than 200 means."""
        status, server = answer.status, f"{self.role} server {self.url}: HTTP {answer.status}"
        if status in RETRIED:
            raise _RetryableError(f"HTTP {status}", _seconds(answer.getheader("Retry-After")), busy=status in BUSY)
        if 400 <= status < 500 and status not in ENDS:
            raise RefusedError(f"{server}: {_reason(data, key)}")
        if status == 404:
            raise InfrastructureError(f"{server}: {_reason(data, key)}")
        if status != 200:
            hints = {300: " (redirects are not followed)", 400: f"; is {self.key} right?"}
            raise InfrastructureError(server + hints.get(status // 100 * 100, ""))


@dataclass(frozen=True)
class JudgeServer(ChatServer):
    """Asks for short verdicts at temperature 0, one chat completion each."""

    tokens: int = ANSWER_TOKENS
    """Of an answer; a reasoning model needs room for its thoughts."""

    @classmethod
    def from_argument(cls, argument: str) -> Self:
        """`MODEL@URL`, or `MODEL@URL#tokens=N` for answers of up to N tokens.

        Raises:
            InputError: as in `ChatServer`, or what follows the # is something else.
        """
        place, mark, setting = argument.partition("#")
        found = re.fullmatch(r"tokens=([1-9]\d{0,5})", setting)
        if mark and not found:
            raise InputError(f"{cls.role} 'openai:{argument}': {setting!r} is no setting", field=cls.role, advice=f"{_ADVICE}#tokens=2048")
        server = super().from_argument(place)
        return replace(server, tokens=int(found[1])) if found else server

    def identity(self, instructions: str, parser: str) -> str:
        """Revision of a judge: model, digest of the prompt, version of the parser; how long an answer may be, unless it is as usual."""
        room = f".t{self.tokens}" if self.tokens != ANSWER_TOKENS else ""
        return f"{self.model}.{prompt_sha256(instructions)}.p{parser}{room}"

    def ask(self, instructions: str, asked: str) -> str:
        """The answer to a system's and a user's message.

        Raises:
            RefusedError: the server takes this one question for wrong.
            InfrastructureError: the server can't be reached, refuses, or answers something that is no chat completion.
        """
        try:
            return read_completion(self.send(self._body(instructions, asked)))
        except RefusedError as error:
            self.confirm(error, self._body(instructions, PLAIN))
            raise

    def _body(self, instructions: str, asked: str) -> bytes:
        messages = [{"role": "system", "content": instructions}, {"role": "user", "content": asked}]
        return json.dumps({"model": self.model, "messages": messages, "temperature": 0, "max_tokens": self.tokens}).encode()


def _seconds(header: str | None) -> float:
    """Of a Retry-After header, which holds seconds or a date; 0 where there is none that can be read."""
    text = (header or "").strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _reason(data: bytes, key: str | None) -> str:
    """The beginning of what the server said, whatever it is; without our key, should it have repeated that."""
    text = data[:2000].decode("utf-8", "replace")
    return repr((text.replace(key, "[key]") if key else text)[:300])


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
    with answer:
        while chunk := answer.read1(65536):
            data += chunk
            if len(data) > MAX_BODY:
                raise InfrastructureError(f"the server's answer is longer than {MAX_BODY} bytes")
            if time.monotonic() > end:
                raise _RetryableError("too slow")
    return bytes(data)


_ADVICE = "Write openai:MODEL@URL, e.g. openai:qwen3@http://127.0.0.1:8000/v1"
