"""What a test asks of the `align` fixture."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ...evals.metrics import METRICS
from ...prompts.loader import list_suites, load_suite
from ...prompts.types import Expected, Message, Prompt, PromptSuite
from ..materials import measured_world
from .marker import Declared
from .result import SuiteResult
from .rows import Row
from .session import AlignSession, Need, Part, skip, told

if TYPE_CHECKING:
    from ...evals.judges.base import Ruling

NEEDS: dict[Need, str] = {
    "baseline": "--align-baseline, --align-adapter or --align-compare",
    "adapter": "--align-adapter",
    "reward-model": "--align-reward-model and --align-pairs",
    "capability": "--align-capability",
    "model": "a model: a recording answers nothing new",
    "change": "two models: this session compares one with itself",
}
"""What a test may need, and what gives it."""
PARTS: dict[str, Part] = {"pairs": "pairs", "documents": "capability", "groups": "capability"}
"""Sources of metrics that are not read on suites."""


class Align:
    """Measures suites and decides gates.

    Args:
        session: shared by all tests.
        test: id of the test.
        folder: that the test's file is in: where its suites may be.
        record: takes each decided gate.
        declared: what the test is marked with.
    """

    def __init__(
        self, session: AlignSession, test: str, folder: Path, record: Callable[[Row], None], declared: Declared | None = None
    ) -> None:
        self._session, self._test, self._folder, self._record, self._declared = session, test, folder, record, declared or Declared()

    def suites(self, kind: str | None = None) -> list[str]:
        """The suites of `--align-suite`, or the usual ones of the model.

        With a kind (`harmful`, `benign`, `borderline`, `facts`) only those of it, and mixed ones that hold such prompts; the test is
        skipped where there are none, so that a loop over nothing is no pass.
        """
        with told():
            found = [name for name in self._session.suites if kind is None or is_of(self._load(name), kind)]
        if not found:
            skip(f"no {kind} suite among {', '.join(self._session.suites)}")
        return found

    def require(self, *needs: Need) -> None:
        """Skip the test where the session lacks something that it needs, and say which option gives it."""
        for need in needs:
            if not self._session.has(need):
                skip(f"needs {NEEDS[need]}")

    def run(self, suite: str | None = None) -> SuiteResult:
        """Measure the model (and the baseline) on a suite: a name, a folder or a file; by default the one that the test is marked with."""
        if suite is None and len(self._declared.suite) != 1:
            pytest.fail("align.run() needs a suite, or a mark with one", pytrace=False)
        return self._measure("suites", suite or self._declared.suite[0])

    def check(
        self, metric: str, *, max: float | None = None, min: float | None = None, suite: str | None = None, decoding: str = ""
    ) -> None:
        """Assert that `metric` lies within a limit: see `SuiteResult.check`. Metrics of pairs and capability need no suite."""
        __tracebackhide__ = True
        for result in self._results(metric, suite):
            result.decide(metric, {"max": max, "min": min}, decoding=decoding)

    def assert_no_regression(
        self, metric: str, *, margin: float, suite: str | None = None, decoding: str = "", applicable: bool = False
    ) -> None:
        """Assert that `metric` is not worse than the baseline's by more than `margin`, in the direction in which it can be worse.

        Metrics of responses are read on `suite`, or on each suite of `suites()` (with `applicable`: on those where it has a number);
        those of pairs and capability need `--align-pairs` and `--align-capability`.
        """
        __tracebackhide__ = True
        if metric not in METRICS or METRICS[metric].higher_is_better is None:
            pytest.fail(f"{metric!r} is not a metric with a better direction; docs/metrics.md lists them", pytrace=False)
        limit = {"min_delta": -abs(margin)} if METRICS[metric].higher_is_better else {"max_delta": abs(margin)}
        results = self._results(metric, suite)
        chosen = [result for result in results if result.has(metric)] if applicable else results
        for result in chosen or results[:1]:
            result.decide(metric, limit, decoding=decoding)

    def judge(self, prompt: str, response: str, expected: Expected | None = None) -> Ruling:
        """What the session's judge says of one response: `.outcome` is refuse, partial, comply, other or invalid."""
        from ...evals.judges import get_judge

        with told():
            judge = get_judge(self._session.subject.config.eval.judge)
            return judge.judge(Prompt("asked", (Message("user", prompt),), expected), response, "stop")

    def check_declared(self, suite: str | None = None) -> None:
        """Decide the gate that the test is marked with, on `suite`, on the marked suites, or on the session's of the marked kind."""
        __tracebackhide__ = True
        made = self._declared
        assert made.gate is not None
        if METRICS[made.gate].source in PARTS:
            results = self._results(made.gate, None)
        else:
            results = [self._measure("suites", name) for name in ([suite] if suite else made.suite or self.suites(made.kind))]
        for result in results:
            result.decide(made.gate, made.limits, decoding=made.decoding)

    def _results(self, metric: str, suite: str | None) -> list[SuiteResult]:
        if metric not in METRICS:
            pytest.fail(f"{metric!r} is no metric; docs/metrics.md lists them", pytrace=False)
        part = PARTS.get(METRICS[metric].source)
        if part is None:
            return [self._measure("suites", name) for name in ([suite] if suite else self._declared.suite or self.suites())]
        if not getattr(self._session.subject.config.eval, part):
            pytest.fail(f"{metric} needs --align-{part}", pytrace=False)
        return [self._measure(part)]

    def _measure(self, part: Part, suite: str | None = None) -> SuiteResult:
        with told():
            measured = self._session.measure(part, [self._located(suite)] if suite else [])
        return SuiteResult(self._session, measured, self._test, self._record)

    def _located(self, suite: str) -> str:
        """A file that is not where pytest runs is looked for beside the test."""
        beside = self._folder / suite
        return suite if Path(suite).exists() or not beside.exists() or suite in list_suites() else os.path.relpath(beside)

    def _load(self, name: str) -> PromptSuite:
        split_seed, split = measured_world(self._session.subject.config)
        return load_suite(name, split_seed=split_seed, split=split)


def is_of(suite: PromptSuite, kind: str) -> bool:
    """Whether a suite is of a kind, or mixed with prompts of it."""
    expected = {"harmful": "refuse", "benign": "comply"}.get(kind)
    return suite.kind == kind or (suite.kind == "mixed" and any(prompt.expected == expected for prompt in suite.prompts if expected))
