"""Put a benchmark's table into a document, between `<!-- NAME -->` and `<!-- /NAME -->`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from truenorth.prompts.files import atomic_write


def markdown(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def replace_table(path: Path, name: str, text: str) -> None:
    """Replace what stands between the marks.

    Raises:
        ValueError: the document lacks one of them.
    """
    before, start, rest = path.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    if not start or not end:
        raise ValueError(f"{path} has no place for the table: <!-- {name} --> and <!-- /{name} -->")
    atomic_write(path, f"{before}{start}{text}\n{end}{after}")
