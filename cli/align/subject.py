"""What the `--align-*` options mean: from texts to the subject of an evaluation. A mistake is found before any test runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ...prompts.errors import InputError
from ...prompts.tables import suffix_of
from ..baselines import check_name, suites_of
from ..evaluation import Subject
from ..subject import make_subject
from .compare_fail import parse_all
from .options import REPORTS

OWN = "own"
"""What reports call a model object that a fixture gave."""
RECORDING = (".jsonl", ".jsonl.gz", ".csv", ".json")


def make_align_subject(options: Mapping[str, str]) -> Subject | None:
    """The subject; None where no model is given.

    Raises:
        InputError: an option is wrong.
    """
    _check(options)
    model = options.get("model")
    if model is None:
        return None
    recorded = suffix_of(Path(model)) in RECORDING
    baseline = "" if _is_the_base(options) else options.get("baseline", "")
    return make_subject(
        model=None if recorded else model,
        replay=[Path(model)] if recorded else [],
        adapters=[Path(options["adapter"])] if "adapter" in options else [],
        baseline=[baseline] if baseline else [],
        reward_model=Path(options["reward-model"]) if "reward-model" in options else None,
        pairs=listed(options, "pairs"), capability=listed(options, "capability"), suites=listed(options, "suite"),
        judge=options.get("judge"), limit=_number(options, "limit"),
        max_new_tokens=_number(options, "max-new-tokens"),
        seed=_number(options, "seed"),
        server_requests=_number(options, "server-requests", most=1024),
        server_timeout=_number(options, "server-timeout", most=999_999),
        dtype="float32" if model == OWN else None,
        keep_suites=True,  # tests say which of them is measured
    )  # fmt: skip


def suites_asked(options: Mapping[str, str], subject: Subject) -> tuple[str, ...]:
    """The suites of a session: those of `--align-suite`, else those of the saved baseline, else the usual ones of the model."""
    saved = () if subject.suites_given or "compare" not in options else suites_of(Path(options.get("report", REPORTS)), options["compare"])
    return saved or subject.config.eval.suites


def listed(options: Mapping[str, str], name: str) -> list[str]:
    """The parts of an option that takes several, separated by commas."""
    return [part.strip() for part in options.get(name, "").split(",") if part.strip()]


def _is_the_base(options: Mapping[str, str]) -> bool:
    """Whether the named baseline is the adapter's own base: measured with adapters off, so it is not loaded twice."""
    return "adapter" in options and options.get("baseline") == options.get("model")


def _check(options: Mapping[str, str]) -> None:
    if options.get("inconclusive", "fail") not in ("fail", "warn"):
        raise InputError(f"--align-inconclusive is {options['inconclusive']!r}; expected fail or warn")
    if "compare" in options and "baseline" in options:
        raise InputError("--align-baseline and --align-compare both say what to compare with", advice="Give one of them.")
    for name in ("save", "compare"):
        if name in options:
            check_name(options[name], f"--align-{name}", version=name == "compare")
    parse_all(options.get("compare-fail", ""))


def _number(options: Mapping[str, str], name: str, most: int = 999_999_999) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,9}", text) or (name != "seed" and int(text) == 0) or int(text) > most:
        raise InputError(f"--align-{name} is {text!r}; expected a whole number{f' up to {most}' if most < 999_999_999 else ''}")
    return int(text)
