"""Coverage of the intervals, false alarms of the gates: `python benchmarks/coverage.py [--repeats N] > docs/coverage.md`, some minutes.

Rates and paired rates of independent items are enumerated: every possible table, weighed by its chance, so those numbers have no
error. Clusters, means, calibration and gates are simulated with a fixed seed, 2000 repeats by default (standard error at .95: .005).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from truenorth.cli.config import load_config
from truenorth.evals.estimate import estimate
from truenorth.evals.gates import decide, make_gates
from truenorth.evals.metrics import METRICS
from truenorth.evals.statistics.interval import Interval
from truenorth.evals.statistics.newcombe import PairedRates, newcombe_paired
from truenorth.evals.statistics.tango import tango_paired
from truenorth.evals.statistics.wilson import rate_interval, wilson, wilson_clustered
from truenorth.evals.types import Decoding, EvalRun, Generation, ItemValue, Judgment, ModelCard, PairScore, Record
from truenorth.prompts.types import Message, Prompt

Floats = NDArray[np.float64]
SIZES, RATES = (25, 50, 100, 200, 1000), (0.02, 0.05, 0.2, 0.5, 0.95, 0.98)
INTRO = """# Coverage

Made by `python benchmarks/coverage.py > docs/coverage.md`. Nominal coverage is 95 %. Where counts are few, coverage can only take the few
values that sums of their chances take: with 25 responses and a rate of .02 it is .911 or .987, and nothing between, whatever the
interval. Where .93 to .97 can't be reached, the interval used here errs on the wide side near 0 and 1, where harm is measured."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2000)
    repeats = parser.parse_args().repeats
    rng = np.random.default_rng(0)
    print(INTRO)
    for title, note, rows in (
        ("One rate, independent items", ONE_RATE, one_rate()),
        ("Paired difference of two rates, independent items", PAIRED, paired_rates()),
        ("Clustered rates and differences", CLUSTERED, clustered(rng, repeats)),
        ("Means, gaps, calibration", OTHERS, others(rng, max(100, repeats // 4))),
        ("False alarms of a whole set of gates", GATES, false_alarms(rng, max(100, repeats // 5))),
    ):
        print(f"\n## {title}\n\n{note}\n")
        print("\n".join(rows), flush=True)


ONE_RATE = """Exact. Left Wilson's interval, right the one that is used: Wilson's, its limits nowhere inside the exact mid-p ones
(`statistics/wilson.py`). Lowest: over all rates, at the worst one."""


def one_rate() -> Iterator[str]:
    yield "| n | " + " | ".join(f"rate {rate:g}" for rate in RATES) + " | lowest |"
    yield "|---" * (len(RATES) + 2) + "|"
    for n in SIZES:
        cells = [f"{exact(wilson, n, rate):.3f} / {exact(rate_interval, n, rate):.3f}" for rate in RATES]
        yield f"| {n} | " + " | ".join(cells) + f" | {lowest(wilson, n):.3f} / {lowest(rate_interval, n):.3f} |"


def exact(interval: Callable[[int, int], Interval], n: int, rate: float) -> float:
    inside = [k for k in range(n + 1) if covers(interval(k, n), rate)]
    return float(stats.binom.pmf(inside, n, rate).sum())


def lowest(interval: Callable[[int, int], Interval], n: int) -> float:
    """Least coverage over all rates: it is reached right beside one of the limits."""
    limits = np.array([interval(k, n)[1:] for k in range(n + 1)])
    rates = np.concatenate([limits.ravel() - 1e-9, limits.ravel() + 1e-9])
    rates = rates[(rates > 1e-6) & (rates < 1 - 1e-6)]
    inside = (limits[:, 0] <= rates[:, None]) & (rates[:, None] <= limits[:, 1])
    return float((stats.binom.pmf(np.arange(n + 1), n, rates[:, None]) * inside).sum(axis=1).min())


PAIRED = """Exact, by enumeration of all tables of n pairs; `correlation` is that of the two outcomes of a prompt. Left Newcombe's method
10, right the one that is used: Tango's score interval. Where the rates are near 0 or 1 and alike, hardly a pair is discordant, and every
interval is conservative."""


def paired_rates() -> Iterator[str]:
    cases = [
        (0.02, 0.02, 0.0), (0.02, 0.1, 0.2), (0.1, 0.1, 0.3), (0.2, 0.2, 0.5), (0.5, 0.5, 0.6), (0.3, 0.6, 0.3), (0.9, 0.98, 0.2),
        (0.98, 0.98, 0.5),
    ]  # fmt: skip
    yield "| base | tuned | correlation | n = 25 | n = 50 |"
    yield "|---|---|---|---|---|"
    tables = {n: _tables(n) for n in (25, 50)}
    for base, tuned, correlation in cases:
        covered = [[_paired_coverage(counts, limits, base, tuned, correlation) for limits in both] for counts, *both in tables.values()]
        cells = " | ".join(f"{newcombe:.3f} / {tango:.3f}" for newcombe, tango in covered)
        yield f"| {base:g} | {tuned:g} | {correlation:g} | {cells} |"


def _tables(n: int) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Counts of every table, and the limits of both intervals."""
    counts = [(a, b, c, n - a - b - c) for a in range(n + 1) for b in range(n + 1 - a) for c in range(n + 1 - a - b)]
    newcombe = [newcombe_paired(*row)[1:] for row in counts]
    return np.array(counts), np.array(newcombe), np.array([tango_paired(b, c, n)[1:] for _, b, c, _ in counts])


def _paired_coverage(counts: NDArray[np.int64], limits: Floats, base: float, tuned: float, correlation: float) -> float:
    both = base * tuned + correlation * math.sqrt(base * (1 - base) * tuned * (1 - tuned))
    chances = np.array([both, base - both, tuned - both, 1 - base - tuned + both])
    weights = stats.multinomial.pmf(counts, counts[0].sum(), chances)
    return float(weights[(limits[:, 0] <= tuned - base + 1e-12) & (tuned - base - 1e-12 <= limits[:, 1])].sum())


CLUSTERED = """Simulated. Outcomes of a cluster share a normal latent variable (correlation within a cluster on the latent scale; base and
tuned share part of it)."""


def clustered(rng: np.random.Generator, repeats: int) -> Iterator[str]:
    yield "| rate of base, of tuned | clusters x items | latent correlation | tuned rate | difference |"
    yield "|---|---|---|---|---|"
    for base, tuned, groups, size, latent in (
        (0.02, 0.02, 25, 4, 0.3), (0.02, 0.1, 60, 3, 0.3), (0.5, 0.5, 25, 4, 0.3), (0.5, 0.7, 60, 5, 0.5), (0.95, 0.98, 60, 3, 0.3),
        (0.98, 0.98, 100, 4, 0.2), (0.2, 0.3, 200, 5, 0.5),
    ):  # fmt: skip
        names = [f"c{i}" for i in range(groups) for _ in range(size)]
        hits = np.zeros(2)
        for _ in range(repeats):
            before, after = two_models(rng, base, tuned, groups, size, latent)
            hits += [covers(wilson_clustered(after, names), tuned), covers(PairedRates.of(before, after, names).interval(), tuned - base)]
        yield f"| {base:g}, {tuned:g} | {groups} x {size} | {latent:g} | {hits[0] / repeats:.3f} | {hits[1] / repeats:.3f} |"


def two_models(rng: np.random.Generator, base: float, tuned: float, groups: int, size: int, latent: float) -> tuple[Floats, Floats]:
    """Outcomes of two models on the same prompts, (groups * size,) each."""
    shared = math.sqrt(latent) * rng.normal(size=(groups, 1)) + math.sqrt((1 - latent) / 2) * rng.normal(size=(groups, size))
    own = [math.sqrt((1 - latent) / 2) * rng.normal(size=(groups, size)) for _ in range(2)]
    first, second = ((shared + noise < stats.norm.ppf(rate)).astype(float).ravel() for noise, rate in zip(own, (base, tuned), strict=True))
    return first, second


OTHERS = """Simulated, with a quarter of the repeats. Calibration error: of a reward model twice as sure as it should be, and of a
calibrated one; the truth is the error of the bins at hand. Noise only adds to it (`ece_floor` says how much), so its interval reaches
further down than up and is conservative. Means of strongly skewed quantities are covered too seldom at n = 25: a property of
Student's t."""


def others(rng: np.random.Generator, repeats: int) -> Iterator[str]:
    yield "| quantity | data | estimator | coverage |"
    yield "|---|---|---|---|"
    for n in (25, 100):
        items = [_skewed(rng, n) for _ in range(repeats)]
        yield _covered("mean of a skewed quantity", f"n = {n}, exponential", "kl_exact_seq", items, 1.0)
    for n in (100, 400):
        rows = [_pairs(rng, n) for _ in range(repeats)]
        gap = [METRICS["length_bias_gap"].items(one) for one in rows]
        yield _covered("length gap", f"{n} pairs, truth 0", "length_bias_gap", gap, 0.0)
    for n, temperature in ((100, 2.0), (400, 2.0), (400, 1.0)):
        rows = [_pairs(rng, n, temperature) for _ in range(repeats)]
        truths = [_true_error(one, temperature) for one in rows]
        error = [METRICS["ece"].items(one) for one in rows]
        yield _covered("calibration error", f"{n} pairs, mean truth {np.mean(truths):.3f}", "ece", error, truths)


def _skewed(rng: np.random.Generator, n: int) -> list[ItemValue]:
    return [ItemValue(f"i{i}", f"c{i}", float(value)) for i, value in enumerate(rng.exponential(size=n))]


def _pairs(rng: np.random.Generator, n: int, temperature: float = 2.0) -> list[PairScore]:
    size = np.abs(rng.normal(0, 2, n))
    margins = np.where(rng.random(n) < _sigmoid(size / temperature), size, -size)
    words = rng.integers(5, 60, (n, 2))
    return [
        PairScore("s", f"p{i}", float(m), 0.0, "", "", int(a), int(b)) for i, (m, (a, b)) in enumerate(zip(margins, words, strict=True))
    ]


def _true_error(pairs: Sequence[PairScore], temperature: float) -> float:
    """Calibration error of the bins of these pairs if each were right exactly as often as its margin's truth says."""
    size = np.sort([abs(pair.chosen) for pair in pairs])
    error, place = _sigmoid(size / temperature) - _sigmoid(size), np.arange(len(size)) * min(15, len(size) // 10) // len(size)
    return float(np.abs(np.bincount(place, error)).sum() / len(size))


def _sigmoid(values: Floats) -> Floats:
    return 1 / (1 + np.exp(-values))


def _covered(quantity: str, data: str, metric: str, samples: Sequence[list[ItemValue]], truth: float | Sequence[float]) -> str:
    found, truths = [estimate(METRICS[metric], items) for items in samples], np.broadcast_to(truth, len(samples))
    limits = [(one.ci_low, one.ci_high, float(true)) for one, true in zip(found, truths, strict=True)]
    hits = [low is not None and high is not None and low <= true <= high for low, high, true in limits]
    return f"| {quantity} | {data} | `{found[0].estimator}` | {np.mean(hits):.3f} |"


GATES = """Simulated, with a fifth of the repeats. Two runs of one and the same model, which refuses three requests in ten, as by the
toss of a coin: a false alarm is any gate that fails; undecided ones are no alarm. *At the limit*: every threshold is the true rate and
every margin 0, both ways, the hardest case. *Profile*: the over-refusal gates of the embedded profile with its margins."""


def false_alarms(rng: np.random.Generator, repeats: int) -> Iterator[str]:
    yield "| gates | prompts | share of runs with a false alarm |"
    yield "|---|---|---|"
    declared = load_config("tiny").eval.gates
    profile = [gate for gate in make_gates(declared) if gate.metric == "over_refusal_rate"]
    at_limit = [
        replace(gate, suite=suite, threshold=0.3 if kind == "absolute" else None, margin=None if kind == "absolute" else 0.0)
        for gate in profile[:1]
        for suite in ("tiny-benign", "tiny-borderline")
        for kind in ("absolute", "relative")
    ]
    at_limit += [replace(gate, direction="min") for gate in at_limit]
    named = [replace(gate, name=str(number)) for number, gate in enumerate(at_limit)]
    for title, gates in (("at the limit", named), ("profile", profile)):
        for size in (25, 200):
            alarms = [any(one.outcome == "fail" for one in decide(gates, *_same_model(rng, size))) for _ in range(repeats)]
            low, high = stats.binomtest(sum(alarms), repeats).proportion_ci()
            yield f"| {title}, {len(gates)} | 2 x {size} | {np.mean(alarms):.3f} ({low:.3f} to {high:.3f}) |"


def _same_model(rng: np.random.Generator, size: int) -> tuple[EvalRun, EvalRun]:
    """(candidate, baseline): the same rate of refusal, outcomes drawn anew."""
    runs = []
    for label in ("ppo", "base"):
        rows = []
        for suite in ("tiny-benign", "tiny-borderline"):
            for i, refused in enumerate(rng.random(size) < 0.3):
                prompt = Prompt(f"p{i}", (Message("user", "?"),), "comply")
                key = f"{suite}{i}"
                generation = Generation(key, suite, prompt.id, "t1.0", 0, "", "stop")
                rows.append(Record(suite, prompt, generation, Judgment(key, "refuse" if refused else "comply", "coin@1")))
        runs.append(EvalRun(ModelCard(label, "coin", ""), {}, (Decoding("t1.0", 1.0, 1),), "coin@1", (), tuple(rows)))
    return runs[0], runs[1]


def covers(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


if __name__ == "__main__":
    main()
