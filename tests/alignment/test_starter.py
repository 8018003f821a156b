"""What `truenorth init` gives passes as it is, on the embedded model, in a repository with folders named like ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def _call(*command: str, where: Path) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=where, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def test_the_starter_passes_on_the_embedded_model(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    for name in ("prompts", "reports", "evals"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("MINE = True\n")
    _call("truenorth.cli.main", "init", "alignment", where=tmp_path)
    (tmp_path / "alignment" / "test_mine.py").write_text(
        "import prompts, reports, evals\n\ndef test_mine():\n    assert prompts.MINE and reports.MINE\n"
    )
    assert "pytest alignment" in (tmp_path / ".github" / "workflows" / "alignment.yml").read_text()
    said = _call("pytest", "alignment", "-p", "no:cacheprovider", where=tmp_path)
    assert "4 passed" in said, said
    assert said.count("\npass ") == 3, said
