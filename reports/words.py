"""Metrics and numbers in plain words, the same in every form of the report.

Rates are fractions in the files and per cent here; differences of rates are percentage points. Left out: any judgement of what a number
means beyond its direction and its interval.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from ..evals.estimate import bounds
from ..evals.types import GateOutcome, MetricDelta, MetricResult, Outcome, Verdict

Change = Literal["better", "worse", "unclear", "neutral"]


class MetricWords(NamedTuple):
    """How a metric is called."""

    title: str
    subject: str
    """Starts the sentence '... rose from 14.0% to 65.2%'; `{suite}` is filled in."""


METRIC_WORDS: dict[str, MetricWords] = {
    "refusal_rate": MetricWords("Refusal rate", "Refusals of {suite} prompts"),
    "refusal_rate_strict": MetricWords("Refusal rate, strict", "Flat refusals of {suite} prompts"),
    "harmful_compliance_rate": MetricWords("Harmful compliance", "Compliance with {suite} prompts"),
    "over_refusal_rate": MetricWords("Over-refusal rate", "Needless refusals of {suite} prompts"),
    "correct_rate": MetricWords("Correct answers", "Correct answers to {suite} prompts"),
    "attack_success_rate": MetricWords("Attack success rate", "Successful attacks in {suite}"),
    "attack_success_any": MetricWords("Attack success, any", "Behaviours of {suite} that any attack reaches"),
    "pairwise_accuracy": MetricWords("RM pairwise accuracy", "The reward model's accuracy on {suite} pairs"),
    "longer_wins_accuracy": MetricWords("Longer response wins", "The longer response is the chosen one of {suite} pairs"),
    "tie_rate": MetricWords("RM ties", "Ties of the reward model on {suite} pairs"),
    "margin_mean": MetricWords("RM margin", "The reward model's margin on {suite} pairs"),
    "log_loss": MetricWords("RM log loss", "The reward model's log loss on {suite} pairs"),
    "brier": MetricWords("RM Brier score", "The reward model's Brier score on {suite} pairs"),
    "ece": MetricWords("RM calibration error", "The reward model's calibration error on {suite} pairs"),
    "log_loss_scaled": MetricWords("RM log loss, scaled", "The reward model's log loss after scaling on {suite} pairs"),
    "ece_scaled": MetricWords("RM calibration error, scaled", "The reward model's calibration error after scaling on {suite} pairs"),
    "ece_floor": MetricWords("RM calibration error by chance", "The calibration error that chance alone gives on {suite} pairs"),
    "length_bias_gap": MetricWords("RM length bias", "The reward model's length bias on {suite} pairs"),
    "style_bias_gap": MetricWords("RM style bias", "The reward model's style bias on {suite} pairs"),
    "batch_gap": MetricWords("RM batch gap", "The change of a score by batching on {suite} pairs"),
    "kl_exact_seq": MetricWords("KL from base, per reply", "KL from the base on {suite} prompts"),
    "kl_exact_token": MetricWords("KL from base, per token", "KL per token from the base on {suite} prompts"),
    "kl_k1_seq": MetricWords("KL per reply, k1", "KL (k1) from the base on {suite} prompts"),
    "kl_k1_token": MetricWords("KL per token, k1", "KL per token (k1) from the base on {suite} prompts"),
    "kl_k3_seq": MetricWords("KL per reply, k3", "KL (k3) from the base on {suite} prompts"),
    "kl_k3_token": MetricWords("KL per token, k3", "KL per token (k3) from the base on {suite} prompts"),
    "kl_forward_seq": MetricWords("Forward KL, per reply", "Forward KL on {suite} prompts"),
    "reward_mean": MetricWords("Mean reward", "The mean reward on {suite} prompts"),
    "independent_reward_mean": MetricWords("Mean reward, independent", "The mean reward by an independent model on {suite} prompts"),
    "win_rate": MetricWords("Win rate against base", "Wins over the base on {suite} prompts"),
    "position_consistency": MetricWords("Same preference in both orders", "The same preference in both orders on {suite} prompts"),
    "flip_rate": MetricWords("Flip rate", "Changed verdicts on {suite} prompts"),
    "capability_acc": MetricWords("Capability, accuracy", "Accuracy on {suite}"),
    "capability_mean": MetricWords("Capability, mean over tasks", "Mean accuracy over tasks"),
    "invalid_share": MetricWords("Replies without a verdict", "Replies without a verdict"),
    "differences": MetricWords("Comparable runs", "Differences between the runs"),
    "probe_refused": MetricWords("Probe refused", "Refusal of the probe"),
    "adapter_applied": MetricWords("Adapter applied", "Effect of the adapter"),
    "self_kl": MetricWords("Base equals itself", "KL of the base from itself"),
    "kl_estimators": MetricWords("KL estimates agree", "The gap between two estimates of the KL"),
}
YES_OR_NO = frozenset({"probe_refused", "adapter_applied"})
"""Checks whose value is 1 or 0."""

VERDICT_WORDS: dict[Verdict, str] = {"pass": "Pass", "fail": "Fail", "inconclusive": "Inconclusive", "none": "No verdict"}
GATE_WORDS: dict[GateOutcome, str] = {"pass": "Pass", "fail": "Fail", "inconclusive": "Undecided", "not_run": "Not run"}
OUTCOME_WORDS: dict[Outcome, str] = {
    "refuse": "refuses",
    "partial": "refuses in part",
    "comply": "complies",
    "other": "neither",
    "invalid": "no verdict",
}
CHANGE_WORDS: dict[Change, str] = {"better": "better", "worse": "worse", "unclear": "not resolved", "neutral": "no direction"}
_OF_THE_REWARD_MODEL = frozenset(
    {
        "pairwise_accuracy",
        "longer_wins_accuracy",
        "tie_rate",
        "margin_mean",
        "log_loss",
        "log_loss_scaled",
        "brier",
        "length_bias_gap",
        "style_bias_gap",
        "batch_gap",
    }
    | {"ece", "ece_scaled", "ece_floor"}
)
_OF_BOTH = frozenset({"win_rate", "flip_rate", "position_consistency"})
"""Measured on base and tuned together: there is no such number of either alone."""
_RATES = frozenset({"ece", "ece_scaled", "ece_floor", "attack_success_any", "position_consistency", "capability_mean"})
"""Rates whose name doesn't end like one."""
_RATE_UNITS = frozenset({"fraction", "rate", "share", "proportion", "probability"})


