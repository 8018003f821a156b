"""Which p-values are adjusted together, and how."""

import pytest
from truenorth.evals.adjust import adjusted
from truenorth.evals.statistics.bh import benjamini_hochberg
from truenorth.evals.types import Gate, MetricDelta

multipletests = pytest.importorskip("statsmodels.stats.multitest").multipletests


def delta(metric, subset, p, suite="harmful"):
    return MetricDelta(metric, suite, subset, "greedy", "tango", 0.1, 0.0, 0.2, 50, p)


@pytest.mark.parametrize("p_values", [[0.01, 0.04, 0.03, 0.005], [0.5], [1.0, 1.0], [0.02, 0.02, 0.9], []])
def test_benjamini_hochberg_equals_statsmodels(p_values):
    expected = list(multipletests(p_values, method="fdr_bh")[1]) if p_values else []
    assert benjamini_hochberg(p_values) == pytest.approx(expected)


def test_categories_of_one_table_are_a_family_and_gated_rows_are_another():
    rows = [
        delta("refusal_rate", "", 0.01),
        delta("refusal_rate", "kind-0", 0.01),
        delta("refusal_rate", "kind-1", 0.04),
        delta("over_refusal_rate", "", 0.02),
        delta("over_refusal_rate", "kind-0", 0.03),
        delta("refusal_rate_strict", "", 0.001),
    ]
    gates = [Gate("a", "refusal_rate", "harmful", "greedy", threshold=0.5), Gate("b", "over_refusal_rate", "harmful", "greedy", margin=0.0)]
    assert [row.p_adjusted for row in adjusted(rows, gates)] == [
        pytest.approx(0.02),  # Holm over the two gated rows
        pytest.approx(0.02),  # Benjamini-Hochberg over two categories
        pytest.approx(0.04),
        pytest.approx(0.02),
        pytest.approx(0.03),  # a table of one category
        None,
    ]


def test_rows_without_a_p_value_stay_without():
    assert adjusted([delta("refusal_rate", "kind-0", None)], [])[0].p_adjusted is None
