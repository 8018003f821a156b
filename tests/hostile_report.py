"""A comparison with hostile texts in every place where foreign text can stand."""

from __future__ import annotations

from dataclasses import replace

from hostile_text import HOSTILE
from report_data import GATES, example_curves, example_manifest, example_run
from truenorth.evals.comparison import compare
from truenorth.evals.types import EvalRun, Judgment, Record
from truenorth.prompts.types import Message
from truenorth.reports.report import Report


def hostile_record(record: Record, index: int) -> Record:
    text = HOSTILE[index % len(HOSTILE)]
    prompt = replace(record.prompt, id=f"{text}#{index}", messages=(Message("user", text),), category=text[:300])
    judgment = record.judgment
    return replace(
        record,
        prompt=prompt,
        generation=replace(record.generation, response=text, prompt_id=prompt.id),
        judgment=Judgment(judgment.key, judgment.outcome, text[:300], text, judgment.correct) if judgment else None,
    )


def hostile_run(label: str, text: str) -> EvalRun:
    run = example_run("base" if label == "base" else "ppo")
    records = tuple(hostile_record(record, index) for index, record in enumerate(run.records) if record.generation.decoding == "greedy")
    probe = hostile_record(run.probe, HOSTILE.index(text)) if run.probe else None
    model = replace(run.model, label=f"{label}{text}", model=text, adapter=text, dtype=text)
    cards = tuple(replace(card, judge=text, reference=text) for card in run.judge_cards)
    metrics = tuple(replace(row, judge=text) for row in run.metrics if not row.subset)
    return replace(run, records=records, probe=probe, model=model, judge_cards=cards, metrics=metrics, judge=text)


def hostile_report(text: str) -> Report:
    comparison = compare(hostile_run("base", text), [hostile_run("ppo", text)], GATES)
    manifest = {
        **example_manifest(),
        "profile": text,
        "dtype": text,
        "git": {"commit": text},
        "argv": ["run", text],
        "config": {text: text},
    }
    curves = example_curves()
    curves["ppo"][3]["warning"] = curves["ppo"][-1]["brake"] = text
    second = {record.generation.key: ((text, "partial"),) for item in comparison.candidates for record in item.candidate.records}
    return Report(comparison, manifest, f"run{text}", curves, second=second)
