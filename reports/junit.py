"""`junit.xml`: one test case a gate, so that any CI shows the verdict. No clock and no host name."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree

from ..evals.safe_text import for_xml
from ..evals.types import CandidateComparison, GateDecision
from .headline import headline, measured_text, requirement_text, sorted_decisions, why_text
from .report import Report
from .words import title_of, where_text


def render_junit(report: Report) -> str:
    """The document: failed gates are failures, undecided ones skipped, those that could not be run errors."""
    root = ElementTree.Element("testsuites", name="truenorth")
    for comparison in report.comparison.candidates:
        root.append(_suite(report, comparison))
    if report.unfinished:
        root.append(_unfinished(report))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(report: Report, comparison: CandidateComparison) -> ElementTree.Element:
    label = for_xml(comparison.candidate.model.label)
    cases = [_case(label, decision) for decision in sorted_decisions(comparison)]
    if comparison.differences:
        cases.insert(0, _incomparable(label, comparison))
    counted = {tag: str(sum(case.find(tag) is not None for case in cases)) for tag in ("failure", "error", "skipped")}
    suite = ElementTree.Element(
        "testsuite", name=label, tests=str(len(cases)), failures=counted["failure"], errors=counted["error"], skipped=counted["skipped"]
    )
    said = headline(report, comparison)
    facts = {"verdict": comparison.verdict, "run": report.run, "headline": said.sentence}
    suite.append(_properties(facts))
    suite.extend(cases)
    return suite


def _unfinished(report: Report) -> ElementTree.Element:
    """An error for each evaluation that is missing: an unfinished run is never a pass."""
    suite = ElementTree.Element("testsuite", name="unfinished", tests=str(len(report.unfinished)), errors=str(len(report.unfinished)))
    for label in report.unfinished:
        case = ElementTree.SubElement(suite, "testcase", classname="truenorth.unfinished", name=for_xml(label))
        ElementTree.SubElement(case, "error", message="not evaluated yet")
    return suite


def _case(label: str, decision: GateDecision) -> ElementTree.Element:
    gate = decision.gate
    name = gate.name or f"{gate.metric} {where_text(gate.suite, gate.decoding)}".strip()
    case = ElementTree.Element("testcase", classname=f"truenorth.{label}", name=for_xml(name))
    numbers = ("value", "ci_low", "ci_high", "n", "p_adjusted")
    facts = {key: getattr(decision, key) for key in (*numbers, "n_to_decide")} | {"threshold": gate.threshold, "margin": gate.margin}
    if gate.corrected:
        facts |= {"corrected": "true", "estimator": decision.estimator or None, "reason": decision.reason}
    case.append(_properties({"outcome": decision.outcome, **{key: value for key, value in facts.items() if value is not None}}))
    tag = {"fail": "failure", "inconclusive": "skipped", "not_run": "error"}.get(decision.outcome)
    if tag:
        ElementTree.SubElement(case, tag, message=for_xml(_message(decision)))
    return case


def _message(decision: GateDecision) -> str:
    value, interval = measured_text(decision)
    measured = f"{value} ({interval})" if interval else value
    reason = f": {why}" if (why := why_text(decision)) else ""
    return f"{title_of(decision.gate.metric)}: {measured}, n = {decision.n}; required {requirement_text(decision)}{reason}"


def _incomparable(label: str, comparison: CandidateComparison) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=f"truenorth.{label}", name="comparable")
    ElementTree.SubElement(case, "error", message=for_xml("; ".join(comparison.differences)))
    return case


def _properties(facts: Mapping[str, object]) -> ElementTree.Element:
    element = ElementTree.Element("properties")
    for name, value in facts.items():
        ElementTree.SubElement(element, "property", name=name, value=for_xml(str(value)))
    return element
