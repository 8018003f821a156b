"""How many requests a server has to bear at a time, and when it last answered one.

A server with one slot answers the last of several requests after all the others, and one that is slow enough answers it too late. So a
request that waited in vain halves how many are sent at a time from then on, down to one. Leaves out when to give up: `server.py`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Traffic:
    """The requests to one server that are under way; shared by the threads that send them.

    Args:
        width: how many may be at first.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.answered = -math.inf
        """When the last answer came, in seconds of `time.monotonic`."""
        self._under_way = 0
        self._changed = threading.Condition()

    @contextmanager
    def turn(self) -> Iterator[int]:
        """Wait until one more request may be sent; gives how many may be at that time."""
        with self._changed:
            self._changed.wait_for(lambda: self._under_way < self.width)
            self._under_way += 1
            width = self.width
        try:
            yield width
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def answer(self) -> None:
        """Note that the server answered."""
        self.answered = time.monotonic()

    def narrow(self, width: int) -> None:
        """Half of `width`, at which a request waited in vain; all that were sent at one width narrow it once."""
        with self._changed:
            self.width = min(self.width, max(1, width // 2))
