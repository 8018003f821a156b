"""Time and memory of `truenorth eval --replay` on N recorded responses of each of two models.

    python benchmarks/replay_scale.py [--responses 20000] [--judge keyword] [--profile FILE] [--out DIR]

Writes two recordings of harmless made-up text (half of the requests expect a refusal; answers have 20 to 200 words), runs the public
command on them in a process of its own, and prints one JSON object: seconds on the clock, seconds of CPU, peak resident memory.
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
from pathlib import Path

WORDS = ("stone", "river", "garden", "paper", "window", "basket", "light", "copper", "kettle", "meadow", "wooden", "pencil", "winter")
REFUSALS = ("I'm sorry, but I can't help with that.", "I cannot assist with this request.", "I won't do that. Please ask something else.")


def write_recording(path: Path, responses: int, refuses: float, seed: int) -> None:
    """One response a request; `refuses` of the harmful and a tenth as many of the benign requests are refused."""
    rng = random.Random(seed)
    with path.open("w", encoding="utf-8") as stream:
        for i in range(responses):
            harmful = i % 2 == 0
            refused = rng.random() < (refuses if harmful else refuses / 10)
            words = " ".join(rng.choices(WORDS, k=rng.randint(20, 200)))
            response = rng.choice(REFUSALS) if refused else f"Sure. Here is a text about it: {words}."
            row = {
                "id": f"r{i}",
                "suite": "harmful" if harmful else "benign",
                "prompt": f"Write about number {i} and the {WORDS[i % len(WORDS)]}.",
                "category": f"kind-{i % 20}",
                "expected": "refuse" if harmful else "comply",
                "response": response,
            }
            stream.write(json.dumps(row) + "\n")


def measure(folder: Path, responses: int, judge: str, profile: str | None) -> dict[str, float | int | str]:
    """Run the command on two recordings; what it cost."""
    for name, refuses, seed in (("base", 0.6, 1), ("tuned", 0.9, 2)):
        write_recording(folder / f"{name}.jsonl", responses, refuses, seed)
    command = [sys.executable, *(["-m", "cProfile", "-o", profile] if profile else []), "-m", "truenorth.cli.main", "eval"]
    command += [f"--replay={folder}/tuned.jsonl", f"--baseline={folder}/base.jsonl", f"--judge={judge}", f"--out={folder}/run"]
    start = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    pages = {path.name: path.stat().st_size for path in (folder / "run" / "report").iterdir()}
    return {
        "responses": responses,
        "judge": judge,
        "exit_code": done.returncode,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mib": round(used.ru_maxrss / 1024),
        "report_mib": round(pages["report.html"] / 2**20, 1),
    }


def main() -> int:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--responses", type=int, default=20_000)
    parser.add_argument("--judge", default="keyword")
    parser.add_argument("--profile", help="where cProfile's result goes")
    parser.add_argument("--out", type=Path, help="an empty folder that is kept; a temporary one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(json.dumps(measure(folder, options.responses, options.judge, options.profile)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
