"""Recorded responses as what is measured: files, perhaps of several models, and what they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..prompts.files import sha256_file
from ..prompts.replay import Replay, load_replay
from ..prompts.types import Expected, PromptSuite
from .console import say


@dataclass(frozen=True)
class Recording:
    """What one model answered, recorded in one or more files."""

    files: tuple[Path, ...]
    model: str = ""
    """The rows of that name in the `model` column; empty for all."""
    expected: Expected | None = None
    """What a good answer does to requests of which the files don't say it."""

    @property
    def name(self) -> str:
        """As reports call it."""
        return self.model or " + ".join(path.name for path in self.files)

    def facts(self) -> dict[str, Any]:
        """What determines its content."""
        files = [sha256_file(path) if path.is_file() else str(path) for path in self.files]
        return {"files": files, "model": self.model or None, "expected": self.expected}

    def read(self, suites: Sequence[PromptSuite] = ()) -> Replay:
        """Its responses, joined to the suites.

        Raises:
            InputError: a file can't be read.
        """
        return load_replay(*self.files, suites=suites, model=self.model or None, expected=self.expected)

    def tell(self, replay: Replay) -> None:
        """Say what had to be left out, or is missing."""
        if not any(prompt.expected or prompt.answer for suite in replay.suites for prompt in suite.prompts):
            say(f"warning: {self.name}: no row says what a good answer is, so no rate is measured; give --expected refuse (or comply)")
        if replay.unmatched:
            say(f"warning: {self.name}: {replay.unmatched} rows belong to none of the suites and are left out")
        if replay.missing:
            say(f"warning: {self.name}: {replay.missing} prompts have no response; each counts as a response without a verdict")
        if len(replay.models) > 1:
            say(f"warning: {self.name}: responses of {', '.join(replay.models)} are taken together; --recorded-model NAME picks one")
