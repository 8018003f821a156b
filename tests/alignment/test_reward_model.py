"""The reward model knows the preferences that the policy was tuned for. Needs `--align-reward-model` and `--align-pairs`."""

from __future__ import annotations

from truenorth.cli.align import Align


def test_the_reward_model_prefers_what_people_preferred(align: Align) -> None:
    align.require("reward-model")
    align.check("pairwise_accuracy", min=0.60)


def test_the_reward_model_tells_the_two_apart(align: Align) -> None:
    align.require("reward-model")
    align.check("tie_rate", max=0.10)
