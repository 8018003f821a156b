"""Charts are well-formed, described, deterministic, and put their marks where the numbers are."""

from __future__ import annotations

import itertools
from importlib.resources import files
from xml.etree import ElementTree

import pytest
from hostile_text import MARKUP
from truenorth.reports.svg import (
    Axis,
    Bar,
    Interval,
    Mark,
    Place,
    Scale,
    Series,
    difference,
    dumbbell,
    histogram,
    line_chart,
    number,
    plane,
    ticks,
)


def parsed(drawing: str) -> ElementTree.Element:
    return ElementTree.fromstring(str(drawing))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-1.0, 1.0, [-1.0, -0.5, 0.0, 0.5, 1.0]),
        (0.0, 60.0, [0.0, 20.0, 40.0, 60.0]),
        (0.37, 0.92, [0.4, 0.6, 0.8]),
        (5.0, 5.0, [5.0]),
    ],
)
def test_ticks_are_round_and_inside(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_a_scale_maps_ends_to_ends_and_keeps_what_lies_outside_at_the_edge() -> None:
    scale = Scale(-1.0, 1.0, 100.0, 300.0)
    assert [scale(value) for value in (-1, 0, 0.5, 1, 7)] == [100.0, 200.0, 250.0, 300.0, 300.0]
    assert Scale(2.0, 2.0, 0.0, 10.0)(2.0) == 0.0


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (-0.0, "0"), (1.5, "1.5"), (3.0, "3"), (2 / 3, "0.67"), (-1e-9, "0")])
def test_coordinates_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_a_difference_sits_right_of_zero_when_it_is_positive() -> None:
    root = parsed(difference(Interval(0.2, 0.1, 0.3), 0.5, "better", "Refusal", "+20 points"))
    zero = float(root.find("line[@class='zero']").get("x1"))  # type: ignore[union-attr, arg-type]
    low, high = (float(root.find("line[@class='ci better']").get(end)) for end in ("x1", "x2"))  # type: ignore[union-attr, arg-type]
    mark = float(root.find("circle").get("cx"))  # type: ignore[union-attr, arg-type]
    assert zero < low < mark < high
    assert (mark - zero) / (high - zero) == pytest.approx(0.2 / 0.3, abs=0.01)


def test_status_has_a_shape_beside_its_colour() -> None:
    shapes = {status: parsed(difference(Interval(0.1, 0.0, 0.2), 1, status, "t", "d"))[-1].tag for status in ("better", "worse")}
    assert shapes == {"better": "circle", "worse": "rect"}


@pytest.mark.parametrize("text", MARKUP)
def test_titles_and_names_are_text(text: str) -> None:
    chart = parsed(line_chart([Series(text, [(0.0, 1.0), (1.0, 2.0)])], text, text, x_label=text))
    assert chart.find("title").text == text  # type: ignore[union-attr]
    assert chart.find("desc").text == text  # type: ignore[union-attr]
    assert {element.tag for element in chart.iter()} <= {"svg", "title", "desc", "line", "text", "polyline", "circle"}


def test_every_chart_has_a_role_a_title_and_a_description() -> None:
    for drawing in (
        dumbbell(Interval(0.1, 0.0, 0.2), Interval(0.5, 0.4, 0.6), 0, 1, "a", "b"),
        dumbbell(None, Interval(0.5, None, None), 0, 1, "a", "b"),
        difference(Interval(0.1, None, None), 1, "unclear", "a", "b", limit=0.05),
        line_chart([Series("x", [(1.0, 3.0)])], "a", "b", marks=[Mark(1.0, "brake", "brake at step 1")], percent=True),
    ):
        root = parsed(drawing)
        assert root.get("role") == "img"
        assert [root[0].tag, root[1].tag] == ["title", "desc"]


def test_the_same_numbers_give_the_same_bytes() -> None:
    points = [(float(step), 0.1 * step**0.5) for step in range(50)]
    assert line_chart([Series("x", points)], "a", "b") == line_chart([Series("x", list(points))], "a", "b")


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one point"):
        line_chart([Series("x", [])], "a", "b")


def places(*points: tuple[float, float]) -> list[Place]:
    return [Place(Interval(x, None, None), Interval(y, y - 0.1, y + 0.1), f"p{i}", "tuned", f"p{i}") for i, (x, y) in enumerate(points)]


def test_points_of_a_plane_stand_where_their_numbers_are() -> None:
    root = parsed(plane(Axis("x", 0, 1), Axis("y", 0, 1), places((0.0, 1.0), (1.0, 0.0)), "a", "b", arrows=True))
    marks = [(float(mark.get("cx", "")), float(mark.get("cy", ""))) for mark in root.iter("circle")]
    assert marks == [(46.0, 32.0), (340.0, 202.0)]
    assert [node.text for node in root.iter("title")] == ["a", "p0", "p1"]
    [arrow] = [line for line in root.iter("line") if line.get("class") == "arrow tuned"]
    assert (arrow.get("x1"), arrow.get("y1")) == ("46", "32")
    assert 320 < float(arrow.get("x2", "")) < 340


def test_points_that_coincide_have_no_arrow() -> None:
    drawing = plane(Axis("x", 0, 1), Axis("y", 0, 1), places((0.5, 0.5), (0.5, 0.5)), "a", "b", arrows=True)
    assert "polygon" not in drawing


def test_bars_are_as_high_as_their_counts() -> None:
    root = parsed(histogram([Bar(-1, 0, (("wrong", 2),)), Bar(0, 1, (("right", 8),))], "x", "a", "b"))
    wrong, right = (float(box.get("height", "")) for box in root.iter("rect"))
    assert right / wrong == pytest.approx(4, rel=0.01)


def test_shares_are_never_drawn_beyond_a_hundred_per_cent() -> None:
    assert ">110%<" not in line_chart([Series("x", [(1.0, 1.0), (2.0, 1.0)])], "a", "b", percent=True)


def test_marks_name_their_step_and_differ_in_shape() -> None:
    marks = [Mark(1.0, "brake", "brake: KL"), Mark(2.0, "warning", "warning: ratio"), Mark(3.0, "saved", "checkpoint at step 3")]
    root = parsed(line_chart([Series("x", [(1.0, 0.0), (3.0, 1.0)])], "a", "b", marks=marks))
    drawn = {line[0].text: float(line.get("y2", "")) - float(line.get("y1", "")) for line in root.iter("line") if len(line)}
    assert list(drawn) == ["brake: KL", "warning: ratio", "checkpoint at step 3"]
    assert drawn["brake: KL"] > drawn["warning: ratio"] > drawn["checkpoint at step 3"] > 0


def test_labels_of_near_points_do_not_cover_each_other() -> None:
    near = [Place(Interval(0.5 + 0.001 * i, None, None), Interval(0.5, None, None), f"p{i}", "final", f"step {i}, kept") for i in range(4)]
    root = parsed(plane(Axis("x", 0, 1), Axis("y", 0, 1), near, "a", "b"))
    heights = sorted(float(node.get("y", "")) for node in root.iter("text") if node.get("class") == "label")
    assert len(heights) == 4
    assert all(after - before > 12 for before, after in itertools.pairwise(heights))


def test_the_helper_stays_small() -> None:
    assert len((files("truenorth.reports") / "svg.py").read_text().splitlines()) <= 300
