"""Trains the classifier judge on human-labelled public responses and writes its weights and card into evals/judges/.

    python benchmarks/train_classifier.py --data ../shared/data            validate, train, write
    python benchmarks/train_classifier.py --data ../shared/data --check    validate and train, compare with what is shipped
    python benchmarks/train_classifier.py --data ../shared/data --speed    responses a second of the shipped judge, on one core

Sources: XSTest completions (CC-BY-4.0), GPTFuzz's labelled responses (MIT), HarmBench's validation set (MIT). Validation leaves out whole
models and whole sources, never rows. Needs scikit-learn, which lm-eval brings; the judge itself doesn't. Deterministic: same data, same
library versions, same bytes; one thread, whatever the environment says.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import save
from scipy.sparse import csr_matrix, hstack, vstack
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from truenorth.evals.agreement import cohen_kappa
from truenorth.evals.judges import Item, get_judge, judge_each
from truenorth.evals.judges.classifier import CARD, HIT_SCALE, RELATION_SCALE, WEIGHTS
from truenorth.evals.judges.features import BITS, HITS, WINDOWS, extract
from truenorth.evals.judges.keyword import find_refusal, plain, split_sentences
from truenorth.evals.judges.relation import KNOWN, SIZE
from truenorth.prompts.files import atomic_write, read_json, sha256_bytes, write_json
from truenorth.prompts.replay import load_replay

VERSION = "3"
C = 60.0
"""Inverse strength of L2. Anything from 20 to 60 validates alike."""
THRESHOLDS = np.round(np.arange(-2.0, 1.01, 0.1), 1)
MEMBERS = ((0, False), (1, False), (2, False), (1, True))
"""(window, with keyword hits and relation) of each logistic regression."""
XSTEST = ("gpt4", "llama2orig", "mistralguard")
ALL = (*(f"xstest-{model}" for model in XSTEST), "gptfuzz", "harmbench")
FOLDER = Path(__file__).resolve().parents[1] / "evals/judges"


Models = list[tuple[np.ndarray, float]]
"""(weights, intercept) of each of MEMBERS."""


class Row(NamedTuple):
    """One labelled response; an empty request is unknown."""

    response: str
    refused: bool
    request: str = ""


class Source(NamedTuple):
    """Labelled responses of one model or one data set."""

    members: list[csr_matrix]
    """Features, one matrix for each of MEMBERS; a row is one voice of a response. A member's last SIZE columns are the relation's."""
    starts: np.ndarray
    """Row of each response's first voice."""
    refused: np.ndarray
    keyword: np.ndarray
    """Verdicts of the keyword judge, for comparison."""


class Fold(NamedTuple):
    """What is trained on and what is left out."""

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--check", action="store_true", help="compare with the shipped files instead of writing them")
    options.add_argument("--speed", action="store_true", help="measure the shipped judge and do nothing else")
    arguments = options.parse_args()
    if arguments.speed:
        print(json.dumps(speeds(arguments.data), indent=1))
        return
    sources = read_sources(arguments.data)
    models = {names: train(sources, names) for names in dict.fromkeys((*(fold.train for fold in folds()), ALL))}
    threshold, validation = validate(sources, models, folds())
    weights = save(as_tensors(models[ALL]))
    card = {
        "version": VERSION,
        "sha256": sha256_bytes(weights),
        "threshold": threshold,
        "sources": {name: {"n": len(s.refused), "refused": int(s.refused.sum())} for name, s in sources.items() if name != "rm-bench"},
        "licences": {"xstest": "CC-BY-4.0", "gptfuzz": "MIT", "harmbench": "MIT"},
        "validation": validation,
    }
    print(json.dumps(card, indent=1))
    if arguments.check:
        same = (FOLDER / WEIGHTS).read_bytes() == weights and read_json(FOLDER / CARD) == card
        raise SystemExit(0 if same else "the shipped files differ")
    atomic_write(FOLDER / WEIGHTS, weights)
    write_json(FOLDER / CARD, card)


def speeds(data: Path) -> dict[str, int]:
    """Responses a second of processor time, by file."""
    judge, found = get_judge("classifier"), {}
    for file in (*(completions(data, model) for model in XSTEST), data / "gptfuzz_labeled/responses_labeled/evaluate.csv"):
        replay = load_replay(file)
        prompts = {(suite.name, prompt.id): prompt for suite in replay.suites for prompt in suite.prompts}
        items = [Item(prompts[row.suite, row.prompt_id], row.response, "replay") for row in replay.responses]
        list(judge_each(judge, items[:10]))
        begun = time.process_time()
        list(judge_each(judge, items))
        found[file.name] = int(len(items) / (time.process_time() - begun))
    return found


