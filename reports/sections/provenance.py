"""What was compared, and the command that does it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from ...prompts.files import to_json
from ..report import Report
from ..section import Block, Cell, Code, Fact, Facts, Section, Table

ORDER = 80


def section(report: Report) -> Section:
    """Models, command, versions, configuration."""
    blocks: list[Block] = []
    if command := _command(report.manifest):
        blocks.append(command)
    if facts := _facts(report.manifest):
        blocks.append(Facts(facts))
    if report.runs:
        blocks.append(_models(report))
    for key, title in (("config", "Configuration"), ("versions", "Versions"), ("hashes", "Digests of inputs and outputs")):
        if report.manifest.get(key):
            blocks.append(Code(to_json(report.manifest[key], indent=2), title, collapsed=True))
    return Section("provenance", "Where this comes from", tuple(blocks))


def _command(manifest: Mapping[str, Any]) -> Code | None:
    """The command as it was given where the manifest has it; else one that reads the configuration below from a file."""
    arguments, command = manifest.get("argv"), manifest.get("command")
    if isinstance(arguments, list) and arguments:
        return Code(f"truenorth {shlex.join(_anywhere([str(item) for item in arguments]))}", "Command to reproduce")
    if command in ("run", "train") and manifest.get("config"):
        return Code(f"truenorth {command} config.yaml --out DIR", "Command to reproduce, with the configuration below as config.yaml")
    return None


def _anywhere(arguments: list[str]) -> list[str]:
    """The arguments without the folder that this run happened to be written to, and without the folders of files."""
    out = [_file(argument) for argument in arguments]
    for index, argument in enumerate(out):
        if argument.startswith("--out="):
            out[index] = "--out=DIR"
        elif argument == "--out" and index + 1 < len(out):
            out[index + 1] = "DIR"
    return out


def _file(argument: str) -> str:
    """`--gates=/home/me/gates.yaml` as `--gates=gates.yaml`."""
    name, sign, value = argument.rpartition("=")
    return f"{name}{sign}{PurePath(value).name}" if value.startswith(("/", "~/")) else argument


def _facts(manifest: Mapping[str, Any]) -> tuple[Fact, ...]:
    git = manifest.get("git") or {}
    seeds = manifest.get("seeds") or {}
    commit = f"{git.get('commit')}{' with uncommitted changes' if git.get('dirty') else ''}" if git.get("commit") else ""
    facts = (
        ("Profile", manifest.get("profile")),
        ("Commit", commit),
        ("Seeds", ", ".join(f"{name} {value}" for name, value in seeds.items()) if isinstance(seeds, Mapping) else seeds),
        ("Number format", manifest.get("dtype")),
        ("Threads", manifest.get("threads")),
        ("Schema", manifest.get("schema_version")),
    )
    return tuple(Fact(term, str(value)) for term, value in facts if value not in (None, ""))


def _models(report: Report) -> Table:
    rows = []
    for run in report.runs:
        card = run.model
        rows.append(
            (
                Cell(card.label),
                Cell(card.model, detail=card.model_sha256[:16]),
                Cell(card.adapter or "none", detail=card.adapter_sha256[:16]),
                Cell(card.reward_model or "none", detail=card.reward_model_sha256[:16]),
                Cell(card.template_sha256[:16]),
                Cell(card.dtype),
            )
        )
    columns = ("Label", "Model", "Adapter", "Reward model", "Template", "Number format")
    return Table("Models, with the start of their digests", columns, tuple(rows))
