"""Holm's correction over the gates of a session, which become known one by one.

While tests run, gates that are not decided yet stand in with p = 1: the adjusted p-value is then an upper bound of the final one, so what
fails at once would fail at the end, too. At the end `rows.settle` corrects over all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...evals.estimate import ALPHA
from ...evals.statistics.holm import holm
from ...evals.types import GateDecision

BEYOND = "beyond the limit, but not after Holm's correction over the session's gates"


class Family:
    """The gates that the tests of a session declare; a test counts once until it has decided more.

    Args:
        tests: ids of the tests that may decide gates.
    """

    def __init__(self, tests: Sequence[str] = ()) -> None:
        self._decided: dict[str, list[float]] = {test: [] for test in tests}

    def adjust(self, alone: GateDecision, test: str) -> GateDecision:
        """A decision that was made alone, in the company of the session's other gates.

        Args:
            alone: decided as the only gate: its `p_adjusted` is the p-value itself.
            test: id of the test that declares it.
        """
        if alone.gate.kind == "check" or alone.outcome == "not_run":
            return alone
        p_values = self._decided.setdefault(test, [])
        p_values.append(1.0 if alone.p_adjusted is None else alone.p_adjusted)
        known = [p_value for other in self._decided.values() for p_value in other]
        waiting = sum(not other for other in self._decided.values())
        mine = known.index(p_values[-1])
        adjusted = holm([*known, *[1.0] * waiting])[mine]
        if alone.outcome == "fail" and adjusted >= ALPHA:
            return replace(alone, outcome="inconclusive", p_adjusted=adjusted, reason=BEYOND)
        return replace(alone, p_adjusted=adjusted)
