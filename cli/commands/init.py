"""`truenorth init DIR`: a suite, tests, gates, a profile and a CI workflow to start from, in a repository of one's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click

from ...prompts.errors import InputError
from ...prompts.files import atomic_write
from .. import console
from ..options import FOLDER

STARTER = Path(__file__).parent.parent / "starter"
WORKFLOWS = Path(".github") / "workflows"
PLACE = "FOLDER"
"""What stands in a workflow for the folder of the tests."""


@click.command("init")
@click.argument("folder", type=FOLDER, metavar="DIR")
def command(folder: Path) -> int:
    """Write starter files into DIR, and a workflow into .github/ of the repository that DIR is in. Overwrites nothing."""
    files = dict(_files(folder))
    for target in files:
        if target.exists():
            raise InputError("exists already; nothing was written", file=target, advice="Choose another folder.")
    try:
        for target, text in files.items():
            atomic_write(target, text)
            console.out(os.path.relpath(target))
    except OSError as error:
        raise InputError(f"can't be written: {error.strerror}", file=folder) from None
    console.say(f"Next: pytest {folder}")
    return 0


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    for source in sorted(path for path in STARTER.iterdir() if path.is_file()):
        yield folder / source.name, source.read_text(encoding="utf-8")
    root = _repository(folder)
    for source in sorted((STARTER / "workflows").iterdir()):
        tests = folder.absolute().relative_to(root).as_posix()
        yield root / WORKFLOWS / source.name, source.read_text(encoding="utf-8").replace(PLACE, tests)


def _repository(folder: Path) -> Path:
    """The repository that a folder is in, or will be: where there is none, the working folder for DIR below it, else DIR itself."""
    whole = folder.absolute()
    inside = not folder.is_absolute() and ".." not in folder.parts
    return next((place for place in (whole, *whole.parents) if (place / ".git").exists()), Path.cwd() if inside else whole)
