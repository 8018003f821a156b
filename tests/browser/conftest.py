"""One browser for all tests of this folder; they skip with a reason where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # chromium.py; tests/report_data.py


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    from chromium import Browser, find_chromium

    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with Browser(program, tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ordinary report."""
    from report_data import example_run, write_example_run, write_second_judge
    from truenorth.reports.build import build_report

    run = write_example_run(tmp_path_factory.mktemp("runs") / "example")
    for label in ("base", "ppo"):
        write_second_judge(run / "eval" / label, example_run(label))
    build_report(run)
    return run / "report" / "report.html"
