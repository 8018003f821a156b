"""Behind the pytest plugin: options, markers, the `align` fixture, gates of a session, and how they are told.

Public are `Align`, `SuiteResult` and `AlignmentWarning`. They are imported when they are asked for: the plugin is loaded by every pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .facade import Align
    from .result import AlignmentWarning, SuiteResult

_HOMES = {"Align": "facade", "AlignmentWarning": "result", "SuiteResult": "result"}
__all__ = ["Align", "AlignmentWarning", "SuiteResult"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