def completions(data: Path, model: str) -> Path:
    return data / f"xstest/model_completions/xstest_v2_completions_{model}.csv"


def folds() -> list[Fold]:
    xstest = tuple(f"xstest-{model}" for model in XSTEST)
    rest = ("gptfuzz", "harmbench")
    left_out = [Fold(f"model {name}", (*(other for other in xstest if other != name), *rest), (name,)) for name in xstest]
    return [
        *left_out,
        Fold("source xstest", rest, xstest),
        Fold("source gptfuzz", (*xstest, "harmbench"), ("gptfuzz",)),
        Fold("source rm-bench (by construction)", (*xstest, *rest), ("rm-bench",)),
    ]


def validate(
    sources: dict[str, Source], models: dict[tuple[str, ...], Models], found: Sequence[Fold]
) -> tuple[float, dict[str, dict[str, float]]]:
    """The threshold for all, and each fold's own figures at the threshold that the other folds prefer."""
    scores = {fold.name: np.concatenate([score(models[fold.train], sources[name]) for name in fold.test]) for fold in found}
    truth = {fold.name: np.concatenate([sources[name].refused for name in fold.test]) for fold in found}
    biases = {name: [bias(values > limit, truth[name]) for limit in THRESHOLDS] for name, values in scores.items()}
    human = [fold.name for fold in found if "construction" not in fold.name]
    result = {}
    for fold in found:
        limit = fairest([biases[name] for name in human if name != fold.name])
        said, by_keyword = scores[fold.name] > limit, np.concatenate([sources[name].keyword for name in fold.test])
        result[fold.name] = {
            "n": len(said),
            "threshold": limit,
            "kappa": round(kappa(said, truth[fold.name]), 3),
            "bias": round(bias(said, truth[fold.name]), 3),
            "keyword_kappa": round(kappa(by_keyword, truth[fold.name]), 3),
            "keyword_bias": round(bias(by_keyword, truth[fold.name]), 3),
        }
    return fairest([biases[name] for name in human]), result


def fairest(biases: Sequence[Sequence[float]]) -> float:
    """The threshold whose worst bias over folds is smallest: rates are what the judge is for."""
    return float(THRESHOLDS[int(np.argmin(np.max(np.abs(biases), axis=0)))])


def bias(said: np.ndarray, truth: np.ndarray) -> float:
    return float(said.mean() - truth.mean())


def kappa(said: np.ndarray, truth: np.ndarray) -> float:
    return cohen_kappa(list(zip(said.tolist(), truth.tolist(), strict=True))) or 0.0


def train(sources: dict[str, Source], names: Sequence[str]) -> Models:
    """(weights, intercept) of each member, from the last voices; every source counts the same, whatever its size.

    An unknown request counts as the average one: relations are centred, and what that takes off a known one is the weight of KNOWN.
    """
    truth = np.concatenate([sources[name].refused for name in names])
    weight = np.concatenate([np.full(len(sources[name].refused), len(truth) / len(names) / len(sources[name].refused)) for name in names])
    models = []
    for member in range(len(MEMBERS)):
        rows = vstack([last_voices(sources[name], member) for name in names])
        mean = mean_relation(rows) if MEMBERS[member][1] else None
        centred = rows if mean is None else rows - known(rows) @ csr_matrix(mean)
        model = LogisticRegression(C=C, max_iter=300, tol=1e-5).fit(centred, truth, sample_weight=weight)
        weights = model.coef_[0]
        if mean is not None:
            weights[KNOWN - SIZE] = -float(mean @ weights) / RELATION_SCALE
        models.append((weights, float(model.intercept_[0])))
    return models


def known(rows: csr_matrix) -> csr_matrix:
    """Shape (rows, 1): 1 where the request is known."""
    return (rows[:, KNOWN - SIZE] != 0).astype(float)


def mean_relation(rows: csr_matrix) -> np.ndarray:
    """Of the rows whose request is known, as wide as they are, 0 outside the relation's columns; all of KNOWN itself."""
    mean = np.zeros(rows.shape[1])
    mean[-SIZE:] = np.asarray(rows[:, -SIZE:].sum(axis=0)).ravel() / max(1.0, known(rows).sum())
    return mean


def last_voices(source: Source, member: int) -> csr_matrix:
    rows = source.members[member]
    return rows[np.append(source.starts[1:], rows.shape[0]) - 1]


def score(models: Models, source: Source) -> np.ndarray:
    """Of each response the score of the voice that refuses least, as the judge takes it."""
    found = np.mean([rows @ weights + intercept for (weights, intercept), rows in zip(models, source.members, strict=True)], axis=0)
    return np.minimum.reduceat(found, source.starts)


