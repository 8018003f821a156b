"""docs/pytest.md: its files and commands give what it shows, in its order; its tables name every option."""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from truenorth.cli.align.marker import Declared
from truenorth.cli.align.options import NAMES

PAGE = (Path(__file__).parents[2] / "docs" / "pytest.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = {
    "python": [sys.executable],
    "pytest": [sys.executable, "-m", "pytest"],
    "truenorth": [sys.executable, "-m", "truenorth.cli.main"],
}


def _commands(block: str) -> Iterator[tuple[str, list[str]]]:
    """(command, lines shown after it)."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown.splitlines()


def _call(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program, _, rest = command.partition(" ")
    line = " ".join([*PROGRAMS.get(program, [program]), rest])
    environ = {**os.environ, "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    return subprocess.run(line, shell=True, cwd=folder, capture_output=True, text=True, timeout=1200, env=environ)


def _check(command: str, shown: list[str], folder: Path) -> None:
    done = _call(command, folder)
    expected = re.search(r"# exits (\d)$", command)
    assert done.returncode == (int(expected[1]) if expected else 0), f"{command}\n{done.stdout}{done.stderr}"
    lines = iter(line.removeprefix("E   ").strip() for line in done.stdout.splitlines())
    for wanted in shown:
        if wanted != "...":
            pattern = re.sub(r"([\[\]])", r"[\1]", wanted.strip()).replace("...", "*")
            assert any(fnmatch.fnmatchcase(line, f"{'*' if 'required:' in wanted else ''}{pattern}") for line in lines), (
                f"{command}\ndoes not show: {wanted}\n{done.stdout}"
            )


def _run_page(folder: Path, info: str) -> int:
    """Write the page's files and run the console blocks with this info string; the number of commands."""
    count = 0
    for language, name, text in BLOCK.findall(PAGE):
        if language == "console" and name == info:
            for command, shown in _commands(text):
                _check(command, shown, folder)
                count += 1
        elif language == "python" and name:
            (folder / name).write_text(text)
    return count


def test_the_tutorial_shows_what_happens(tmp_path: Path) -> None:
    assert _run_page(tmp_path, "") >= 10


@pytest.mark.slow
def test_the_tutorial_on_the_embedded_model_shows_what_happens(tmp_path: Path) -> None:
    assert _run_page(tmp_path, "slow") == 2


def test_every_command_of_the_page_is_run() -> None:
    infos = {name for language, name, _ in BLOCK.findall(PAGE) if language in ("console", "sh", "bash")}
    assert infos == {"", "slow"}


def test_every_option_and_argument_is_listed() -> None:
    assert [name for name in NAMES if f"--align-{name}" not in PAGE] == []
    assert [name for name in Declared.__slots__ if f"`{name}`" not in PAGE] == []
