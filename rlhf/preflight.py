"""What can be wrong with a PPO run before it starts, and what makes a run that run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..evals.models.hf import TransformersModel
from ..prompts.errors import InputError
from ..prompts.files import sha256_bytes, to_json
from ..prompts.types import Prompt
from .config import NOT_IN_THE_NUMBERS, PPOSettings
from .rewards import RewardScale
from .schedule import exact_div


def check_settings(settings: PPOSettings, scale: RewardScale, *, validates: bool, processes: int) -> None:
    """Refuse settings that contradict each other.

    Args:
        settings: the recipe.
        scale: of the reward model.
        validates: whether there is a validation function.
        processes: that share the rows of an optimizer step.

    Raises:
        InputError: they do.
    """
    rows = exact_div(settings.rollout_batch_size, settings.minibatches, "ppo.minibatches", "ppo.rollout_batch_size")
    if rows % processes:
        raise InputError(
            f"{processes} processes can't share the {rows} rows of an optimizer step evenly",
            field="ppo.rollout_batch_size", advice=f"Make ppo.rollout_batch_size / ppo.minibatches a multiple of {processes}.",
        )  # fmt: skip
    if settings.shard_base and processes == 1:
        raise InputError(
            "there are no other processes to split the base over", field="ppo.shard_base", advice="Start several with torchrun."
        )
    if settings.normalize_reward and not scale.scale > 0:
        raise InputError(f"the reward model's scores have a deviation of {scale.scale}: it tells no two responses apart")
    if settings.select == "best_validation" and not (validates and settings.validate_every):
        raise InputError("ppo.select=best_validation needs ppo.validate_every of at least 1", field="ppo.validate_every")
    if settings.old_logprobs == "first_pass" and settings.ppo_epochs * settings.minibatches > 1:
        raise InputError(
            f"ppo.old_logprobs 'first_pass' needs one optimizer step per rollout, not {settings.ppo_epochs * settings.minibatches}",
            field="ppo.old_logprobs", advice="Set ppo.ppo_epochs and ppo.minibatches to 1, or use 'recompute'.",
        )  # fmt: skip
    if settings.kl_target is not None and not settings.kl_coef > 0:
        raise InputError("ppo.kl_target needs a ppo.kl_coef above 0: it only ever multiplies it", field="ppo.kl_coef")


def run_identity(
    model: TransformersModel,
    prompts: Sequence[Prompt],
    settings: PPOSettings,
    scale: RewardScale,
    seed: int,
    *,
    reward: object,
    reference: str | None,
) -> dict[str, str]:
    """Digests of all that determines a run's numbers; how many processes share the work does not."""
    card = model.card(None)
    return {
        "seed": str(seed),
        "settings": sha256_bytes(to_json(_determining(settings)).encode()),
        "prompts": sha256_bytes(to_json([[m.content for m in p.messages] for p in prompts]).encode()),
        "model": card.model_sha256,
        "reward_model": card.reward_model_sha256,
        **({} if reward is None else {"reward": _name(reward)}),
        **({} if reference is None else {"reference": model.card(reference).adapter_sha256}),
        "reward_scale": repr(scale),
        "precision": card.dtype,
    }


def _determining(settings: PPOSettings) -> dict[str, object]:
    ours = {"rollout_engine"} if settings.rollout_engine == "transformers" else set()  # another engine draws other tokens
    return settings.model_dump(mode="json", exclude=NOT_IN_THE_NUMBERS | {"reference_adapter"} | ours)


def _name(function: object) -> str:
    kind = function if isinstance(function, Callable) and hasattr(function, "__qualname__") else type(function)  # type: ignore[arg-type]
    return f"{kind.__module__}.{kind.__qualname__}"  # type: ignore[attr-defined]
