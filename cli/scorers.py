"""Who scores besides the model: another reward model, one that was not trained against, a judge that compares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..prompts.errors import InputError
from .config import RunConfig

if TYPE_CHECKING:
    from ..evals.models.reward import LoadedRewardModel


def load_scorers(config: RunConfig, model: Any) -> dict[str, Any]:
    """Arguments of `evaluate`: `reward_model`, `independent` and `comparer`, where `config.eval` names them.

    Args:
        config: names them.
        model: the loaded model, whose base carries a reward adapter.

    Raises:
        InputError: one can't be loaded, or both are named: `win_rate` has one source.
    """
    independent, comparer = config.eval.independent_reward_model, config.eval.comparer
    if independent and comparer:
        raise InputError("independent_reward_model and comparer both decide win_rate", field="eval", advice="Give one of them.")
    found: dict[str, Any] = {}
    if config.eval.reward_model:
        found["reward_model"] = load_reward(config.eval.reward_model, config, model)
    if independent:
        found["independent"] = load_reward(independent, config, model)
    if comparer:
        from ..evals.judges.pairwise import get_comparer

        found["comparer"] = get_comparer(comparer)
    return found


def load_reward(place: str, config: RunConfig, model: Any) -> LoadedRewardModel:
    """A reward model beside the loaded model's own.

    Raises:
        InputError: it can't be loaded, or the model is no transformers model.
    """
    from ..evals.models.hf import TransformersModel
    from ..evals.models.reward import load_reward_model

    if not isinstance(model, TransformersModel):
        raise InputError(f"reward model {place!r} needs a loaded model")
    return load_reward_model(place, model, dtype=config.model.dtype, batch_tokens=config.eval.batch_tokens)
