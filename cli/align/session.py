"""What the tests of a session share: the subject, loaded models, measured suites and the family of gates.

A suite is measured once, through the same stages as `truenorth eval`, into a run folder of its own under `--align-report`.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

import pytest

from ...evals.types import Comparison, EvalRun
from ...prompts.errors import InputError, TruenorthError
from ...prompts.files import atomic_write, sha256_bytes, to_json
from ..baselines import find_part
from ..evaluation import Subject, run_evaluation
from ..finished import is_run
from ..models import Models, with_model
from .family import Family
from .models import Opened
from .options import REPORTS
from .subject import OWN, make_align_subject, suites_asked
from .turns import Turns

Need = Literal["baseline", "adapter", "reward-model", "capability", "model", "change"]
Part = Literal["suites", "pairs", "capability"]


@contextmanager
def told() -> Iterator[None]:
    """Tell a user's mistake as one message, without our own frames."""
    try:
        yield
    except TruenorthError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def skip(reason: str) -> NoReturn:
    """Skip the test; pytest names the test's place, not ours."""
    skipped = pytest.skip.Exception(reason)
    skipped._use_item_location = True
    raise skipped


@dataclass(frozen=True)
class Measured:
    """A finished evaluation and its folder."""

    comparison: Comparison
    folder: Path
    part: str
    """The suite, `pairs` or `capability`, as a file name."""
    suite: str = ""
    """The suite as it was asked for; empty for the other parts."""
    no_baseline: str = ""
    """Why there is nothing to compare with."""

    @property
    def candidate(self) -> EvalRun:
        """The measured model."""
        return self.comparison.candidates[0].candidate

    @property
    def report(self) -> Path:
        """The page that shows everything."""
        return self.folder / "report" / "report.html"


class AlignSession:
    """What the tests of one process share.

    Args:
        options: the `--align-*` options that were given, by name.
        model: a model object to measure instead of `--align-model` (any `evals.models.base.Generates`).
        baseline: the same for `--align-baseline`.
        reward_model: folder of a reward adapter instead of `--align-reward-model`.
        turns: who measures, under pytest-xdist.
        tests: ids of the tests that may decide gates.

    Raises:
        InputError: no model, or an option that is wrong.
    """

    def __init__(
        self, options: Mapping[str, str], model: Any = None, baseline: Any = None, reward_model: Any = None,
        *, turns: Callable[[Path], Turns] | None = None, tests: Sequence[str] = (),
    ) -> None:  # fmt: skip
        if "offline" in options:
            os.environ["HF_HUB_OFFLINE"] = "1"
        self.inconclusive = options.get("inconclusive", "fail")
        self.reports = Path(options.get("report", REPORTS))
        self.compare = options.get("compare", "")
        self.models = Models(_own(model), _own(baseline))
        self.saving = "save" in options and not {"compare", "baseline", "adapter"} & options.keys() and self.models.baseline is None
        self.family = Family(tests)
        self._turns = turns(self.reports) if turns else Turns(self.reports)
        self._measured: dict[str, Measured] = {}
        subject = make_align_subject({**options, **_names(self.models), **({"reward-model": str(reward_model)} if reward_model else {})})
        if subject is None:
            raise InputError("no model to measure", advice="Give --align-model M (a folder, a hub name, tiny, or recorded responses).")
        self.subject = subject
        self.suites = suites_asked(options, subject)

    def has(self, need: Need) -> bool:
        """Whether a test that needs this can run; `change`: the model is not compared with itself."""
        subject, settings = self.subject, self.subject.config.eval
        itself = subject.baseline == subject.config.model.name and not subject.adapters and self.models.candidate is None
        found = {
            "baseline": bool(subject.baseline_label or self.compare),
            "adapter": bool(subject.adapters),
            "reward-model": bool(subject.reward_model and settings.pairs),
            "capability": bool(settings.capability),
            "model": subject.replay is None,
            "change": not itself,
        }
        return found[need]

    def measure(self, part: Part, suites: Sequence[str] = ()) -> Measured:
        """Measure `suites`, or another part, unless that was done before; under pytest-xdist one process does it, the others read.

        Raises:
            TruenorthError: it can't be measured.
        """
        asked = "-".join(suites) or part
        if asked not in self._measured:
            name = re.sub(r"[^A-Za-z0-9_.@+-]", "-", re.sub(r"^(\.{0,2}/)+", "_", asked))
            self._measured[asked] = self._turns.take({"part": part, "suites": list(suites)}, lambda: self._run(name, part, suites))
        return self._measured[asked]

    def open(self, *, is_baseline: bool) -> Any:
        """The model that the options name, loaded.

        Raises:
            InputError: it is a recording, or there is no baseline model.
        """
        subject = self.subject
        if is_baseline and subject.adapters and self.models.candidate is not None and self.models.baseline is None:
            return self.models.candidate  # with adapters off
        if is_baseline and subject.baseline and not is_run(subject.baseline):
            subject = replace(subject, config=with_model(subject.config, subject.baseline), adapters={}, reward_model=None, baseline="")
        elif is_baseline and not subject.adapters:
            raise InputError("no model is the baseline", advice="Give --align-baseline M, a model.")
        if subject.replay is not None:
            raise InputError("a recording is no model", advice="Give --align-model M, a model.")
        return self.models.get(subject, is_baseline=is_baseline)

    def serve(self) -> None:
        """Measure what other processes wait for, where this one is the one that measures."""
        self._turns.serve(lambda wanted: self.measure(wanted["part"], wanted["suites"]))

    def _run(self, name: str, part: Part, suites: Sequence[str]) -> Measured:
        from filelock import FileLock

        subject, missing = self._compared(name, self._narrowed(part, suites))
        facts = sha256_bytes(to_json([subject.manifest_config(), self.models.identity]).encode())
        folder = self.reports / f"{name}-{facts[:8]}"
        _make(self.reports)
        with FileLock(f"{folder}.lock"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries; a suite that turns warnings into errors must not lose a measurement to them
            comparison, _ = run_evaluation(subject, folder, self.models)
        return Measured(comparison, folder, name, "".join(suites), missing)

    def _narrowed(self, part: Part, suites: Sequence[str]) -> Subject:
        kept = {"suites": tuple(suites)} | {other: () for other in ("pairs", "capability") if other != part}
        config = self.subject.config
        narrowed = config.model_copy(update={"eval": config.eval.model_copy(update=kept)})
        return replace(self.subject, config=narrowed, suites_given=bool(suites))

    def _compared(self, name: str, subject: Subject) -> tuple[Subject, str]:
        """The subject with the saved baseline of this part, where one is asked for; and why there is none."""
        if self.compare:
            folder, missing = find_part(self.reports, self.compare, name)
            return (replace(subject, baseline=str(folder), baseline_replay=None) if folder else subject), missing
        return subject, "" if subject.baseline_label else "none was named: give --align-baseline, --align-adapter or --align-compare"


def _make(reports: Path) -> None:
    """The folder of the session; git ignores what can be measured again, and keeps baselines."""
    if not reports.exists():
        reports.mkdir(parents=True, exist_ok=True)
        atomic_write(reports / ".gitignore", "*\n!.gitignore\n!/baselines/\n!/baselines/**\n")


def _own(model: Any) -> Any:
    """The object that an overridden fixture gave; None where it is the plugin's own."""
    return None if isinstance(model, Opened) else model


def _names(models: Models) -> dict[str, str]:
    """What reports call the given objects."""
    return ({"model": OWN} if models.candidate is not None else {}) | (
        {"baseline": f"{OWN} baseline"} if models.baseline is not None else {}
    )