def title_of(metric: str) -> str:
    """`Over-refusal rate` for `over_refusal_rate`; an unknown metric keeps its name."""
    words = METRIC_WORDS.get(metric)
    return words.title if words else metric.replace("_", " ")


def subject_of(metric: str, suite: str) -> str:
    """The start of a sentence about a metric."""
    words = METRIC_WORDS.get(metric)
    return words.subject.format(suite=suite or "all") if words else f"{title_of(metric)} on {suite or 'all'}"


def is_rate(metric: str, unit: str = "") -> bool:
    """Whether a metric is shown in per cent: by its unit where one is given, else by its name."""
    if unit:
        return unit in _RATE_UNITS
    return metric in _RATES or metric.endswith(("_rate", "_rate_strict", "_accuracy", "_acc", "_share"))


def is_of_one_model(metric: str) -> bool:
    """Whether a metric says something of the reward model, or of the tuned model against the base: nothing stands beside it."""
    return metric in _OF_THE_REWARD_MODEL | _OF_BOTH or metric.startswith("kl_")


def is_of_reward_model(metric: str) -> bool:
    """Whether a metric says how good the reward model is."""
    return metric in _OF_THE_REWARD_MODEL


def value_text(value: float | None, *, rate: bool) -> str:
    """`84.5%`, `0.61`, `n/a`."""
    if value is None:
        return "n/a"
    return f"{value * 100:.1f}%" if rate else number_text(value)


def bounds_text(result: MetricResult) -> str:
    """`80.0% to 84.0% whatever they are`: of a rate some of whose items have no verdict; empty for any other."""
    found = bounds(result)
    return f"{interval_text(*found, rate=True)} whatever they are" if found else ""


def level_text(alpha: float) -> str:
    """`95%`: the level of intervals at this alpha."""
    return f"{100 * (1 - alpha):g}%"


def change_text(value: float | None, *, rate: bool, unit: bool = True) -> str:
    """`+6.5 points`, `−0.12`, `n/a`, with a real minus sign."""
    if value is None:
        return "n/a"
    text = f"{value * 100:+.1f}" if rate else f"{'+' if value >= 0 else ''}{number_text(value)}"
    if not text.strip("+−-0."):
        text = text.lstrip("+−-")
    return _minus(text) + (" points" if rate and unit else "")


def interval_text(low: float | None, high: float | None, *, rate: bool, change: bool = False) -> str:
    """`81.0% to 87.4%`, for differences `−11.0 to −2.1`; empty when a bound is absent."""
    if low is None or high is None:
        return ""
    if change:
        return f"{change_text(low, rate=rate, unit=False)} to {change_text(high, rate=rate, unit=False)}"
    return f"{value_text(low, rate=rate)} to {value_text(high, rate=rate)}"


def p_text(value: float | None) -> str:
    """`0.004`, `<0.001`; empty when absent."""
    if value is None:
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def where_text(suite: str, decoding: str, subset: str = "") -> str:
    """`harmful · greedy`."""
    return " · ".join(part for part in (suite, subset, decoding) if part)


def change_of(result: MetricResult, delta: MetricDelta | None) -> Change:
    """Whether a difference is better, worse or not resolved: its interval must not touch zero."""
    if delta is None or delta.ci_low is None or delta.ci_high is None or (delta.ci_low <= 0 <= delta.ci_high):
        return "unclear"
    if result.higher_is_better is None:
        return "neutral"
    return "better" if (delta.ci_low > 0) == result.higher_is_better else "worse"


def plural(number: int, noun: str) -> str:
    """`1 gate`, `3 gates`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def number_text(value: float) -> str:
    """`0.61`, `0.012`, `−1.40`: enough digits to compare, with a real minus sign."""
    if value == 0:
        return _minus("0")
    size = abs(value)
    if not 0.001 <= size < 1e6:
        return _minus(f"{value:.2g}")
    return _minus(f"{value:.{2 if size >= 0.1 else 3}f}")


def _minus(text: str) -> str:
    return text.replace("-", "−")
