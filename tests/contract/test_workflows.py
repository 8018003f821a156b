"""Workflows for GitHub, ours and the starter's: actions pinned by commit, least permissions, no secret, and commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted([*(ROOT / ".github" / "workflows").glob("*.yml"), *(ROOT / "cli" / "starter" / "workflows").glob("*.yml")])


def test_there_is_one_for_us_and_one_for_users() -> None:
    assert {path.stem for path in WORKFLOWS} == {"ci", "alignment"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_with_their_version(path: Path) -> None:
    uses = re.findall(r"uses: (.*)", path.read_text())
    assert uses
    assert [line for line in uses if not re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", line)] == []


def test_both_pin_the_same_commits() -> None:
    pins = {re.sub(r"@.*", "", line): line for path in WORKFLOWS for line in re.findall(r"uses: (.*)", path.read_text())}
    found = {line for path in WORKFLOWS for line in re.findall(r"uses: (.*)", path.read_text())}
    assert found == set(pins.values())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_jobs_read_contents_and_nothing_more(path: Path) -> None:
    text = path.read_text()
    workflow = yaml.safe_load(text)
    granted = [workflow["permissions"], *(job.get("permissions", {}) for job in workflow["jobs"].values())]
    assert all(set(one.items()) <= {("contents", "read")} for one in granted)
    assert "secrets." not in text
    assert "pull_request_target" not in text


def test_our_workflow_runs_programs_that_are_there() -> None:
    steps = [
        step["run"]
        for job in yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"].values()
        for step in job["steps"]
        if "run" in step
    ]
    targets = {word for run in steps if run.startswith("make ") for word in run.split()[1:] if "=" not in word}
    makefile = (ROOT / "Makefile").read_text()
    assert targets
    assert [target for target in targets if not re.search(rf"^(\w+ )*{target}( \w+)*:", makefile, re.MULTILINE)] == []
    environments = {name for run in steps for name in re.findall(r"-e (\w+)", run)}
    assert environments
    assert [name for name in environments if f"[testenv:{name}]" not in (ROOT / "tox.ini").read_text()] == []
