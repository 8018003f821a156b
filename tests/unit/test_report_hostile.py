"""A report of hostile texts in every place where foreign text can stand: inert in every file."""

from __future__ import annotations

import csv
import io
import json
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hostile_report import hostile_report
from hostile_text import HOSTILE
from report_data import example_comparison, rendered
from truenorth.evals.safe_text import plain
from truenorth.evals.types import Comparison
from truenorth.reports.terminal import summary_table

TAGS = {
    "html", "head", "meta", "title", "style", "body", "svg", "symbol", "path", "use", "a", "header", "p", "span", "main",
    "section", "div", "h1", "h2", "h3", "strong", "details", "summary", "blockquote", "nav", "ul", "li", "table", "caption",
    "thead", "tbody", "tr", "th", "td", "code", "dl", "dt", "dd", "article", "rect", "circle", "line", "polyline", "polygon", "g",
    "text", "desc", "figure", "figcaption", "mark", "pre", "footer", "script",
}  # fmt: skip


class Reader(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: set[str] = set()
        self.verdicts: list[str | None] = []
        self.scripts: list[str | None] = []
        self.comments = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name in ("href", "src", "action", "srcset", "data", "xlink:href"):
                self.links.add(value or "")
            if name == "data-verdict":
                self.verdicts.append(value)
        if tag == "script":
            self.scripts.append(dict(attrs).get("type"))

    def handle_comment(self, data: str) -> None:
        self.comments += 1


PICKED = {
    "markup": "<img src=x onerror=alert(1)>",
    "script": "</script><script>alert(1)</script>",
    "attribute": "' onfocus='alert(1)' autofocus='",
    "surrogate": "\ud800 lone high",
    "link": "https://example.invalid and www.example.invalid @octocat _x_",
    "fence": "```\nout of the fence",
}


@pytest.fixture(scope="module", params=sorted(PICKED))
def files(request: pytest.FixtureRequest) -> dict[str, str]:
    return rendered(hostile_report(PICKED[request.param]))


def test_the_page_has_only_our_tags_and_no_handler_or_foreign_link(files: dict[str, str]) -> None:
    page = Reader()
    page.feed(files["report.html"])
    assert page.tags <= TAGS
    assert not [name for name in page.attributes if name.startswith("on") or name in ("style", "srcdoc", "autofocus", "src")]
    assert all(link.startswith("#") for link in page.links)
    assert len(page.verdicts) == 1
    assert page.scripts in ([None], ["application/json", None])
    assert page.comments == 0


def test_every_file_is_utf_8_without_control_characters(files: dict[str, str]) -> None:
    for name, content in files.items():
        content.encode("utf-8")
        assert not [c for c in content if ord(c) < 32 and c not in "\n\t"], name


def test_no_script_can_be_closed_from_its_data(files: dict[str, str]) -> None:
    html = files["report.html"]
    start = html.find('<script type="application/json"')
    if start >= 0:
        body = html[html.index(">", start) + 1 : html.index("</script>", start)]
        assert not set(body) & set("<>&'")
        assert isinstance(json.loads(body), list)


def test_cells_are_inert_and_numbers_stay_numbers(files: dict[str, str]) -> None:
    for name in ("metrics.csv", "gates.csv", "samples.csv"):
        rows = list(csv.DictReader(io.StringIO(files[name], newline="")))
        assert rows
        for row in rows:
            assert None not in row
            for column, cell in row.items():
                if cell and cell[0] in "=+-@\t\r\0":
                    float(cell)
                    assert column in {"value", "ci_low", "ci_high", "threshold", "margin", "reward", "kl", "baseline_value"} | {
                        "delta", "delta_ci_low", "delta_ci_high"
                    }  # fmt: skip


def test_json_and_junit_can_be_read(files: dict[str, str]) -> None:
    assert json.loads(files["results.json"])["schema_version"] == 1
    assert ElementTree.fromstring(files["junit.xml"]).tag == "testsuites"


def test_markdown_is_neutral(files: dict[str, str]) -> None:
    markdown_it = pytest.importorskip("markdown_it")
    tokens = markdown_it.MarkdownIt("commonmark").enable("table").parse(files["summary.md"])
    kinds = {token.type for token in tokens} | {child.type for token in tokens for child in token.children or ()}
    assert not kinds & {"html_block", "html_inline", "link_open", "image"}
    texts = [child.content for token in tokens for child in token.children or () if child.type == "text"]
    assert not [text for text in texts if "@" in text or "://" in text or "www." in text or "<" in text]


def test_samples_hold_every_text() -> None:
    rows = csv.DictReader(io.StringIO(rendered(hostile_report(PICKED["markup"]))["samples.csv"], newline=""))
    found = {row["response"].removeprefix("'") for row in rows}
    assert {plain(text).removeprefix("'") for text in HOSTILE} <= found


@pytest.mark.parametrize("text", PICKED.values(), ids=PICKED)
def test_the_terminal_gets_plain_lines_that_fit(text: str) -> None:
    for line in summary_table(hostile_report(text).comparison).split("\n"):
        assert line.isascii()
        assert line == "" or line.isprintable()
        assert len(line) <= 80


def test_an_ordinary_comparison_fits_the_terminal() -> None:
    comparison: Comparison = example_comparison()
    lines = summary_table(comparison).split("\n")
    assert max(map(len, lines)) <= 80
    assert lines[-1] == f"Verdict: {comparison.verdict.upper()}"
