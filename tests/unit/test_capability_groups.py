"""Groups of local tasks, averaged by us; documents that belong together."""

import json
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from truenorth.evals.capability import run_task
from truenorth.evals.capability_task import load_task
from truenorth.evals.estimate import estimate, paired_delta
from truenorth.evals.metrics import METRICS
from truenorth.evals.types import DocumentScore
from truenorth.prompts.errors import InputError

TASK = """\
task: {name}
dataset_path: json
dataset_kwargs:
  data_files: {{test: {name}.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_target: gold
doc_to_choice: "{{{{choices}}}}"
metric_list: [{{metric: acc}}]
"""


def write(folder, group="group: both\ntask: [small.yaml, large.yaml]\n", extra=""):
    for name, n in (("small", 2), ("large", 6)):
        docs = [{"question": f"{name} {i}?", "choices": ["one", "two"], "gold": i % 2, "passage": f"p{i // 2}"} for i in range(n)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs))
        (folder / f"{name}.yaml").write_text(TASK.format(name=name) + extra)
    (folder / "group.yaml").write_text(group)
    return str(folder / "group.yaml")


@pytest.fixture(scope="module")
def holder(tiny_base):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    module = AutoModelForCausalLM.from_pretrained(tiny_base).eval()

    class Holder:
        tokenizer = AutoTokenizer.from_pretrained(tiny_base)

        @contextmanager
        def using(self, adapter):
            with torch.no_grad():
                yield module

    return Holder()


def scores(accuracies):
    return [DocumentScore(task, str(i), acc, "both") for task, values in accuracies.items() for i, acc in enumerate(values)]


def test_each_task_counts_the_same_whatever_its_size():
    rows = scores({"small": [1.0, 0.0], "large": [1.0] * 90 + [0.0] * 10})
    found = estimate(METRICS["capability_mean"], METRICS["capability_mean"].items(rows))
    assert found.value == pytest.approx((0.5 + 0.9) / 2)
    assert (found.n, found.estimator) == (102, "cluster_bootstrap")


def test_its_standard_error_is_that_of_independent_tasks():
    rng = np.random.default_rng(0)
    accuracies = {name: (rng.random(n) < p).astype(float) for name, n, p in (("a", 400, 0.3), ("b", 900, 0.8), ("c", 250, 0.55))}
    found = estimate(METRICS["capability_mean"], METRICS["capability_mean"].items(scores(accuracies)))
    se = np.sqrt(sum(values.var(ddof=1) / len(values) for values in accuracies.values())) / 3
    assert (found.ci_high - found.ci_low) / 2 == pytest.approx(1.96 * se, rel=0.06)


def test_difference_pairs_documents():
    rng = np.random.default_rng(1)
    before = {name: (rng.random(300) < 0.6).astype(float) for name in ("a", "b")}
    after = {name: np.where(rng.random(300) < 0.05, 0.0, values) for name, values in before.items()}
    metric = METRICS["capability_mean"]
    found = paired_delta(metric, metric.items(scores(before)), metric.items(scores(after)))
    differences = [after[name] - before[name] for name in before]
    se = np.sqrt(sum(d.var(ddof=1) / len(d) for d in differences)) / 2
    assert found.value == pytest.approx(np.mean([d.mean() for d in differences]))
    assert (found.ci_high - found.ci_low) / 2 == pytest.approx(1.96 * se, rel=0.06)


def test_one_task_is_no_group():
    assert METRICS["capability_mean"].items(scores({"small": [1.0, 0.0]})) == []


@pytest.mark.filterwarnings("ignore")
def test_local_group_runs_whole_and_keeps_the_harnesses_own_result(tmp_path, holder):
    found = run_task(holder, load_task(write(tmp_path)), adapter=None, out=tmp_path / "out")
    assert [(row.task, row.group) for row in found] == [("small", "both")] * 2 + [("large", "both")] * 6
    kept = json.loads((tmp_path / "out/both.json").read_text())
    assert set(kept["results"]) == {"small", "large"}
    assert str(tmp_path) not in json.dumps(kept)
    alone = run_task(holder, load_task(str(tmp_path / "large.yaml")), adapter=None)
    assert [replace(row, group="") for row in found if row.task == "large"] == alone


@pytest.mark.filterwarnings("ignore")
def test_documents_of_one_passage_are_one_cluster(tmp_path, holder):
    task = load_task(write(tmp_path, extra="metadata: {version: 1, cluster_by: passage}\n"))
    found = run_task(holder, task, adapter=None)
    assert [row.cluster for row in found if row.task == "large"] == ["p0", "p0", "p1", "p1", "p2", "p2"]
    items = METRICS["capability_acc"].items([row for row in found if row.task == "large"])
    assert len({item.cluster for item in items}) == 3


@pytest.mark.filterwarnings("ignore")
def test_a_field_that_documents_lack_is_told(tmp_path, holder):
    task = load_task(write(tmp_path, extra="metadata: {cluster_by: story}\n"))
    with pytest.raises(InputError, match="has no 'story'"):
        run_task(holder, task, adapter=None)


@pytest.mark.parametrize(
    ("group", "told"),
    [
        ("group: both\ntask: [small.yaml]\n", "two tasks or more"),
        ("group: both\ntask: [small.yaml, small.yaml]\n", "the same name"),
        ("group: small\ntask: [small.yaml, large.yaml]\n", "the same name"),
        ("group: both\ntask: [small.yaml, none.yaml]\n", "no such task file"),
        ("group: both\ntask: [small.yaml, ../large.yaml]\n", "is not a file inside"),
        ("group: both\ntask: [small.yaml, group.yaml]\n", "'group' is not supported"),
        ("group: both\ntask: [small.yaml, large.yaml]\naggregate: mean\n", "and nothing else"),
        ("group: [x]\ntask: [small.yaml, large.yaml]\n", "and nothing else"),
    ],
)
def test_malformed_groups_are_refused(tmp_path, group, told):
    with pytest.raises(InputError, match=r"\.yaml") as caught:
        load_task(write(tmp_path, group))
    assert told in str(caught.value)
