"""How long a report takes to build, how much memory, and how big its files are: `python benchmarks/report_scale.py --rows 20000`.

The rows are made up: four suites, base and tuned, replies of 60 words, several prompts to a topic. With a Chromium on the path, how soon
the page shows its verdict is measured too. Prints one JSON object a size.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from truenorth.evals.slices import measure
from truenorth.evals.store import Scored, generation_journal, judgment_journal, score_journal, write_prompts, write_run
from truenorth.evals.types import Decoding, EvalRun, Generation, Judgment, ModelCard, Outcome, Record, Score
from truenorth.prompts.files import write_json
from truenorth.prompts.types import Message, Prompt

SUITES = {"harmful": "refuse", "benign": "comply", "borderline": "comply", "facts": "comply"}
WORDS = ("first", "you", "take", "it", "then", "do", "slowly", "and", "check", "each", "step", "with", "friend", "who", "knows", "more")
PAINT = "performance.getEntriesByName('first-contentful-paint').map(entry => entry.startTime)[0]"


def main() -> None:
    """Make a run of each size, and build its report in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[200, 2000, 20000], help="Replies of each model.")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.build:
        print(json.dumps(built(given.build)))
        return
    for rows in given.rows:
        with tempfile.TemporaryDirectory() as folder:
            run = write_example(Path(folder), rows)
            told = subprocess.run([sys.executable, __file__, "--build", str(run)], check=True, capture_output=True, text=True)
            print(json.dumps({"rows": rows, **json.loads(told.stdout), **painted(run / "report" / "report.html")}), flush=True)


def built(run: Path) -> dict[str, float]:
    """Seconds (of the clock and of this process), peak memory in MiB, sizes in MB."""
    from truenorth.reports.build import build_report

    clock, process = time.perf_counter(), time.process_time()
    build_report(run)
    seconds, cpu = time.perf_counter() - clock, time.process_time() - process
    sizes = {path.name: round(path.stat().st_size / 1e6, 3) for path in sorted((run / "report").iterdir())}
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        **sizes,
    }


def painted(page: Path) -> dict[str, float]:
    """Milliseconds until the page's first content is drawn, the verdict; empty without a Chromium."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "browser"))
    from chromium import Browser, find_chromium

    program = find_chromium()
    if program is None:
        return {}
    with tempfile.TemporaryDirectory() as profile, Browser(program, Path(profile)) as browser:
        browser.open(page)
        browser.wait(f"{PAINT} !== undefined")
        return {"first_paint_ms": round(browser.value(PAINT))}


def write_example(folder: Path, rows: int) -> Path:
    """A run folder with base and tuned; equal for equal sizes."""
    gates = [{"metric": "refusal_rate", "suite": "harmful", "decoding": "greedy", "min": 0.5}]
    write_json(folder / "manifest.json", {
        "schema_version": 1, "command": "run", "profile": "scale", "config": {"eval": {"gates": gates}},
        "baseline": "base", "candidates": ["ppo"], "verdict": "pass", "volatile": {},
    })  # fmt: skip
    for label, refusing in (("base", 0.15), ("ppo", 0.8)):
        _write(folder / "eval" / label, label, list(_records(label, rows, refusing)))
    return folder


def _records(label: str, rows: int, refusing: float) -> Iterator[Record]:
    draw = random.Random(label)
    names = list(SUITES)
    for index in range(rows):
        suite = names[index % len(names)]
        text = f"Question {index}: what should I know about topic {index // 12} before I begin?"
        prompt = Prompt(f"{suite}-{index}", (Message("user", text),), SUITES[suite], f"category {index % 7}", f"topic {index // 12}")
        share = refusing if suite == "harmful" else 0.05
        outcome: Outcome = "refuse" if draw.random() < share else "comply"
        response = " ".join(draw.choices(WORDS, k=60))
        key = f"{label}/{index}"
        yield Record(
            suite, prompt, Generation(key, suite, prompt.id, "greedy", 0, response, "stop"), Judgment(key, outcome, "keyword@1", "made up"),
            Score(key, 60, draw.gauss(0, 1), 0.0 if label == "base" else abs(draw.gauss(1, 0.3))),
        )  # fmt: skip


def _write(folder: Path, label: str, records: list[Record]) -> None:
    card = ModelCard(label, "scale", "0" * 64, template_sha256="1" * 64, tokenizer_sha256="2" * 64, dtype="float32")
    run = EvalRun(card, dict.fromkeys(SUITES, "3" * 64), (Decoding("greedy", 0.0, 64),), "keyword@1", (), tuple(records))
    run = EvalRun(card, run.suites, run.decodings, run.judge, measure(run), run.records)
    write_prompts(folder, {suite: [row.prompt for row in records if row.suite == suite] for suite in SUITES})
    with generation_journal(folder) as generations, judgment_journal(folder) as judgments, score_journal(folder) as scores:
        for row in records:
            generations.append(row.generation)
            if row.judgment and row.score:
                judgments.append(row.judgment)
                scores.append(Scored("", row.score))
    write_run(folder, run)


if __name__ == "__main__":
    main()
