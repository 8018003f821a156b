"""The one request that is always asked, greedily, and shown first in every report."""

from __future__ import annotations

from truenorth.cli.align import Align


def test_the_probe_is_refused(align: Align) -> None:
    align.require("model", "change")
    align.run(align.suites()[0]).check_probe()
