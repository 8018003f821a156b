"""The report's facts in other tools' formats: files by name, one folder a format. A format is one file with `files(report)`.

Clock-bound fields hold the epoch, so that the same inputs give the same bytes. What a format has no place for is left out.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from ..report import Report

FORMATS = {"lm-eval": "lm_eval", "inspect": "inspect_log", "every-eval-ever": "every_eval_ever"}
"""Name for the user to module of this package."""


def export_files(report: Report, formats: Sequence[str]) -> dict[str, str]:
    """Content by path, `FORMAT/...`, of every file of these formats (keys of `FORMATS`)."""
    found: dict[str, str] = {}
    for name in formats:
        module = importlib.import_module(f"{__name__}.{FORMATS[name]}")
        found |= {f"{name}/{path}": text for path, text in module.files(report).items()}
    return found
