"""The end of a session, on the process that the user sees: Holm over all gates, the baseline, the summaries, the table."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .blessing import bless
from .github import workflow_commands, write_summary
from .options import REPORTS
from .rows import Row, by_severity, settle

COLUMNS = ("outcome", "metric", "suite", "measured", "interval", "n", "required", "p_adjusted")
TITLES = {"interval": "95% interval", "p_adjusted": "p (Holm)"}
COLOURS = {"pass": {"green": True}, "inconclusive": {"yellow": True}}
FAILED = 1
"""Pytest's exit status where tests failed."""


class Ending:
    """Made once, when the tests are over.

    Args:
        options: the `--align-*` options of the session.
        rows: all gates, as the tests recorded them.
        exit_status: pytest's, so far.
        deselected: tests that measure a model and were left out.
    """

    def __init__(self, options: Mapping[str, str], rows: Sequence[Row], *, exit_status: int, deselected: int = 0) -> None:
        self.rows = settle(rows)
        self.notes: list[str] = []
        self.exit_status = exit_status
        if "save" in options:
            saved, note = bless(options, self.rows, exit_status=self.exit_status, deselected=deselected)
            self.notes.append(note)
            self.exit_status = exit_status or (0 if saved else FAILED)
        folder = Path(options.get("report", REPORTS))
        shutil.rmtree(folder / ".turns", ignore_errors=True)
        if self.rows:
            try:
                write_summary(self.rows, folder, self.notes)
            except OSError as error:
                self.notes.append(f"the summary could not be written: {error.strerror}")

    def show(self, terminalreporter: Any) -> None:
        """The table and notes; in GitHub Actions the annotations, too."""
        if not self.rows and not self.notes:
            return
        if terminalreporter.verbosity >= -1:
            terminalreporter.section("alignment")
            self._table(terminalreporter)
        for note in self.notes:
            terminalreporter.line(note)
        if os.environ.get("GITHUB_ACTIONS") == "true":
            terminalreporter.ensure_newline()
            for command in workflow_commands(self.rows):
                terminalreporter.line(command)

    def _table(self, terminalreporter: Any) -> None:
        cells = [tuple(_cell(row, column) for column in COLUMNS) for row in by_severity(self.rows)]
        if not cells:
            return
        head = tuple(TITLES.get(column, column) for column in COLUMNS)
        widths = [max(len(row[column]) for row in [head, *cells]) for column in range(len(head))]
        terminalreporter.line(_line(head, widths))
        for row, source in zip(cells, by_severity(self.rows), strict=True):
            terminalreporter.write(row[0].ljust(widths[0]), **COLOURS.get(source.outcome, {"red": True}))
            terminalreporter.line(f"  {_line(row[1:], widths[1:])}")
        for report in dict.fromkeys(row.report for row in by_severity(self.rows) if row.outcome != "pass"):
            terminalreporter.line(f"report: {report}")


def _cell(row: Row, column: str) -> str:
    text: str = getattr(row, column)
    return text.replace("_", " ") if column == "outcome" else text


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
