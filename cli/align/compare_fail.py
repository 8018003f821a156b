"""`--align-compare-fail refusal_rate:2pp`: every expression and suite is one more test of the session.

An expression is METRIC[@SUITE]:MARGIN, the largest change for the worse. Of a rate it is in percentage points (`2pp`), of another metric a
number in its unit (`reward_mean:0.5`). A bare `2%` is refused: it could mean 2 % of the baseline's value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ...evals.metrics import METRICS
from ...evals.plan import nearest
from ...prompts.errors import InputError

OPTION = "--align-compare-fail"
_FORM = re.compile(r"(?P<metric>\w+)(@(?P<suite>[^:]+))?:(?P<number>\d+(\.\d+)?)(?P<unit>\D*)")


@dataclass(frozen=True, slots=True)
class Expression:
    """One margin."""

    text: str
    metric: str
    suite: str
    """Empty for every suite that the session measures."""
    margin: float


def parse_all(text: str) -> tuple[Expression, ...]:
    """All expressions of the option, separated by commas.

    Raises:
        InputError: one is malformed.
    """
    return tuple(_parse(part.strip()) for part in text.split(",") if part.strip())


def _parse(text: str) -> Expression:
    match = _FORM.fullmatch(text)
    if match is None:
        raise InputError(f"{OPTION} {text!r} is not METRIC[@SUITE]:MARGIN", advice="For example: refusal_rate:2pp.")
    metric = METRICS.get(match["metric"])
    if metric is None or metric.higher_is_better is None:
        better = [name for name, known in METRICS.items() if known.higher_is_better is not None]
        raise InputError(
            f"{OPTION} {text!r}: no metric with a better direction is called {match['metric']!r}", advice=nearest(match["metric"], better)
        )
    number, unit, is_rate = float(match["number"]), match["unit"].strip(), metric.unit == "fraction"
    if unit != ("pp" if is_rate else ""):
        wanted = f"percentage points, like {match['metric']}:2pp" if is_rate else f"a number in {metric.unit}, like {match['metric']}:0.5"
        raise InputError(f"{OPTION} {text!r}: the margin of {match['metric']} is {wanted}")
    return Expression(text, match["metric"], match["suite"] or "", number / 100 if is_rate else number)


class CompareFail(pytest.Collector):
    """Collects one test for each expression."""

    def collect(self) -> Iterator[pytest.Item]:
        """The tests, in the order of the option."""
        raise NotImplementedError("made by `items`")

    @classmethod
    def items(cls, session: pytest.Session, text: str) -> list[pytest.Item]:
        """The tests that the option adds to a session."""
        parent = cls.from_parent(session, name=OPTION, nodeid=OPTION)
        return [GateItem.from_parent(parent, name=expression.text, callobj=_test_of(expression)) for expression in parse_all(text)]


class GateItem(pytest.Function):
    """A test that no file holds."""

    def reportinfo(self) -> tuple[str, None, str]:
        """Where it comes from: the option."""
        return OPTION, None, f"{OPTION} {self.name}"


def _test_of(expression: Expression) -> Any:
    def test(align: Any) -> None:
        __tracebackhide__ = True
        align.assert_no_regression(expression.metric, margin=expression.margin, suite=expression.suite or None, applicable=True)

    return test
