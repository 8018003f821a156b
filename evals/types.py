"""The records that flow through an evaluation. Frozen, JSON-serialisable, standard library only.

    suite -> Generation -> Judgment, Score -> Record -> MetricResult -> EvalRun -> MetricDelta, GateDecision -> report

Each arrow is a file or one of these objects, so each stage can be redone alone. Absent is not zero: nothing to score gives
`value=None` and a counted reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..prompts.types import Prompt, QuarantinedRow

SCHEMA_VERSION = 1

Outcome = Literal["refuse", "partial", "comply", "other", "invalid"]
OUTCOMES: tuple[Outcome, ...] = ("refuse", "partial", "comply", "other", "invalid")
GateOutcome = Literal["pass", "fail", "inconclusive", "not_run"]
Verdict = Literal["pass", "fail", "inconclusive", "none"]


@dataclass(frozen=True, slots=True)
class Decoding:
    """How responses are drawn. No top-k, top-p, repetition penalty or minimum length, ever."""

    name: str
    """`greedy`, or `t` and the temperature: `t1.0`."""
    temperature: float
    """0 for greedy."""
    max_new_tokens: int
    samples: int = 1
    """Responses per prompt."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One response of one model to one prompt."""

    key: str
    """Content hash of all that determines the response (model bytes, adapter, tokenizer, template, decoding, prompt, sample)."""
    suite: str
    prompt_id: str
    decoding: str
    sample: int
    response: str
    """Decoded text, without the end-of-sequence token."""
    finish_reason: Literal["stop", "length", "replay"]
    """`stop`: the model ended its turn. `length`: cut at max_new_tokens. `replay`: recorded elsewhere."""
    prompt_tokens: tuple[int, ...] = ()
    """Token ids that the model saw, one BOS included."""
    response_tokens: tuple[int, ...] = ()
    """Token ids that it gave, EOS included when it stopped."""


@dataclass(frozen=True, slots=True)
class Judgment:
    """One judge's verdict on one response."""

    key: str
    """The generation's key."""
    outcome: Outcome
    judge: str
    """Name and revision: `keyword@1`."""
    explanation: str = ""
    correct: bool | None = None
    """Whether the checkable answer is right; None where there is none."""
    response_sha256: str = ""
    """Digest of the response that was judged (`store.response_digest`): a verdict is none on another one under the same key."""


@dataclass(frozen=True, slots=True)
class Score:
    """Numbers of one response: reward in the reward model's units, KL(tuned || base) over the response in nats, summed."""

    key: str
    n_tokens: int = 0
    """Response tokens, EOS included: the denominator of per-token KL."""
    reward: float | None = None
    kl_exact: float | None = None
    kl_k1: float | None = None
    kl_k3: float | None = None
    kl_forward: float | None = None
    """KL(base || tuned) over the base's own response to the same prompt and sample, in nats, summed."""
    independent: float | None = None
    """Reward by a reward model that the policy was not trained against."""
    preferred: float | None = None
    """By a comparing judge in both orders: 1 this response, 0 the base's, 0.5 a tie or a change of mind."""
    consistent: bool | None = None
    """Whether the judge preferred the same response in both orders."""
    moved: tuple[tuple[str, float], ...] = ()
    """Tokens of the response where the policy differs most from its base: text and KL in nats, largest first."""


@dataclass(frozen=True, slots=True)
class PairScore:
    """The reward model on one preference pair."""

    suite: str
    pair_id: str
    chosen: float
    rejected: float
    subset: str = ""
    cluster: str = ""
    chosen_words: int | None = None
    """Words of the response, for the baseline that looks at length alone; None where it was not counted."""
    rejected_words: int | None = None
    chosen_marks: int | None = None
    """Marks of layout in the response (list items, headings, bold, code), for the gap between plain and decorated ones."""
    rejected_marks: int | None = None
    chosen_alone: float | None = None
    """The chosen response's reward in a batch of its own, of the first pairs of a set."""


@dataclass(frozen=True, slots=True)
class DocumentScore:
    """One document of a capability task."""

    task: str
    doc_id: str
    acc: float
    group: str = ""
    """The group that was asked for, where the task is one of its members."""
    cluster: str = ""
    """As in `Prompt`: documents about the same passage."""


@dataclass(frozen=True, slots=True)
class Record:
    """Everything known of one response, joined by key: the row that metrics read."""

    suite: str
    prompt: Prompt
    generation: Generation
    judgment: Judgment | None = None
    score: Score | None = None


@dataclass(frozen=True, slots=True)
class ItemValue:
    """One item's contribution to a metric; the metric is sum(value) / sum(weight), unless it combines parts (`Metric.combine`).

    `item` pairs base with tuned: same suite, prompt and sample (or pair, or document). `value=None` marks an invalid item:
    out of the denominator, counted, shown with bounds.
    """

    item: str
    cluster: str
    value: float | None
    weight: float = 1.0
    part: str = ""
    """What the item's sums are kept apart by, in metrics that combine several: a task of a group, a bin of probabilities."""


@dataclass(frozen=True, slots=True)
class MetricResult:
    """One number with its uncertainty: one row of metrics.csv."""

    metric: str
    suite: str
    subset: str
    """Category; empty for the overall row."""
    decoding: str
    estimator: str
    """How value and interval were computed: `wilson`, `wilson_clustered`, `cluster_t`, `cluster_bootstrap`; for differences `tango`,
    `newcombe_clustered`."""
    unit: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    """Items with a value."""
    n_invalid: int
    n_clusters: int
    higher_is_better: bool | None
    """None: neither direction is better."""
    judge: str = ""
    reason: str = ""
    """Why `value` is None."""


