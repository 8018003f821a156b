"""One process measures, the others wait and read: under pytest-xdist, a model is loaded once and a GPU serves one worker.

The first worker that needs a measurement becomes the one that measures, for as long as it lives: it holds a lock of the session. The others
leave a request and wait; it is served between that worker's tests. When it ends, a worker that still waits takes its place. A process
that is alone never waits.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from ...prompts.files import atomic_write, sha256_bytes, to_json

POLL_S = 0.1
T = TypeVar("T")


class Turns:
    """Of one process.

    Args:
        folder: where requests are left.
        session: id of the session that all its processes know; empty for a process that is alone.
    """

    def __init__(self, folder: Path, session: str = "") -> None:
        self._folder = folder / ".turns" / session if session else None
        self._lock: Any = None

    def take(self, wanted: Mapping[str, Any], work: Callable[[], T]) -> T:
        """Do `work`, once the process that measures has done what `wanted` describes, so that only its files remain to be read."""
        if self._folder is None:
            return work()
        request = self._folder / sha256_bytes(to_json(wanted).encode())[:16]
        done = request.with_suffix(".done")
        while not done.exists() and not self._try_become_first():
            if not request.with_suffix(".json").exists():
                atomic_write(request.with_suffix(".json"), to_json(wanted))
            time.sleep(POLL_S)
        try:
            return work()
        finally:
            done.parent.mkdir(parents=True, exist_ok=True)
            done.touch()

    def serve(self, work: Callable[[Mapping[str, Any]], object]) -> None:
        """Do what the others wait for, where this is the process that measures. A failure is theirs to meet: they try it themselves."""
        if self._lock is None or self._folder is None:
            return
        for request in sorted(self._folder.glob("*.json")):
            done = request.with_suffix(".done")
            if not done.exists():
                with suppress(Exception):
                    work(json.loads(request.read_text(encoding="utf-8")))
                done.touch()

    def end(self) -> None:
        """Measure no more; the end of the process does the same."""
        if self._lock is not None:
            self._lock.release()

    def _try_become_first(self) -> bool:
        from filelock import FileLock, Timeout

        assert self._folder is not None
        if self._lock is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._folder / "first.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                return False
            self._lock = lock
        return True


class Serving:
    """The hook that serves the others between two tests.

    Args:
        serve: of the session.
    """

    def __init__(self, serve: Callable[[], None]) -> None:
        self._serve = serve

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """A test is over."""
        self._serve()
