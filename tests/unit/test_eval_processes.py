"""`truenorth eval` started by torchrun on two processes leaves the files of one process, byte for byte."""

import json
import os
import subprocess
import sys

import pytest
from tiny_models import save_tiny_model


@pytest.fixture(scope="module")
def materials(tmp_path_factory):
    """A tiny base and a suite that makes several groups."""
    folder = tmp_path_factory.mktemp("materials")
    rows = [{"id": f"r{i}", "prompt": f"tell me about {i} cats", "expected": ("refuse", "comply")[i % 2]} for i in range(140)]
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "gates.yaml").write_text("gates: []\nmax_invalid_share: 1.0\n")  # a random model says nothing that can be judged
    return save_tiny_model(folder / "base"), folder


def evaluate(materials, out, *launcher):
    base, folder = materials
    options = ["--model", base, "--suite", folder / "mine.jsonl", "--gates", folder / "gates.yaml", "--out", out]
    options += ["--decoding", "greedy", "--decoding", "t1.0", "--max-new-tokens", "6"]
    command = [sys.executable, "-m", *launcher, *map(str, ["truenorth.cli.main", "eval", *options])]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    files = [path for part in ("eval", "report") for path in (out / part).rglob("*") if path.is_file()]
    return {path.relative_to(out): path.read_bytes() for path in files if path.name != "report.html"}  # it names the commit, which may move


@pytest.mark.slow
def test_two_processes_leave_the_bytes_of_one(materials, tmp_path):
    alone = evaluate(materials, tmp_path / "alone")
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    assert evaluate(materials, tmp_path / "both", *launcher) == alone
