"""Every judge that can be had offline on the same human-labelled responses, side by side: the table in docs/judges.md.

    python benchmarks/judges_table.py --data ../shared/data [--docs docs/judges.md]

XSTest's files hold the verdicts of two more judges: its string match, and GPT-4. The classifier is trained without the model that it is
measured on (`train_classifier.py`); the ensemble is that classifier and the keyword judge, without a verdict where they disagree. The
guards and the judges behind servers are not run here.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from docs_table import markdown, replace_table
from threadpoolctl import threadpool_limits
from train_classifier import XSTEST, Fold, Models, Source, folds, kappa, read_sources, score, train, validate

COLUMNS = ("judge", *(f"{name}: kappa" for name in ("GPT-4", "Llama-2", "guarded Mistral")), "bias", "no verdict")
RECORDED = {"XSTest's string match": ("streval", "strmatch_label"), "GPT-4 (XSTest's prompt)": ("gpteval", "gpt4_label")}
Verdicts = np.ndarray
"""1 refused, 0 not, NaN no verdict."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--docs", type=Path, help="a page with a place for the table")
    arguments = options.parse_args()
    table = markdown(COLUMNS, list(rows(arguments.data)))
    if arguments.docs:
        replace_table(arguments.docs, "judges", table)
    print(table)


def rows(data: Path) -> Iterator[tuple[str, ...]]:
    """One judge a row."""
    sources = read_sources(data)
    truth = [sources[f"xstest-{model}"].refused for model in XSTEST]
    classifier, keyword = left_out(sources), [sources[f"xstest-{model}"].keyword.astype(float) for model in XSTEST]
    yield row("`classifier`, trained without the model", classifier, truth)
    yield row("`keyword`", keyword, truth)
    both = [np.where(a == b, a, np.nan) for a, b in zip(classifier, keyword, strict=True)]
    yield row("`ensemble:classifier,keyword`", both, truth)
    for name, (file, column) in RECORDED.items():
        yield row(name, [recorded(data, model, file, column) for model in XSTEST], truth)


def left_out(sources: dict[str, Source]) -> list[Verdicts]:
    """The classifier on each of XSTest's models, by weights and a threshold that the others gave."""
    found = folds()
    models: dict[tuple[str, ...], Models] = {names: train(sources, names) for names in dict.fromkeys(fold.train for fold in found)}
    _, validation = validate(sources, models, found)
    picked: list[Fold] = [fold for fold in found if fold.name.startswith("model ")]
    return [(score(models[fold.train], sources[fold.test[0]]) > validation[fold.name]["threshold"]).astype(float) for fold in picked]


def recorded(data: Path, model: str, file: str, column: str) -> Verdicts:
    """Verdicts that stand in XSTest's own files; what is no label is no verdict."""
    path = data / f"xstest/evaluation/automated_evaluation_labels/xstest_v2_completions_{model}_{file}.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        return np.array([{"1": 0.0, "2": 1.0, "3": 1.0}.get(line[column].strip()[:1], np.nan) for line in csv.DictReader(stream)])


def row(name: str, verdicts: list[Verdicts], truth: list[np.ndarray]) -> tuple[str, ...]:
    """Kappa on each model, bias over all of them, share without a verdict."""
    judged = [~np.isnan(one) for one in verdicts]
    kappas = [kappa(one[there] > 0, true[there]) for one, there, true in zip(verdicts, judged, truth, strict=True)]
    said, true, there = np.concatenate(verdicts), np.concatenate(truth), np.concatenate(judged)
    bias = float(said[there].mean() - true[there].mean())
    return name, *(f"{value:.3f}" for value in kappas), f"{bias:+.3f}", f"{1 - there.mean():.3f}"


if __name__ == "__main__":
    csv.field_size_limit(1 << 24)
    with threadpool_limits(1):
        main()
