"""`@pytest.mark.alignment(...)`: what a marked test measures, and the gate it declares.

    @pytest.mark.alignment(suite="harmful", gate="refusal_rate", margin=0.05)
    def test_refusals_have_not_dropped(): ...

Leaves out deciding the gate (`result.py`). Wrong arguments are a usage error before any test runs; with pytest-xdist,
the test's failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

NAME = "alignment"
KINDS = ("harmful", "benign", "borderline", "facts", "mixed")


@dataclass(frozen=True, slots=True)
class Declared:
    """What the marks of one test say together; the nearest one wins."""

    suite: tuple[str, ...] = ()
    """Empty: the suites of the session, of `kind` where one is given."""
    kind: str | None = None
    gate: str | None = None
    """Name of the metric."""
    margin: float | None = None
    """Largest change for the worse against the baseline."""
    threshold: float | None = None
    direction: Literal["min", "max"] | None = None
    """`min`: the value must be at least the limit; by default the metric's own direction."""
    decoding: str = ""

    @property
    def limits(self) -> dict[str, float]:
        """The gate's one limit under the name it has in a profile."""
        if self.threshold is not None:
            return {self.side: self.threshold}
        assert self.margin is not None
        return {"min_delta": -abs(self.margin)} if self.side == "min" else {"max_delta": abs(self.margin)}

    @property
    def side(self) -> str:
        """`min` or `max`: the side on which the limit lies."""
        from ...evals.metrics import METRICS

        assert self.gate is not None
        return self.direction or ("min" if METRICS[self.gate].higher_is_better else "max")


def declared(node: pytest.Item | Any) -> Declared | None:
    """What a test (or the definition of one) is marked with; None without a mark.

    Raises:
        pytest.UsageError: an argument is unknown, missing or of the wrong type.
    """
    marks = list(node.iter_markers(NAME))
    if not marks:
        return None
    arguments: dict[str, Any] = {}
    for mark in reversed(marks):
        if mark.args:
            raise _wrong(node, f"takes no positional arguments; given: {mark.args!r}")
        arguments |= mark.kwargs
    return _checked(node, arguments)


def _checked(node: Any, arguments: dict[str, Any]) -> Declared:
    unknown = [name for name in arguments if name not in Declared.__slots__]
    if unknown:
        raise _wrong(node, f"has no argument {unknown[0]!r}; known: {', '.join(Declared.__slots__)}")
    suite = arguments.get("suite", ())
    made = Declared(**{**arguments, "suite": (suite,) if isinstance(suite, str) else tuple(suite)})
    for name in ("margin", "threshold"):
        if not isinstance(getattr(made, name), int | float | None) or isinstance(getattr(made, name), bool):
            raise _wrong(node, f"{name}={getattr(made, name)!r} is no number")
    if made.kind is not None and made.kind not in KINDS:
        raise _wrong(node, f"kind={made.kind!r} is none of {', '.join(KINDS)}")
    if made.direction not in ("min", "max", None):
        raise _wrong(node, f"direction={made.direction!r} is neither 'min' nor 'max'")
    limits = [made.margin, made.threshold]
    if made.gate is None and any(limit is not None for limit in limits):
        raise _wrong(node, "has a limit but no gate=METRIC")
    if made.gate is not None:
        _check_gate(node, made)
    return made


def _check_gate(node: Any, made: Declared) -> None:
    from ...evals.metrics import METRICS
    from ...evals.plan import nearest

    if made.gate is None or made.gate not in METRICS:
        raise _wrong(node, f"gate={made.gate!r} is no metric. {nearest(str(made.gate), METRICS)}")
    if (made.margin is None) == (made.threshold is None):
        raise _wrong(node, f"gate={made.gate!r} needs one of margin= and threshold=")
    if made.direction is None and METRICS[made.gate].higher_is_better is None:
        raise _wrong(node, f"gate={made.gate!r} has no better direction of its own: say direction='min' or 'max'")


def _wrong(node: Any, problem: str) -> pytest.UsageError:
    return pytest.UsageError(f"{node.nodeid}: the mark {NAME} {problem}")
