"""Which earlier states of a policy are measured, and under which names."""

import pytest
from truenorth.cli.config import load_config
from truenorth.cli.labels import checkpoint_labels as labels_of
from truenorth.cli.pipeline import adapter_name, checkpoint_labels, policy_folder
from truenorth.cli.scorers import load_scorers
from truenorth.cli.subject import is_adapter_folder, make_subject
from truenorth.prompts.errors import InputError


def config(steps, every, n):
    return load_config("tiny", [f"ppo.steps={steps}", f"ppo.publish_every={every}", f"eval.checkpoints={n}"])


def adapter(folder):
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("steps", "every", "n", "found"),
    [
        (30, 5, 9, [5, 10, 15, 20, 25]),  # the last step is the policy itself
        (30, 5, 2, [10, 25]),
        (30, 5, 3, [10, 15, 25]),
        (30, 10, 1, [20]),
        (4, 10, 3, []),
        (30, 5, 0, []),
    ],
)
def test_checkpoints_are_spread_evenly_and_hold_the_latest(steps, every, n, found):
    assert list(checkpoint_labels(config(steps, every, n))) == [f"ppo@{step}" for step in found]


def test_checkpoints_need_published_policies():
    with pytest.raises(InputError, match=r"needs ppo\.publish_every"):
        config(30, 0, 3)


def test_a_label_names_folder_and_adapter(tmp_path):
    assert policy_folder(tmp_path, "ppo@200") == tmp_path / "ppo_checkpoints/policies/step-000200"
    assert adapter_name("ppo@200") == "ppo-200"


def test_checkpoints_on_the_command_line_are_states_of_the_one_adapter(tmp_path):
    final = adapter(tmp_path / "final")
    later, sooner = adapter(tmp_path / "step-000020"), adapter(tmp_path / "step-000003")
    assert labels_of([later, sooner], [final]) == {"final@3": sooner, "final@20": later}
    subject = make_subject(model="tiny", adapters=[final], checkpoints=[later])
    assert (subject.candidates, list(subject.checkpoints)) == (("final",), ["final@20"])


def test_wrong_checkpoints_are_told(tmp_path):
    final, step = adapter(tmp_path / "final"), adapter(tmp_path / "step-1")
    same, unnamed = adapter(tmp_path / "other/step-01"), adapter(tmp_path / "best")
    for folders, adapters, told in (
        ([step], [], "a state of an adapter"),
        ([step, same], [final], "the same step"),
        ([unnamed], [final], "names no step"),
        ([tmp_path / "step-9"], [final], "no adapter folder"),
    ):
        with pytest.raises(InputError, match=told):
            labels_of(folders, adapters)


def test_a_reward_model_is_an_adapter_or_a_whole_model(tmp_path):
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "config.json").write_text("{}")
    kept = make_subject(model="tiny", reward_model=adapter(tmp_path / "rm"), pairs=["tiny-pairs"])
    assert (kept.reward_model, kept.config.eval.reward_model) == (tmp_path / "rm", "")
    other = make_subject(model="tiny", reward_model=whole, pairs=["tiny-pairs"])
    assert (other.reward_model, other.config.eval.reward_model) == (None, str(whole))
    assert is_adapter_folder(tmp_path / "none/at/all")


def test_a_win_has_one_judge():
    settings = ["eval.independent_reward_model=/rm", "eval.comparer='openai:m@http://127.0.0.1:1/v1'"]
    with pytest.raises(InputError, match="both decide win_rate"):
        load_scorers(load_config("tiny", settings), None)
