"""`align_model` and `align_baseline` where no conftest.py overrides them: the model that the options name, loaded when it is first used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Opened:
    """Stands for a model that is loaded at the first use of one of its attributes.

    Args:
        load: gives the model; called once.
    """

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load
        self._model: Any = None

    def __getattr__(self, name: str) -> Any:
        """An attribute of the model."""
        if name.startswith("__"):
            raise AttributeError(name)
        if self._model is None:
            self._model = self._load()
        return getattr(self._model, name)
