"""Whether a report is merely older than a further judge's verdicts: the run without those gives the very page that is stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..evals.store import judgment_journal
from ..prompts.files import read_json, read_text, write_json


def unseen_judges(run: Path) -> Mapping[Path, str]:
    """Files of further verdicts -> their judge, where the stored page names no such judge."""
    page = read_text(run / "report" / "report.html", "report")
    found = {path: _judge(path) for path in sorted(run.glob("eval/*/judgments.*.jsonl"))}
    return {path: judge for path, judge in found.items() if judge not in page}


def links_without(run: Path, left_out: Collection[Path], place: Path) -> Path:
    """The run as links in a new folder `place`, without some of its files. What it says of its own path is said of the new one.

    Returns:
        The folder.
    """
    facts = {run / "manifest.json", *run.glob("eval/*/results.json")}
    for folder in (run, *run.glob("eval/*")):
        (place / folder.relative_to(run)).mkdir(parents=True)
        for path in folder.iterdir():
            new = place / path.relative_to(run)
            if path in facts:
                write_json(new, _moved(read_json(path), run, place))
            elif path not in left_out and path != run / "eval":
                new.symlink_to(path.resolve())
    return place


def _judge(path: Path) -> str:
    """Who gave the verdicts of a file; empty when there are none."""
    rows = judgment_journal(path.parent, path.name.removeprefix("judgments.").removesuffix(".jsonl")).rows
    return next((row.judge for row in rows.values()), "")


def _moved(value: Any, run: Path, place: Path) -> Any:
    if isinstance(value, str):
        for path in (run.resolve(), run.absolute()):
            value = value.replace(str(path), str(place.resolve()))
        return value
    if isinstance(value, dict):
        return {key: _moved(item, run, place) for key, item in value.items()}
    return [_moved(item, run, place) for item in value] if isinstance(value, list) else value
