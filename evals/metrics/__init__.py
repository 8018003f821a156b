"""Metrics: one file a family, each a function from rows to per-item values. A new family is a new file and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from . import attack, bias, calibration, capability, kl, paired, pairwise, refusal, reward
from .base import Metric, Source

_FAMILIES = (refusal, attack, paired, kl, reward, pairwise, calibration, bias, capability)

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for family in _FAMILIES for metric in family.METRICS})
"""Every registered metric by name, in the order of the tables."""

__all__ = ["METRICS", "Metric", "Source"]