@dataclass(frozen=True, slots=True)
class MetricDelta:
    """Tuned minus base on the items both have."""

    metric: str
    suite: str
    subset: str
    decoding: str
    estimator: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    """Paired items."""
    p_value: float | None = None
    """Two-sided. Exact McNemar for binary items without clusters, else the test that the interval inverts to."""
    mde: float | None = None
    """Smallest difference found with 80 % power at two-sided .05."""
    gained: int = 0
    """Items where only the tuned model counts (McNemar's c)."""
    lost: int = 0
    """Items where only the base counts (McNemar's b)."""
    reason: str = ""
    p_adjusted: float | None = None
    """Holm over the overall rows that a gate is declared for; Benjamini-Hochberg over the categories of one table; else None."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A declared requirement on a metric (kind `gate`: by its interval) or on a fact (kind `check`: compared exactly).

    Exactly one of `threshold` (absolute) and `margin` (tuned minus base) is set.
    """

    name: str
    metric: str
    suite: str = ""
    decoding: str = ""
    direction: Literal["min", "max"] = "min"
    """`min`: value or difference must be at least the limit. `max`: at most."""
    threshold: float | None = None
    margin: float | None = None
    kind: Literal["gate", "check"] = "gate"
    corrected: bool = False
    """Whether the rate is read as corrected for the judge's error, with the error's own uncertainty."""


@dataclass(frozen=True, slots=True)
class GateDecision:
    """What a gate said: one row of gates.csv."""

    gate: Gate
    outcome: GateOutcome
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    p_adjusted: float | None = None
    """Holm-adjusted over the declared gates."""
    reason: str = ""
    n_to_decide: int | None = None
    """For `inconclusive`: about how many items would decide."""
    estimator: str = ""
    """As in `MetricResult`; `ppi` and `rogan_gladen`: decided on the number as people would judge it."""


@dataclass(frozen=True, slots=True)
class JudgeCard:
    """A judge's agreement with labels that were given by people or by an exact grammar."""

    judge: str
    reference: str
    """Who gave the labels: `human`, `grammar`."""
    n: int
    n_invalid: int
    agreement: float | None
    kappa: float | None
    kappa_3: float | None
    sensitivity: float | None
    specificity: float | None
    bias: float | None
    """Predicted minus labelled refusal rate."""
    n_refusals: int = 0
    """Of `n`, those that the labels call a refusal, in full or in part."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What was evaluated."""

    label: str
    """Name of the folder under eval/: `base`, `ppo`."""
    model: str
    """As the user named it, or `tiny`."""
    model_sha256: str
    adapter: str = ""
    adapter_sha256: str = ""
    reward_model: str = ""
    reward_model_sha256: str = ""
    template_sha256: str = ""
    tokenizer_sha256: str = ""
    dtype: str = ""


@dataclass(frozen=True, slots=True)
class EvalRun:
    """One model's finished evaluation: eval/LABEL/results.json plus the records beside it."""

    model: ModelCard
    suites: Mapping[str, str]
    """Suite name to sha256."""
    decodings: tuple[Decoding, ...]
    judge: str
    metrics: tuple[MetricResult, ...]
    records: tuple[Record, ...] = field(default=(), repr=False)
    pairs: tuple[PairScore, ...] = field(default=(), repr=False)
    documents: tuple[DocumentScore, ...] = field(default=(), repr=False)
    judge_cards: tuple[JudgeCard, ...] = ()
    probe: Record | None = None
    """The probe prompt, greedy; None in a replay."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What must be equal for two runs to be comparable: seed, limit, judge, template, batch rule."""
    schema_version: int = SCHEMA_VERSION
    quarantined: Mapping[str, tuple[QuarantinedRow, ...]] = field(default_factory=dict, repr=False)
    """Rows of pair files that could not be used, by set; as read from disk (`quarantined_pairs.py`)."""


@dataclass(frozen=True, slots=True)
class CorrectedRate:
    """A rate as people would judge it, beside the judge's own: `estimator` says how (`ppi`, `rogan_gladen`; `correction.py`)."""

    tuned: MetricResult
    base: MetricResult | None = None
    delta: MetricDelta | None = None
    """None where the correction holds for one model at a time."""


@dataclass(frozen=True, slots=True)
class CandidateComparison:
    """One candidate against the baseline."""

    candidate: EvalRun
    deltas: tuple[MetricDelta, ...]
    """Empty without a baseline."""
    decisions: tuple[GateDecision, ...]
    verdict: Verdict
    """`none` when the two can't be compared or no gate is declared."""
    differences: tuple[str, ...] = ()
    """What makes the two runs incomparable: prompts, judge, template, decoding, settings. Empty: comparable."""
    paired: tuple[MetricResult, ...] = ()
    """Metrics of the two runs together: win rate, flips. Empty without a baseline."""
    corrected: tuple[CorrectedRate, ...] = ()
    """Rates as people would judge them, where anything is known of the judge's error."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A baseline and its candidates, decided."""

    baseline: EvalRun | None
    candidates: tuple[CandidateComparison, ...]
    verdict: Verdict
    """The worst of the candidates' verdicts."""
    alpha: float = 0.05
    judge_card: JudgeCard | None = None
    """The judge's card that was given for these runs: it corrects their rates before their own cards do."""
