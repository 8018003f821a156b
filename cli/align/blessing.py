"""Whether a session may become a baseline, and saving it. Only what passed is saved: a baseline must not launder what it should catch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...prompts.errors import TruenorthError
from ..baselines import save
from .options import REPORTS
from .rows import Row


def bless(options: Mapping[str, str], rows: Sequence[Row], *, exit_status: int, deselected: int) -> tuple[bool, str]:
    """Save the session's evaluations as the baseline of `--align-save`, unless it failed, is undecided or partial.

    Args:
        options: of the session.
        rows: its gates, settled.
        exit_status: pytest's, so far.
        deselected: tests that measure a model and were left out by -k, -m and the like.

    Returns:
        Whether it was saved, and a line that says where, or why not.
    """
    name = options["save"]
    refusal = _refusal(options, rows, exit_status, deselected)
    if refusal:
        return False, f"baseline {name} was not saved: {refusal}"
    parts, asked = {row.part: Path(row.folder) for row in rows}, {row.part: row.asked for row in rows}
    gates = [{"test": row.test, "metric": row.metric, "suite": row.suite, "measured": row.measured, "outcome": row.outcome} for row in rows]
    try:
        made = save(Path(options.get("report", REPORTS)), name, parts, asked=asked, reason=options.get("reason", ""), gates=gates)
    except TruenorthError as error:
        return False, f"baseline {name} was not saved: {'. '.join(str(error).splitlines())}"
    return True, f"baseline {made.title} saved: {made.folder} ({', '.join(parts)}); changes in {made.folder / 'diff.md'}"


def _refusal(options: Mapping[str, str], rows: Sequence[Row], exit_status: int, deselected: int) -> str:
    undecided = [row for row in rows if row.outcome not in ("pass", "no_baseline")]
    if undecided:
        told = ", ".join(f"{row.metric} on {row.suite}: {row.outcome.replace('_', ' ')}" for row in undecided[:3])
        return f"{len(undecided)} of {len(rows)} gates did not pass ({told})"
    if exit_status != 0:
        return f"the session did not end well (exit status {exit_status})"
    if not any(row.outcome == "pass" for row in rows):
        return "no gate was decided"
    if deselected:
        return f"the session was partial: {deselected} of its tests were deselected"
    if "limit" in options:
        return f"the session was partial: --align-limit {options['limit']}"
    return ""
