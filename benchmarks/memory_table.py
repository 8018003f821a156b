"""The memory table of docs/memory.md: `python benchmarks/memory_table.py [--docs docs/memory.md]`. Arithmetic only."""

from __future__ import annotations

import argparse
from pathlib import Path

from docs_table import markdown, replace_table
from truenorth.cli.config import load_config
from truenorth.rlhf.memory import GB, KNOWN, plan_memory, smaller

DEVICES = (24, 40, 80, 141)
PHASES = ("reward", "rollout", "score", "update")
PROFILES = ("mistral-7b", "mistral-7b-qlora")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--docs", type=Path, help="document whose table is replaced")
    args = parser.parse_args()
    text = markdown(("profile", *PHASES, *(f"{n} GB" for n in DEVICES)), [row(name) for name in PROFILES])
    print(text)
    if args.docs:
        replace_table(args.docs, "memory_table", text)


def row(profile: str) -> list[str]:
    """A profile's plan by phase, and on each device what to change."""
    config = load_config(profile)
    settings = (KNOWN[config.model.name], config.model, config.reward_model, config.ppo)
    options = {"device": "cuda", "batch_tokens": config.eval.batch_tokens}
    plan = plan_memory(*settings, **options)
    cells = [f"`{profile}`", *(f"{plan.totals[phase] / GB:.1f} GB" for phase in PHASES)]
    for n in DEVICES:
        changes = None if plan.fits(n * GB) else smaller(*settings, n * GB, **options)
        named = "no" if changes is None else "with " + ", ".join(f"`{key}={value}`" for key, value in changes.items())
        cells.append("fits" if plan.fits(n * GB) else named)
    return cells


if __name__ == "__main__":
    main()
