"""One measured suite: gates are decided on it, their numbers recorded, and the test fails unless they pass."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from ...evals.config import GateConfig
from ...evals.gates import decide, make_gates
from ...evals.metrics import METRICS
from ...evals.safe_text import for_xml
from ...evals.types import CandidateComparison, Comparison, EvalRun, GateDecision
from .evidence import SHOWN, discordant_pairs, failure_text, judge_error, smallest_effect, words, worst_items
from .rows import Row
from .session import AlignSession, Measured, skip, told


class AlignmentWarning(UserWarning):
    """A gate could not be decided, and `--align-inconclusive=warn` was given."""


class SuiteResult:
    """A measured suite (or the pairs, or the capability tasks)."""

    def __init__(self, session: AlignSession, measured: Measured, test: str, record: Callable[[Row], None]) -> None:
        self._session, self._measured, self._test, self._record = session, measured, test, record
        self.run = measured.candidate
        """Every number and response: an `evals.types.EvalRun`."""

    def check(self, metric: str, *, max: float | None = None, min: float | None = None, suite: str = "", decoding: str = "") -> None:
        """Assert that the whole 95 % interval of `metric` lies on the good side of `max` or `min`.

        An interval across the limit decides nothing: that fails, too, unless `--align-inconclusive=warn`. Where the suite was measured
        with several decodings, the first is read unless one is named.
        """
        __tracebackhide__ = True
        self.decide(metric, {"max": max, "min": min}, suite=suite, decoding=decoding)

    def check_probe(self) -> None:
        """Assert that the model refuses the probe, the one request that is always asked."""
        __tracebackhide__ = True
        from ...evals.checks import check_probe

        self._conclude(check_probe(self.run))

    def judge(self, name: str) -> SuiteResult:
        """The same responses of both models as another judge sees them; its verdicts stand beside the first judge's."""
        from ...evals.judges import get_judge, judge_id
        from ...evals.rejudge import judge_again

        comparison = self._measured.comparison
        with told():
            judge = get_judge(name)
            if judge_id(judge) == self.run.judge:
                return self
            runs = [run and judge_again(self._measured.folder / "eval" / run.model.label, judge) for run in (comparison.baseline, self.run)]
        one = CandidateComparison(runs[1] or self.run, (), comparison.candidates[0].decisions, "none")
        seen = replace(self._measured, comparison=Comparison(runs[0], (one,), "none"))
        return SuiteResult(self._session, seen, self._test, self._record)

    def decide(self, metric: str, limits: Mapping[str, float | None], *, suite: str = "", decoding: str = "") -> None:
        """Decide one gate (limits as in a profile's gates), record its numbers, and fail the test unless it passes."""
        __tracebackhide__ = True
        given = {name: value for name, value in limits.items() if value is not None}
        if len(given) != 1:
            pytest.fail(f"{metric} needs one limit, min or max; given: {', '.join(given) or 'none'}", pytrace=False)
        self._refuse_failed_checks()
        uses_decoding = metric in METRICS and METRICS[metric].source not in ("pairs", "documents", "groups")
        how = decoding or (self.run.decodings[0].name if uses_decoding else "")
        gate = GateConfig.model_validate({"metric": metric, "suite": suite, "decoding": how, **given})
        with told():
            (alone,) = decide(make_gates([gate]), self.run, self._measured.comparison.baseline)
        self._conclude(alone)

    def has(self, metric: str) -> bool:
        """Whether the metric has a number here."""
        return any(row.metric == metric and row.value is not None for row in self.run.metrics)

    def _conclude(self, alone: GateDecision) -> None:
        __tracebackhide__ = True
        decision = self._session.family.adjust(alone, self._test)
        outcome: str = decision.outcome
        if outcome == "not_run" and decision.gate.margin is not None and self._measured.comparison.baseline is None:
            outcome = "no_baseline"
        self._record(self._row(alone, decision, outcome))
        if outcome == "pass":
            return
        text = failure_text(decision, self._measured, outcome)
        if outcome == "no_baseline" and self._session.saving:
            skip("nothing to compare with yet: this session saves the baseline")
        if outcome == "inconclusive" and self._session.inconclusive == "warn":
            warnings.warn(AlignmentWarning(text), stacklevel=2)
            return
        raise AssertionError(text)

    def _refuse_failed_checks(self) -> None:
        """No number is worth reading when the runs can't be compared, the adapter does nothing, or too many verdicts are missing."""
        __tracebackhide__ = True
        for decision in self._measured.comparison.candidates[0].decisions:
            if decision.gate.kind == "check" and decision.outcome == "fail":
                self._record(self._row(decision, decision, "fail"))
                raise AssertionError(failure_text(decision, self._measured, "fail"))

    def _row(self, alone: GateDecision, decision: GateDecision, outcome: str) -> Row:
        gate, measured = decision.gate, self._measured
        is_gate = gate.kind == "gate"
        pairs = discordant_pairs(decision, measured) if is_gate else None
        kappa, bias = judge_error(self.run)
        value, interval, required = words(decision)
        suite = gate.suite or "+".join(self.run.suites)
        facts: dict[str, Any] = {
            "suite": suite, "decoding": gate.decoding, "measured": value, "interval": interval, "required": required,
            "value": decision.value, "ci_low": decision.ci_low, "ci_high": decision.ci_high, "n": decision.n,
            "limit": gate.threshold if gate.margin is None else gate.margin,
            "p_value": alone.p_adjusted, "p_adjusted": decision.p_adjusted, "mde": smallest_effect(decision, measured) if is_gate else None,
            "lost": pairs and pairs[0], "gained": pairs and pairs[1], "judge": self.run.judge, "kappa": kappa, "bias": bias,
            "reason": decision.reason or (measured.no_baseline if outcome == "no_baseline" else ""),
            "model": _card(self.run), "baseline": _card(measured.comparison.baseline),
            "part": measured.part, "asked": measured.suite, "report": measured.report,
            "folder": measured.folder / "eval" / self.run.model.label,
        }  # fmt: skip
        told_ = {name: "" if fact is None else for_xml(re.sub(r"\s+", " ", str(fact))) for name, fact in facts.items()}
        worst = "" if outcome == "pass" or not is_gate else "\n".join(worst_items(decision, measured)[:SHOWN])
        return Row(outcome, gate.metric, evidence=worst, **told_)


def _card(run: EvalRun | None) -> str:
    """Name, adapter and the beginning of the digest of a measured model."""
    card = run and run.model
    return " ".join(part for part in (card.model, card.adapter, (card.adapter_sha256 or card.model_sha256)[:12]) if part) if card else ""
