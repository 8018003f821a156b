"""report.html in a real browser: quiet, offline, usable without its script, readable at every width and in every colour scheme."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from chromium import Browser, find_axe
from hostile_report import hostile_report
from hostile_text import HOSTILE
from report_data import example_comparison, example_curves, example_manifest, rendered
from truenorth.evals.audit import audit
from truenorth.evals.judges import get_judge
from truenorth.reports.report import Report

SHOWN = "document.querySelectorAll('.rows > .flip').length"
COUNT = "document.querySelector('.count').textContent"


def choose(browser: Browser, label: str, value: str) -> None:
    """Pick an option of the filter with that label."""
    labels = "[...document.querySelectorAll('.tools label')]"
    field = f"{labels}.find((label) => label.firstChild.textContent === {json.dumps(label)}).querySelector('select')"
    browser.value(f"{{ const field = {field}; field.value = {json.dumps(value)}; field.dispatchEvent(new Event('change')); }}")


def search(browser: Browser, text: str) -> None:
    """Type into the search field."""
    field = "document.querySelector('.search input')"
    browser.value(f"{{ const field = {field}; field.value = {json.dumps(text)}; field.dispatchEvent(new Event('input')); }}")


def test_it_loads_nothing_and_says_nothing(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.requests == [page.as_uri()]
    assert browser.messages == []


def test_the_verdict_is_in_the_first_screen(browser: Browser, page: Path) -> None:
    browser.width(1280)
    browser.open(page)
    verdict = json.loads(page.with_name("results.json").read_text())["verdict"]
    assert browser.value("document.querySelector('[data-verdict]').dataset.verdict") == verdict
    for part in ("[data-verdict]", ".headline", ".gates-line", ".probe .question", ".probe .reply:last-child", ".answers .said"):
        assert browser.value(f"document.querySelector({json.dumps(part)}).getBoundingClientRect().bottom") < 900, part


def test_filters_and_search_count_what_they_show(browser: Browser, page: Path) -> None:
    browser.open(page)
    choose(browser, "What happened", "broken")
    choose(browser, "Suite", "borderline")
    kinds = browser.value("[...new Set([...document.querySelectorAll('.rows > .flip .tag')].map((tag) => tag.textContent))]")
    assert kinds == ["Newly broken"]
    assert browser.value(COUNT).startswith(f"{browser.value(SHOWN)} of ")
    search(browser, "no such words anywhere")
    assert browser.value(SHOWN) == 0
    assert browser.value(COUNT) == "0 of 0 shown."


def test_a_regular_expression_searches_and_a_wrong_one_is_said(browser: Browser, page: Path) -> None:
    browser.open(page)
    search(browser, "bread|kite")
    either = int(browser.value(COUNT).split(" of ")[1].split()[0])
    browser.value("document.querySelector('.check input').click()")
    both = int(browser.value(COUNT).split(" of ")[1].split()[0])
    assert either == 0 < both
    address = browser.value("location.hash")
    search(browser, "bread(")
    assert browser.value(COUNT) == "This regular expression can't be read."
    assert browser.value("document.querySelector('.search input').getAttribute('aria-invalid')") == "true"
    browser.open(page, address)
    browser.wait("document.querySelector('.check input').checked")
    assert browser.messages == []


def test_replies_on_which_judges_disagree_can_be_picked(browser: Browser, page: Path) -> None:
    browser.open(page)
    choose(browser, "Judges", "disagree")
    said = "[...document.querySelectorAll('.rows > .flip')].slice(0, 20).map((row) => row.textContent.includes('classifier@2: refuses'))"
    assert browser.value(said) == [True] * len(browser.value(said)) != []


def test_show_more_goes_to_the_end(browser: Browser, page: Path) -> None:
    browser.open(page)
    total = int(browser.value("document.querySelector('.flips').dataset.total"))
    assert browser.value(SHOWN) == 50 < total
    browser.value("while (!document.querySelector('.flips > p.tools').hidden) document.querySelector('.flips > p.tools button').click()")
    assert browser.value(SHOWN) == total
    assert browser.value("new Set([...document.querySelectorAll('.rows > .flip')].map((flip) => flip.id)).size") == total


def test_a_permalink_opens_its_row_even_beyond_the_first_fifty(browser: Browser, page: Path) -> None:
    browser.open(page)
    last = browser.value("JSON.parse(document.querySelector('script.more').textContent).at(-1).id")
    browser.open(page, f"#f-{last}")
    browser.wait(f"document.getElementById('f-{last}')?.open")
    assert abs(browser.value(f"document.getElementById('f-{last}').getBoundingClientRect().top")) < 900
    assert browser.value("document.activeElement.tagName") == "SUMMARY"


def test_rows_drawn_by_the_script_equal_those_in_the_page(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    for in_page in (40, 3):
        monkeypatch.setattr("truenorth.reports.html.STATIC_FLIPS", in_page)
        path = tmp_path / f"{in_page}.html"
        path.write_text(rendered(hostile_report("\u202eevil\u202c"))["report.html"], encoding="utf-8")
        browser.open(path)
        shown.append(browser.value(FLIP_SHAPES)[:40])
    assert len(shown[0]) == 40
    assert shown[0] == shown[1]


def test_without_script_fifty_flips_are_there_and_can_be_opened(browser: Browser, page: Path) -> None:
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page)
        assert browser.value(SHOWN) == 50
        assert browser.value("document.querySelectorAll('.tools').length") == 0
        assert browser.value("document.querySelector('[data-verdict]').textContent") != ""
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_it_reflows_without_scrolling_sideways(browser: Browser, page: Path, width: int) -> None:
    browser.width(width)
    browser.open(page)
    browser.value("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    assert browser.value("document.documentElement.scrollWidth") <= width
    browser.width(1280)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(browser: Browser, page: Path, scheme: str) -> None:
    browser.media(prefers_color_scheme=scheme)
    browser.open(page)
    faint = browser.value(CONTRAST)
    browser.media()
    assert faint == []


def test_hostile_texts_do_nothing(browser: Browser, tmp_path: Path) -> None:
    for number, text in enumerate(("<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "\u202eevil\u202c")):
        path = tmp_path / f"{number}.html"
        path.write_text(rendered(hostile_report(text))["report.html"], encoding="utf-8")
        browser.open(path)
        browser.value("document.querySelectorAll('.flips > p.tools button').forEach((button) => { button.click(); button.click(); })")
        browser.value("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
        assert browser.requests == [path.as_uri()]
        assert browser.messages == []
        assert browser.value("document.querySelectorAll('img, iframe, object, embed, link, base, form:not(.tools)').length") == 0
        assert browser.value("document.documentElement.scrollWidth <= innerWidth") is True
    assert len(HOSTILE) >= 100


def test_a_report_without_flips_has_no_errors(browser: Browser, tmp_path: Path) -> None:
    report = Report(example_comparison(gates=()), example_manifest(), "example", example_curves())
    path = tmp_path / "report.html"
    path.write_text(rendered(report)["report.html"], encoding="utf-8")
    browser.open(path)
    assert browser.messages == []


def test_labels_are_saved_as_csv_that_can_be_joined_and_audited(browser: Browser, page: Path, tmp_path: Path) -> None:
    browser.open(page)
    browser.value(
        "{ const make = URL.createObjectURL.bind(URL); URL.createObjectURL = (blob) => { window.saved = blob; return make(blob); } }"
    )
    browser.send("Page.setDownloadBehavior", behavior="deny")
    assert browser.value("document.querySelector('.export').disabled") is True
    choose_label = "(box, value) => { box.value = value; box.dispatchEvent(new Event('change')); }"
    browser.value(f"[...document.querySelectorAll('.side .label select')].slice(0, 3).forEach((box) => ({choose_label})(box, 'partial'))")
    browser.value(f"({choose_label})(document.querySelectorAll('.side .label select')[2], '')")
    assert browser.value("document.querySelector('.export').textContent") == "Save 2 labels as CSV"
    browser.value("document.querySelector('.export').click()")
    labels = list(csv.DictReader(io.StringIO(browser.value("saved.text()"), newline="")))
    assert [row["label"] for row in labels] == ["partial", "partial"]
    samples = list(csv.DictReader(io.StringIO(page.with_name("samples.csv").read_text(), newline="")))
    keys = ("suite", "id", "decoding", "sample", "model", "outcome")
    assert {tuple(row[key] for key in keys) for row in labels} <= {tuple(row[key] for key in keys) for row in samples}
    path = tmp_path / "labels.csv"
    path.write_text(browser.value("saved.text()"), newline="")
    rows = [row for row in labels if row["response"]]
    assert {(row["prompt"], row["response"]) for row in rows} <= {(row["prompt"], row["response"]) for row in samples}
    card = audit([path], get_judge("keyword")).total.card
    assert card.n + card.n_invalid == len(labels)
    assert labels[0]["row"] == browser.value("document.querySelector('.rows > .flip').id.slice(2)")
    assert browser.messages == []


def test_filters_stand_in_the_address(browser: Browser, page: Path) -> None:
    browser.open(page)
    choose(browser, "What happened", "fixed")
    choose(browser, "Suite", "harmful")
    address, count = browser.value("location.hash"), browser.value(COUNT)
    browser.open(page, address)
    browser.wait(f"{COUNT} === {json.dumps(count)}")
    assert browser.value("document.querySelector('.tools select').value") == "fixed"


def test_colours_can_be_turned_over(browser: Browser, page: Path) -> None:
    browser.media(prefers_color_scheme="light")
    browser.open(page)
    before = browser.value("getComputedStyle(document.body).backgroundColor")
    browser.value("document.querySelector('.theme').click()")
    turned = browser.value("getComputedStyle(document.body).backgroundColor")
    browser.media(prefers_color_scheme="dark")
    browser.open(page)
    assert browser.value("getComputedStyle(document.body).backgroundColor") == turned != before
    browser.media()


def test_the_keyboard_reaches_and_opens_everything(browser: Browser, page: Path) -> None:
    browser.open(page)
    order = []
    for _ in range(12):
        browser.send("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        browser.send("Input.dispatchKeyEvent", type="keyUp", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        order.append(browser.value("document.activeElement.className || document.activeElement.localName"))
    assert order[:2] == ["skip", "theme"]
    assert "body" not in order
    browser.value("document.querySelectorAll('.flip')[5].querySelector('summary').focus()")
    for kind in ("keyDown", "keyUp"):
        browser.send("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    assert browser.value("document.querySelectorAll('.flip')[5].open") is True
    assert browser.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser: Browser, page: Path, scheme: str) -> None:
    axe = find_axe()
    if axe is None:
        pytest.skip("no axe-core on this machine (pip install axe-core-python, or set TRUENORTH_AXE to axe.min.js)")
    browser.media(prefers_color_scheme=scheme)
    browser.open(page)
    browser.value("document.querySelectorAll('details.fold').forEach((fold) => { fold.open = true; })")
    browser.value(f"{axe.read_text(encoding='utf-8')};0")
    found = browser.value(
        "axe.run(document, { resultTypes: ['violations'] }).then((all) => all.violations.map((one) => [one.impact, one.id]))"
    )
    browser.media()
    assert [fault for fault in found if fault[0] in ("serious", "critical")] == []


FLIP_SHAPES = """[...document.querySelectorAll('.rows > .flip')].map((flip) => [
  flip.id,
  flip.textContent.replace(/\\s+/g, ''),
  [...flip.querySelectorAll('*')].map((part) => `${part.localName}.${part.getAttribute('class') || ''}`).join(' '),
])"""

CONTRAST = """(() => {
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return { r, g, b, a }; };
  const light = ({ r, g, b }) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const color = parse(getComputedStyle(node).backgroundColor);
      if (color.a > 0) return color;
    }
    return { r: 255, g: 255, b: 255 };
  };
  const faint = new Set();
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || !node.checkVisibility() || node.closest('script, style')) continue;
    const style = getComputedStyle(node);
    const ink = parse(node.closest('svg') ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) faint.add(`${node.localName}.${node.getAttribute('class') || ''} ${ratio.toFixed(2)}`);
  }
  return [...faint];
})()"""
