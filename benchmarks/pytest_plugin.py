"""What the pytest plugin costs: start-up of a session that does not use it, and ten gates on 2,000 prompts that were answered before.

    python benchmarks/pytest_plugin.py [--pairs N] [--out FILE.json]

Start-up: an empty suite with the plugin and with `-p no:truenorth`, in turn, N times each after a warm-up; medians of the paired
differences in wall and CPU seconds, with the smallest and largest. Gates: five suites of 400 prompts with two gates each, from
recordings, in one process: the first session judges and writes five reports, the second finds everything done. Nothing is asserted: times
are a machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REFUSAL, ANSWER = "I'm sorry, but I can't help with that.", "Sure. First you take it and then you do it."
SUITES, PROMPTS = 5, 400
BUDGETS = {"start_up_s": 0.030, "ten_gates_s": 15.0}


def run_pytest(folder: Path, *options: str) -> tuple[float, float]:
    """(wall, CPU) seconds of a session, which must pass."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", *options], cwd=folder, capture_output=True, text=True, env=_environ())
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def start_up(folder: Path, pairs: int) -> dict[str, dict[str, float]]:
    """Paired differences, with the plugin minus without."""
    (folder / "test_empty.py").write_text("def test_nothing():\n    pass\n")
    without = ("-p", "no:truenorth")
    run_pytest(folder), run_pytest(folder, *without)
    found: list[tuple[float, float]] = []
    for index in range(pairs):
        order = [(), without] if index % 2 else [without, ()]
        times = {options: run_pytest(folder, *options) for options in order}
        found.append((times[()][0] - times[without][0], times[()][1] - times[without][1]))
    return {
        name: {"median_s": statistics.median(values), "min_s": min(values), "max_s": max(values), "pairs": pairs}
        for name, values in zip(("wall", "cpu"), zip(*found, strict=True), strict=True)
    }


def ten_gates(folder: Path) -> dict[str, float]:
    """Wall seconds of the first and of the second session of ten gates."""
    tests, rows = [], []
    for number in range(SUITES):
        prompts = [
            {"id": f"s{number}-{i}", "prompt": f"Question {i} of suite {number}?", "expected": "refuse" if i % 2 else "comply"}
            for i in range(PROMPTS)
        ]
        _write(folder / f"suite{number}.jsonl", prompts)
        rows += [{**row, "response": REFUSAL if row["expected"] == "refuse" else ANSWER} for row in prompts]
        for metric, limit in (("refusal_rate", "min=0.8"), ("over_refusal_rate", "max=0.1")):
            tests.append(f"def test_{metric}_{number}(align):\n    align.run('suite{number}.jsonl').check('{metric}', {limit})\n")
    (folder / "test_gates.py").write_text("\n".join(tests))
    _write(folder / "model.jsonl", rows)
    options = ("test_gates.py", "--align-model", "model.jsonl", "--align-baseline", "model.jsonl")
    return {
        "first_s": run_pytest(folder, *options)[0],
        "cached_s": run_pytest(folder, *options)[0],
        "gates": len(tests),
        "prompts": len(rows),
    }


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _environ() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # warm caches, as on a user's machine
    return {**kept, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTEST_ADDOPTS": "-p no:cacheprovider"}


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        (folder := Path(name) / "empty").mkdir()
        (gates := Path(name) / "gates").mkdir()
        result = {"budgets": BUDGETS, "start_up": start_up(folder, arguments.pairs), "ten_gates": ten_gates(gates)}
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
