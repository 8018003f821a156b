"""The plugin's options: `--align-NAME`, `TRUENORTH_ALIGN_NAME` in the environment, `align_NAME` in an ini file, in this order.

Imports nothing of ours: it is loaded with the plugin.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

import pytest

ENVIRONMENT = "TRUENORTH_ALIGN_"
REPORTS = ".align"


class Option(NamedTuple):
    """One option; all are texts, so that they travel to the workers of pytest-xdist."""

    name: str
    metavar: str
    help: str
    repeats: bool = False


OPTIONS = (
    Option("model", "M", "Model to measure: a folder, a hub name, `tiny`, or a file of recorded responses."),
    Option("adapter", "DIR", "LoRA adapter of the model; the model itself is then the baseline."),
    Option("baseline", "M|RUN", "What to compare with: a model, a finished run, or a file of recorded responses."),
    Option("reward-model", "DIR", "Reward model: a SEQ_CLS adapter on the same base."),
    Option("suite", "S[,S]", "Suites that `align.suites()` and `align_suite` give."),
    Option("pairs", "P[,P]", "Preference pairs that the reward model ranks."),
    Option("capability", "T[,T]", "lm-eval tasks: names or YAML files."),
    Option("judge", "J", "Judge whose verdicts count (default: classifier)."),
    Option("limit", "N", "First N prompts of each suite. Such a session can't be saved."),
    Option("max-new-tokens", "N", "Where a response is cut (default: 256)."),
    Option("seed", "N", "Seeds sampling (default: 0)."),
    Option("server-requests", "N", "Requests to a server under way at a time (default: 16)."),
    Option("server-timeout", "S", "Seconds to wait for a server's answer (default: 600)."),
    Option("inconclusive", "fail|warn", "What an undecided gate does (default: fail)."),
    Option("report", "DIR", f"Folder of the runs, their reports and the baselines (default: {REPORTS})."),
    Option("save", "NAME", "Save what was measured as baseline NAME, where every gate passed."),
    Option("reason", "TEXT", "Why a baseline that exists gets a new version; needed for that."),
    Option("compare", "NAME[/VERSION]", "Compare with a saved baseline."),
    Option("compare-fail", "METRIC[@SUITE]:MARGIN", "Adds a test that METRIC is not worse than the baseline's by more. Repeats.", True),
)
NAMES = tuple(option.name for option in OPTIONS)


def ini_key(name: str) -> str:
    """`align_max_new_tokens` of `max-new-tokens`; also where argparse keeps the value."""
    return f"align_{name.replace('-', '_')}"


def add_options(parser: pytest.Parser) -> None:
    """Declare the options, each with its ini key."""
    group = parser.getgroup("align", "alignment (truenorth)")
    for name, metavar, text, repeats in OPTIONS:
        group.addoption(f"--align-{name}", metavar=metavar, help=text, action="append" if repeats else "store")
        parser.addini(ini_key(name), help=text)
    group.addoption("--align-offline", action="store_true", help="Never ask the hub.")
    parser.addini("align_offline", help="Never ask the hub.", type="bool", default=False)


def given(config: pytest.Config, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The options that were given, by name; `offline` is `yes` or absent."""
    found = {name: _value(config, name, environ) for name in NAMES}
    variable = environ.get(f"{ENVIRONMENT}OFFLINE", "").lower()
    offline = config.getoption("align_offline") or variable in ("1", "true", "yes") or config.getini("align_offline")
    return {name: value for name, value in found.items() if value} | ({"offline": "yes"} if offline else {})


def _value(config: pytest.Config, name: str, environ: Mapping[str, str]) -> str:
    value = config.getoption(ini_key(name))
    text = ",".join(value) if isinstance(value, list) else value
    return str(text or environ.get(ENVIRONMENT + name.replace("-", "_").upper()) or config.getini(ini_key(name)) or "")


def header(options: Mapping[str, str]) -> str:
    """The line of pytest's header: what is measured, against what, with which seed, and where the results go."""
    from ...evals.safe_text import for_terminal

    facts = {"seed": "0", "report": REPORTS} | dict(options)
    return "align: " + ", ".join(f"{name} {for_terminal(value, 100)}" for name, value in facts.items() if name != "reason")
