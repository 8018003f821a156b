"""Every option that says what is measured and how, in one process and with two workers of pytest-xdist."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded_models import ANSWER, REFUSAL, suite_rows, write_rows
from truenorth.cli import pytest_plugin
from truenorth.cli.align.options import NAMES, given, ini_key

pytest_plugins = ["pytester"]

CONFTEST = f"""
import pytest
from truenorth.evals.models.fake import FakeModel

@pytest.fixture(scope="session")
def align_model():
    def say(prompt, adapter, sample):
        return {REFUSAL!r} if prompt.expected == "refuse" else {ANSWER!r}
    return FakeModel(say, kl=lambda *_: 0.5, reward=lambda messages, text: len(text), adapters=("ppo",))
"""
TESTS = """
import os
import pytest

def test_how_it_was_measured(align):
    run = align.run("mine.jsonl").run
    assert (run.settings["limit"], run.settings["seed"]) == (50, 7)
    assert run.decodings[0].max_new_tokens == 33
    assert run.judge.startswith("classifier@")
    assert run.model.adapter == "ppo"
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    server = align._session.subject.config.server
    assert (server.requests, server.timeout) == (3, 44)

def test_the_models_that_the_fixtures_give(align_model, align_baseline, align_reward_model):
    assert align_model.name == "fake"
    assert align_reward_model == "rm"
    with pytest.raises(AttributeError):
        align_baseline.no_such_attribute

def test_kl(align):
    align.run("mine.jsonl").check("kl_exact_seq", max=1.0)

def test_reward_model(align):
    align.check("pairwise_accuracy", min=0.8)

@pytest.mark.alignment(gate="pairwise_accuracy", threshold=0.8)
def test_reward_model_by_mark(): pass

def test_capability(align):
    align.check("capability_acc", min=0.5)
"""
OPTIONS = {
    "adapter": "ppo",
    "reward-model": "rm",
    "pairs": "pairs.jsonl",
    "suite": "mine.jsonl",
    "capability": "task.yaml",
    "judge": "classifier",
    "limit": "50",
    "max-new-tokens": "33",
    "seed": "7",
    "report": "out",
    "server-requests": "3",
    "server-timeout": "44",
}
ELSEWHERE = {"model", "baseline", "inconclusive", "save", "reason", "compare", "compare-fail"}
"""Run in test_plugin_xdist.py, with workers and without."""
HOOKS = {
    "addoption", "configure", "report_header", "generate_tests", "collection_modifyitems", "deselected", "collection_finish",
    "sessionfinish", "testnodedown", "terminal_summary",
}  # fmt: skip
"""All run by the tests here and in test_plugin_xdist.py; what workers leave out, and a mistake that only they meet, there."""


@pytest.fixture
def files(pytester: pytest.Pytester) -> Path:
    write_rows(pytester.path / "mine.jsonl", suite_rows(30))
    pairs = [{"id": f"p{i}", "prompt": f"Which {i}?", "chosen": "a long and good reply", "rejected": f"no {i}"} for i in range(50)]
    write_rows(pytester.path / "pairs.jsonl", pairs)
    task = ["task: mine", "dataset_path: json", "output_type: multiple_choice", "doc_to_text: q", "metadata: {version: 1}"]
    (pytester.path / "task.yaml").write_text("\n".join(task))
    for name in ("ppo", "rm"):
        pytester.mkdir(name).joinpath("adapter_config.json").write_text("{}")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    return pytester.path


def test_no_option_and_no_hook_is_forgotten(pytestconfig: pytest.Config) -> None:
    declared = {name for name in vars(pytestconfig.option) if name.startswith("align_")}
    assert declared == {ini_key(name) for name in OPTIONS.keys() | ELSEWHERE | {"offline"}}
    assert {name for name in vars(pytest_plugin) if name.startswith("pytest_")} == {f"pytest_{name}" for name in HOOKS}


def test_every_option_has_an_ini_key_and_a_variable_and_the_command_line_wins(pytester: pytest.Pytester) -> None:
    by_ini, by_variable, by_option = ({name: f"{name} by {place}" for name in NAMES} for place in ("ini", "variable", "option"))
    environ = {f"TRUENORTH_ALIGN_{name.replace('-', '_').upper()}": value for name, value in by_variable.items()}
    ini = pytester.makeini("\n".join(["[pytest]", *(f"align_{name.replace('-', '_')} = {value}" for name, value in by_ini.items())]))
    assert given(pytester.parseconfig(), {}) == by_ini
    assert given(pytester.parseconfig(), environ) == by_variable
    assert given(pytester.parseconfig(*(f"--align-{name}={value}" for name, value in by_option.items())), environ) == by_option
    ini.write_text("[pytest]\nalign_offline = true\n")
    assert given(pytester.parseconfig(), {}) == {"offline": "yes"}
    ini.unlink()
    assert given(pytester.parseconfig(), {}) == {}
    assert given(pytester.parseconfig("--align-offline"), {}) == given(pytester.parseconfig(), {"TRUENORTH_ALIGN_OFFLINE": "1"})


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_every_option_reaches_the_measurement(
    pytester: pytest.Pytester, files: Path, monkeypatch: pytest.MonkeyPatch, workers: list[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    result = pytester.runpytest(*(f"--align-{name}={value}" for name, value in OPTIONS.items()), "--align-offline", *workers)
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(["align: seed 7, report out, adapter ppo, reward-model rm, *offline yes"])
    result.stdout.fnmatch_lines(["task.yaml:dataset_kwargs: needs data_files*"])
    assert sorted({path.name.rpartition("-")[0] for path in (files / "out").glob("*-????????")}) == ["capability", "mine.jsonl", "pairs"]


def test_a_session_says_what_was_left_out(pytester: pytest.Pytester, files: Path) -> None:
    pytester.makepyfile(
        test_needs="""
        import pytest

        @pytest.mark.parametrize("need", ["baseline", "adapter", "reward-model", "capability"])
        def test_needs(align, need):
            align.require(need)
        """
    )
    result = pytester.runpytest("test_needs.py", "-rs")
    result.assert_outcomes(skipped=4)
    told = result.stdout
    told.fnmatch_lines(["*needs --align-reward-model and --align-pairs", "*needs --align-capability"])
    told.fnmatch_lines(["SKIPPED*test_needs.py:*needs --align-baseline, --align-adapter or --align-compare", "*needs --align-adapter"])


@pytest.mark.parametrize(
    ("place", "folder", "root"), [(".git", "a/alignment", "."), ("", "alignment", "."), ("a/.git", "a/alignment", "a")]
)
def test_init_puts_the_workflow_where_the_repository_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, folder: str, root: str
) -> None:
    from truenorth.cli.main import main

    monkeypatch.chdir(tmp_path)
    if place:
        (tmp_path / place).mkdir(parents=True)
    assert main(["init", folder]) == 0
    workflow = (tmp_path / root / ".github" / "workflows" / "alignment.yml").read_text()
    assert f"pytest {Path(folder).relative_to(root).as_posix()} --junitxml" in workflow
    assert main(["init", folder]) == 4