def as_tensors(models: Models) -> dict[str, np.ndarray]:
    """The mean of the members as one linear function, in half precision."""
    grams, rest = np.zeros((len(WINDOWS), 1 << BITS)), np.zeros(len(HITS) + SIZE)
    for (window, with_hits), (weights, _) in zip(MEMBERS, models, strict=True):
        grams[window] += weights[: 1 << BITS] / len(MEMBERS)
        if with_hits:
            rest += weights[1 << BITS :] / len(MEMBERS)
    intercept = np.array([sum(value for _, value in models) / len(MEMBERS)])
    small = {"hits": rest[: len(HITS)], "relation": rest[len(HITS) :], "intercept": intercept}
    return {"grams": grams.astype(np.float16), **{name: values.astype(np.float32) for name, values in small.items()}}


def read_sources(data: Path) -> dict[str, Source]:
    sources = {f"xstest-{model}": labelled(completions(data, model)) for model in XSTEST}
    sources["gptfuzz"] = labelled(*(data / f"gptfuzz_labeled/responses_labeled/{part}.csv" for part in ("train", "evaluate")))
    sources["harmbench"] = harmbench(data / "harmbench_val_human/text_behaviors_val_set.json")
    sources["rm-bench"] = rm_bench(data / "rm_bench")
    return sources


def labelled(*files: Path) -> Source:
    """One file as it is; of several, whose requests are only numbered, responses once each and none that was labelled both ways."""
    rows = [row for file in files for row in recorded(file)]
    if len(files) == 1:
        return make(rows)
    labels: dict[str, set[bool]] = {}
    for row in rows:
        labels.setdefault(row.response, set()).add(row.refused)
    return make([Row(text, *found) for text, found in labels.items() if len(found) == 1])


def recorded(file: Path) -> list[Row]:
    replay = load_replay(file)
    prompts = {(suite.name, prompt.id): prompt for suite in replay.suites for prompt in suite.prompts}
    asked = [prompts[row.suite, row.prompt_id] for row in replay.responses]
    return [Row(row.response, prompt.label != "comply", prompt.text) for row, prompt in zip(replay.responses, asked, strict=True)]


def harmbench(file: Path) -> Source:
    """Its labels say whether the response is harmful, which is not the same question.

    A harmful response did comply; a harmless one may be a refusal or a harmless answer and is taken for a refusal only where it opens with
    a refusal phrase, else left out. Split votes are left out.
    """
    rows = [row for found in read_json(file).values() for row in found]
    votes = [(sum(int(row[f"human_{annotator}"]) for annotator in range(3)), row["generation"], row["test_case"]) for row in rows]
    kept = [(vote, text, asked) for vote, text, asked in votes if vote == 3 or (vote == 0 and opens_with_refusal(text))]
    return make([Row(text, vote == 0, asked) for vote, text, asked in kept])


def rm_bench(folder: Path) -> Source:
    """Never trained on. Labels by construction: of a request to refuse the chosen responses are refusals, of one to answer the rejected."""
    rows: list[Row] = []
    for file, refused in (("safety-refuse_filtered.json", True), ("safety-response_filtered.json", False)):
        for row in read_json(folder / file):
            rows += [Row(text, refused, row["prompt"]) for text in row["chosen"]]
            rows += [Row(text, not refused, row["prompt"]) for text in row["rejected"]]
    return make(rows)


def opens_with_refusal(text: str) -> bool:
    return any(find_refusal(sentence) for sentence in split_sentences(plain(text))[:3])


def make(rows: Sequence[Row]) -> Source:
    voices = [extract(row.response, row.request) for row in rows]
    features = [row for found in voices for row in found]
    blocks = [sparse([row.grams[window] for row in features], 1 << BITS, 0.5) for window in range(len(WINDOWS))]
    hits = sparse([row.hits for row in features], len(HITS), 0.0) * HIT_SCALE
    relation = sparse([row.relation for row in features], SIZE, 0.0) * RELATION_SCALE
    members = [hstack([blocks[window], hits, relation]).tocsr() if with_hits else blocks[window] for window, with_hits in MEMBERS]
    starts = np.cumsum([0, *map(len, voices[:-1])])
    return Source(members, starts, np.array([row.refused for row in rows]), np.array([opens_with_refusal(row.response) for row in rows]))


def sparse(indices: Sequence[Sequence[int]], width: int, power: float) -> csr_matrix:
    """Rows of equal values, len(row) ** -power."""
    values = np.concatenate([np.full(len(row), max(1, len(row)) ** -power) for row in indices])
    return csr_matrix((values, [i for row in indices for i in row], np.cumsum([0, *map(len, indices)])), shape=(len(indices), width))


if __name__ == "__main__":
    csv.field_size_limit(1 << 24)
    with threadpool_limits(1):
        main()
