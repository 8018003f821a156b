"""`truenorth train reward|ppo`: one training stage, and the stages it needs that are not done yet."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from .. import console
from ..options import json_option, out_option, override_option, profile_argument

SHOWN = {
    "reward": ("loss", "accuracy", "margin", "mean_reward"),
    "ppo": ("objective/scores", "objective/kl", "objective/rlhf_reward", "objective/entropy", "rollout/eos_rate", "rollout/len_mean"),
}
"""Columns of train/STAGE.csv in the short report."""


@click.command("train")
@click.argument("stage", type=click.Choice(list(SHOWN)))
@profile_argument
@out_option()
@override_option
@json_option
def command(stage: str, profile: str, out: Path, overrides: tuple[str, ...], as_json: bool) -> int:
    """Train the reward model, or the policy with PPO (and the reward model first where it is missing).

    Exits 3 when PPO did fewer steps than it was asked for. Several processes (torchrun) share the rows of each PPO batch.
    """
    from ..config import load_config
    from ..joint import train_together
    from ..pipeline import prepare_torch

    config = load_config(profile, overrides)
    prepare_torch(config)
    if train_together(config, out, stage):
        _report(stage, out, as_json)
    return _stopped_early(out, config.ppo.steps) if stage == "ppo" else 0


def _stopped_early(out: Path, wanted: int) -> int:
    """3 and a sentence when PPO did fewer steps than were asked for, else 0."""
    from ...rlhf.logs import shortfall

    reason = shortfall(out / "train" / "ppo.csv", wanted)
    if reason:
        console.say(f"PPO {reason}. What it had is kept.")
    return 3 if reason else 0


def _report(stage: str, out: Path, as_json: bool) -> None:
    """Start against end, from the stage's own log."""
    path = out / "train" / f"{stage}.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    first, last = rows[0], rows[-1]
    if as_json:
        numbers = {name: {"start": _number(first[name]), "end": _number(last[name])} for name in SHOWN[stage]}
        facts = {"stage": stage, "steps": len(rows), "log": str(path), "metrics": numbers}
        return console.out_json(facts | (_held_out(out) if stage == "reward" else {}))
    console.out(f"{stage}: {len(rows)} steps")
    cells = [(name, _shown(first[name]), _shown(last[name])) for name in SHOWN[stage]]
    console.out(console.table(("metric", "start", "end"), cells))
    if stage == "reward":
        for line in _held_out_lines(_held_out(out)):
            console.out(line)
    return console.out(f"Every step: {path}")


def _held_out(out: Path) -> dict[str, Any]:
    """Accuracy on held-out pairs, what length alone gets, and the rows that were put aside, by reason."""
    from ...prompts.files import iter_jsonl, read_json

    path, quarantine = out / "train" / "reward_validation.json", out / "train" / "quarantine.jsonl"
    rows = [row for _, row in iter_jsonl(quarantine)] if quarantine.exists() else []
    found = read_json(path, "validation of the reward model") if path.exists() else None
    return {"validation": found, "quarantined": dict(Counter(row["reason"] for row in rows))}


def _held_out_lines(facts: dict[str, Any]) -> Iterator[str]:
    found = facts["validation"]
    if found:
        length = found["length_only"]
        yield (
            f"Held-out accuracy on {found['n_validation']} pairs: {found['accuracy']:.3f} "
            f"[{found['accuracy_low']:.3f}, {found['accuracy_high']:.3f}]"
        )
        yield f"The {length['prefers']} response alone:      {length['accuracy']:.3f} [{length['low']:.3f}, {length['high']:.3f}]"
        yield f"Left out: {found['too_long']} pairs too long, {found['identical']} identical"
    for reason, n in facts["quarantined"].items():
        yield f"Quarantined: {n} rows: {reason}"


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


def _shown(cell: str) -> str:
    return f"{float(cell):.4g}" if cell else "-"
