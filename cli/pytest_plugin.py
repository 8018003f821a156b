"""The pytest plugin: `--align-*` options, the `align` fixture and the `alignment` mark.

    def test_over_refusal(align):
        align.run("benign").check("over_refusal_rate", max=0.10)

    @pytest.mark.alignment(suite="harmful", gate="refusal_rate", margin=0.05)
    def test_refusals_have_not_dropped(): ...

Inert unless an option, its environment variable or ini key, the mark or a fixture is used: it imports nothing but pytest and prints
nothing. One test is one gate on a suite, not one prompt. The work is done in `align/`, which is imported when it is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .align.options import add_options, given, header

if TYPE_CHECKING:
    from .align.facade import Align
    from .align.session import AlignSession

SESSION: pytest.StashKey[AlignSession] = pytest.StashKey()
TESTS: pytest.StashKey[list[str]] = pytest.StashKey()
"""Ids of the collected tests that may measure a model."""
DESELECTED = pytest.StashKey[int]()
ENDING = pytest.StashKey[Any]()
RECORDER = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options, each with its ini key."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark; where the plugin is active, look at the options before anything is collected."""
    config.addinivalue_line("markers", "alignment(suite=, gate=, margin=, direction=, ...): measures a model; select with -m alignment")
    config.stash[DESELECTED], config.stash[TESTS] = 0, []
    if not hasattr(config, "workerinput"):
        config.stash[RECORDER] = Recorder()
        config.pluginmanager.register(config.stash[RECORDER])
    if given(config):
        _check_options(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    """One line, where an option is used."""
    options = given(config)
    return header(options) if options else None


# -- collection


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per suite for those that take `align_suite`."""
    if "align_suite" in metafunc.fixturenames and not any(
        "align_suite" in str(m.args[0]) for m in metafunc.definition.iter_markers("parametrize")
    ):
        from .align.collection import parametrise

        parametrise(metafunc)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check marks; add what `--align-compare-fail` asks for."""
    if any(item.get_closest_marker("alignment") for item in items):
        from .align.collection import GateHooks, mark_fixtures

        mark_fixtures(items, strict=not hasattr(config, "workerinput"))
        config.pluginmanager.register(GateHooks())
    expressions = given(config).get("compare-fail")
    if expressions:
        from .align.compare_fail import CompareFail

        items += CompareFail.items(session, expressions)


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Count the tests that were left out: a session without them is partial."""
    config = items[0].config if items else None
    if config is not None:
        config.stash[DESELECTED] += sum(map(_measures, items))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Remember which tests may decide gates: the family of Holm's correction."""
    session.config.stash[TESTS] = [item.nodeid for item in session.items if _measures(item)]


def _measures(item: pytest.Item) -> bool:
    return "align" in getattr(item, "fixturenames", ()) or item.get_closest_marker("alignment") is not None


# -- fixtures


@pytest.fixture(scope="session")
def align_model(pytestconfig: pytest.Config) -> Any:
    """The model of `--align-model`, loaded when it is first used; override it in a conftest.py to give a model object of your own."""
    from .align.models import Opened

    return Opened(lambda: _session(pytestconfig).open(is_baseline=False))


@pytest.fixture(scope="session")
def align_baseline(pytestconfig: pytest.Config) -> Any:
    """The same for `--align-baseline`."""
    from .align.models import Opened

    return Opened(lambda: _session(pytestconfig).open(is_baseline=True))


@pytest.fixture(scope="session")
def align_reward_model(pytestconfig: pytest.Config) -> str | Path | None:
    """Folder of the reward model; override it in a conftest.py to give another than `--align-reward-model`."""
    return given(pytestconfig).get("reward-model")


@pytest.fixture(scope="session")
def align_session(pytestconfig: pytest.Config, align_model: Any, align_baseline: Any, align_reward_model: Any) -> AlignSession:
    """What all tests of a session share: loaded models and measured suites."""
    from .align.session import told

    with told():
        return _session(pytestconfig, align_model, align_baseline, align_reward_model)


@pytest.fixture
def align(request: pytest.FixtureRequest, align_session: AlignSession) -> Align:
    """Measures suites and checks gates; see `truenorth.cli.align.Align`."""
    from .align.facade import Align
    from .align.marker import declared

    node = request.node
    return Align(align_session, node.nodeid, node.path.parent, lambda row: node.user_properties.extend(row.properties()), declared(node))


def _session(config: pytest.Config, *given_objects: Any) -> AlignSession:
    """The session of this process, made when it is first needed."""
    if SESSION not in config.stash:
        from .align.session import AlignSession
        from .align.turns import Serving, Turns

        worker = getattr(config, "workerinput", {})
        uid = str(worker.get("testrunuid", ""))
        tests: list[str] = config.stash[TESTS]
        made = AlignSession(given(config), *given_objects, turns=lambda folder: Turns(folder, uid), tests=tests)
        config.stash[SESSION] = made
        config.pluginmanager.register(Serving(made.serve))
    return config.stash[SESSION]


# -- the end


class Recorder:
    """Keeps the reports that hold gates, on the process that the user sees."""

    def __init__(self) -> None:
        self.reports: list[pytest.TestReport] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a test's report."""
        if report.when == "call" and any(name == "align.outcome" for name, _ in report.user_properties):
            self.reports.append(report)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Correct over all gates, save the baseline, write the summary; on a worker, tell what was left out."""
    config = session.config
    output = getattr(config, "workeroutput", None)
    if output is not None:
        output["align_deselected"] = config.stash[DESELECTED]
        return
    reports, options = config.stash[RECORDER].reports, given(config)
    if reports or "save" in options:
        from .align.ending import Ending
        from .align.rows import rows_of

        rows = [row for report in reports for row in rows_of(report)]
        ending = Ending(options, rows, exit_status=int(exitstatus), deselected=config.stash[DESELECTED])
        session.exitstatus = ending.exit_status
        config.stash[ENDING] = ending


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """What a worker of pytest-xdist left out."""
    stash = node.config.stash
    stash[DESELECTED] = max(stash[DESELECTED], getattr(node, "workeroutput", {}).get("align_deselected", 0))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """One table of all gates, where there were any."""
    if ENDING in config.stash:
        config.stash[ENDING].show(terminalreporter)


def _check_options(config: pytest.Config) -> None:
    """Turn a mistake in the options into a usage error (exit 4) before anything runs."""
    from ..prompts.errors import InputError
    from .align.subject import make_align_subject

    try:
        make_align_subject(given(config))
    except InputError as error:
        raise pytest.UsageError(str(error)) from None
