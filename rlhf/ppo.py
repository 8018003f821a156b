"""PPO for language models: sample, score, compare with the reference, estimate advantages, update; again.

The loop is `PPOTrainer.train`; its numbered steps are `rollout` and `step`, which can be called one by one. The maths is in pure
modules (`advantages`, `losses`, `rewards`, `kl_control`, `guards`, `schedule`), the optimizer steps in `update`. Policy, reference, reward
model and, where it has an adapter of its own, value function are one base in memory. Rewards are given per token (k1 penalty) and at the
last response token (score). Several processes share the rows of each batch (`processes`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from ..evals.models.batching import Item, length_mask
from ..evals.models.hf import TransformersModel, prompt_key
from ..evals.sampling import SampleKey
from ..prompts.errors import InputError
from ..prompts.types import Prompt
from .advantages import gae, masked_whiten
from .checkpoints import Checkpoints, PPOState
from .config import PPOSettings
from .guards import brake, count, raised
from .interrupts import deferred_interrupts
from .kl_control import next_kl_coef
from .learner import POLICY, Learner
from .logs import TimingLog, read_step_log
from .observe import observe
from .policy_folder import publish_policy
from .ppo_metrics import UPDATE_COLUMNS, Row, rollout_metrics
from .preflight import check_settings, run_identity
from .processes import Processes, accelerator_for
from .records import Records
from .rewards import AS_IT_IS, RewardScale, shape_scores, token_rewards
from .rollout import Rollout
from .schedule import learning_rate_scale, prompt_indices
from .sharding import equal_chunks, shard_base
from .update import Experience, Updater
from .vllm_rollouts import VLLMRollouts, check_vllm

MAX_SKIPPED = 3
RewardFunction = Callable[[Sequence[Prompt], Sequence[str]], Sequence[float]]
"""(prompts, responses) -> one score each, higher is better. The same arguments must give the same scores, or a resume differs."""
Validate = Callable[[TransformersModel, int], float]
"""(model, steps done) -> a number, higher is better; the policy is the adapter `default`."""


@dataclass(frozen=True, slots=True)
class PPOResult:
    """How training ended."""

    policy: Path
    steps: int
    """Steps done."""
    selected_step: int
    """The state that was saved, counted in steps done."""
    brake: str
    first: Mapping[str, float | str | None]
    last: Mapping[str, float | str | None]
    """First and last row of train/ppo.csv."""


class PPOTrainer:
    """Trains a LoRA policy against a model's own reward head or a function.

    Args:
        model: the base, with a reward model unless `reward` is given; the policy becomes its adapter `default`.
        prompts: what to answer; walked in seeded permutations.
        settings: the recipe.
        out: run folder: `train/`, `ppo_checkpoints/`, `ppo_policy_model/`.
        seed: determines the adapter's start, prompt order and every sampled token.
        reward: scores responses instead of the reward model.
        reward_scale: location and scale of the scores, from the reward model's card.
        reference: adapter of `model` that is the frozen reference and the policy's start; None: the base with adapters off.
        validate: called every `validate_every` steps and after the last.
        accelerator: accelerate's, e.g. with trackers; by default one is made for the model's device.
        progress: show a progress bar on stderr.

    Raises:
        InputError: no prompts, one that is too long, settings that don't divide, a reward model without spread, another number of
            processes than was launched, or vLLM where it is not installed or can't be used.
    """

    def __init__(
        self,
        model: TransformersModel,
        prompts: Sequence[Prompt],
        settings: PPOSettings,
        *,
        out: Path,
        seed: int,
        reward: RewardFunction | None = None,
        reward_scale: RewardScale = AS_IT_IS,
        reference: str | None = None,
        validate: Validate | None = None,
        accelerator: Accelerator | None = None,
        progress: bool = True,
    ) -> None:
        if not prompts:
            raise InputError("no prompts to train on")
        if reward is None and model.reward_file is None:
            raise InputError("nothing scores the responses", advice="Load the model with a reward model, or give reward=.")
        self.processes = Processes(accelerator or accelerator_for(model.base.device, settings.report_to, out))
        check_settings(settings, reward_scale, validates=validate is not None, processes=self.processes.world)
        by_vllm = settings.rollout_engine == "vllm"
        if by_vllm:
            check_vllm(settings, model, processes=self.processes.world)
        self.model, self.prompts, self.settings, self.out, self.seed = model, tuple(prompts), settings, out, seed
        self.reward, self.reward_scale, self.validate, self.progress = reward, reward_scale, validate, progress
        self._tokens = [tuple(row) for row in model.prompt_tokens(self.prompts, settings.max_new_tokens)]
        scale = reward_scale if settings.normalize_reward else RewardScale(reward_scale.shift)
        self.learner = Learner(model, settings, seed, scale, reference=reference)
        if settings.shard_base:
            shard_base(model, self.processes.accelerator.device)
        self.updater = Updater(model, self.learner, settings, self.processes, seed)
        self.engine = VLLMRollouts(self.learner, max(map(len, self._tokens))) if by_vllm else None
        self.state = PPOState()
        self._timing = TimingLog(out / "train" / "timing.csv" if self.processes.main else None, "ppo")

    # -- the loop

    def train(self) -> PPOResult:
        """Run all steps, log them, and publish the policy; goes on from the newest checkpoint in `out`, bit for bit.

        Raises:
            InputError: the checkpoint is damaged or of another run, or the processes were not given the same run.
            KeyboardInterrupt: Ctrl-C or SIGTERM came to any process; the step was finished and saved.
            ValueError: steps were taken by hand before; go on by hand.
        """
        if self.state.step:
            raise ValueError(f"{self.state.step} steps were taken by hand: go on with rollout() and step(), or make a new trainer")
        settings, processes = self.settings, self.processes
        identity = run_identity(
            self.model, self.prompts, settings, self.reward_scale, self.seed, reward=self.reward, reference=self.learner.reference
        )
        checkpoints = Checkpoints(self.out / "ppo_checkpoints", identity, writes=processes.main)
        self.state = checkpoints.resume(self.learner)
        processes.agree(identity | {"checkpoint": repr(self.state)})
        records = Records(self.out, self.model, processes, settings, keep=self.state.step, progress=self.progress)
        with records, deferred_interrupts() as interrupt:
            while not self._is_over():
                rollout = self.rollout()
                row = self.step(rollout)
                row["validation/score"] = self._look_at_validation(checkpoints, float(row["objective/kl"] or 0))
                records.append(row, rollout if self._is_due(10) or self.state.step == 1 else None)
                self._keep_policy()
                stop = processes.any(interrupt.requested)
                if self._is_due(settings.save_every) or stop:
                    checkpoints.save(self.learner, self.state)
                if stop and not self._is_over():
                    raise KeyboardInterrupt
        return self._publish(checkpoints)

    def rollout(self) -> Rollout:
        """Sample a batch of responses and look at them with every role. Steps 1 to 4 of an iteration; nothing is trained."""
        settings, step, processes = self.settings, self.state.step, self.processes
        # 1. Prompts of this step; each process works on its share of the rows.
        indices = self._prompt_indices(step)
        prompts, tokens = tuple(self.prompts[i] for i in indices), [self._tokens[i] for i in indices]
        mine = processes.share(range(len(indices)))
        # 2. Responses of the policy; each row has its own random numbers.
        with self._timing.measure(step, "generate"):
            keys = self._sample_keys(tokens)
            drawn, engine_logprobs = self._draw(mine, tokens, keys)
            responses = processes.gather_responses(drawn, settings.max_new_tokens)
        items = tuple(zip(tokens, responses, strict=True))
        mask = length_mask([len(response) for response in responses])
        # 3. Log-probabilities and values of the policy, log-probabilities of the reference, in the groups that the update will use.
        with self._timing.measure(step, "logprobs"):
            groups = [group for rows in self.updater.minibatches(step, 0) for group in self.updater.groups(rows, items)]
            seen = observe(self.model, self.learner, items, groups, temperature=settings.temperature, width=mask.shape[1])
            logprobs, ref_logprobs, entropy, values = processes.gather_rows(seen[mine]).unbind(1)
        # 4. Scores of the whole responses.
        with self._timing.measure(step, "score"):
            scores = processes.gather_rows(torch.tensor(self._scores(mine, prompts, items), dtype=torch.float32))
        ended = torch.tensor([response[-1] == self.model.template.eos for response in responses])
        return Rollout(step, prompts, items, mask, ended, logprobs, ref_logprobs, entropy, values, scores, engine_logprobs)

    def step(self, rollout: Rollout) -> Row:
        """Update the policy and the value head on a rollout. Steps 5 to 8 of an iteration.

        Returns:
            The row of train/ppo.csv, without `validation/score`.
        """
        settings, step = self.settings, self.state.step
        # 5. Rewards per token: the penalty everywhere, the score at the end.
        scores = self._shaped(rollout)
        in_reward = settings.kl_placement == "reward"
        rewards = token_rewards(scores, rollout.k1, rollout.mask, self.kl_coef if in_reward else 0.0)
        # 6. Advantages over the whole batch; returns are taken before whitening.
        advantages, returns = gae(rewards, rollout.values, rollout.mask, gamma=settings.gamma, lam=settings.lam)
        experience = Experience(rollout, masked_whiten(advantages, rollout.mask), returns, self.kl_coef)
        row: Row = {"step": step + 1, "episode": (step + 1) * settings.rollout_batch_size}
        row |= rollout_metrics(rollout, scores, returns, self.kl_coef, penalty=in_reward)
        # 7. Update, unless a brake says that the policy has gone too far or wrong already.
        alarms = self._watch(row, rollout)
        rate = learning_rate_scale(step, settings.steps, settings.warmup_steps)
        if self.state.brake:
            row |= dict.fromkeys(UPDATE_COLUMNS)
        else:
            found, raised_now = self._learn(experience, rate)
            row, alarms = row | found, alarms + raised_now
        # 8. Count, and adapt the penalty.
        self.state.step += 1
        if settings.kl_target is not None:
            self.state.kl_coef = next_kl_coef(
                self.kl_coef, float(rollout.k1.sum(1).mean()),
                target=settings.kl_target, n=settings.rollout_batch_size, horizon=settings.kl_horizon,
            )  # fmt: skip
        counts: Row = {"lr": settings.learning_rate * rate, "skipped_steps": self.state.skipped}
        return row | counts | {"warning": ";".join(alarms), "brake": self.state.brake}

    @property
    def kl_coef(self) -> float:
        """Present weight of the KL penalty."""
        return self.settings.kl_coef if self.state.kl_coef is None else self.state.kl_coef

    # -- parts of a rollout

    def _prompt_indices(self, step: int) -> list[int]:
        return prompt_indices(len(self.prompts), step, self.settings.rollout_batch_size, self.seed)

    def _calls(self, mine: Sequence[int]) -> list[list[int]]:
        """This process's rows, one list a call of the model; processes that share a base must make the same number of passes."""
        if not self.settings.shard_base:
            return [list(mine)]
        return equal_chunks(mine, max(map(len, self._tokens)) + self.settings.max_new_tokens + 1, self.model.batch_tokens)

    def _sample_keys(self, prompts: Sequence[Sequence[int]]) -> list[SampleKey]:
        """Random numbers of each row of the batch; a prompt that comes again gets others."""
        seen: Counter[str] = Counter()
        keys: list[SampleKey] = []
        for tokens in prompts:
            key = prompt_key(tokens)
            keys.append((self.seed, f"ppo {self.state.step} {key}", seen[key]))
            seen[key] += 1
        return keys

    def _draw(
        self, mine: Sequence[int], prompts: Sequence[Sequence[int]], keys: Sequence[SampleKey]
    ) -> tuple[list[tuple[int, ...]], Tensor | None]:
        """Responses of this process's rows, and log-probabilities by the engine that sampled them, (b, t), where there is one."""
        if self.engine is not None:
            return self.engine.sample([prompts[row] for row in mine], [keys[row] for row in mine])
        return [response for rows in self._calls(mine) for response in self._sample(rows, prompts, keys)], None

    def _sample(self, rows: Sequence[int], prompts: Sequence[Sequence[int]], keys: Sequence[SampleKey]) -> list[tuple[int, ...]]:
        settings = self.settings
        return self.model.sample(
            [prompts[row] for row in rows], [keys[row] for row in rows],
            temperature=settings.temperature, max_new_tokens=settings.max_new_tokens, adapter=POLICY,
        )  # fmt: skip

    def _scores(self, mine: Sequence[int], prompts: Sequence[Prompt], items: Sequence[Item]) -> list[float]:
        """Scores of this process's rows."""
        if self.reward is None:
            return [score for rows in self._calls(mine) for score in self.model.token_rewards([items[row] for row in rows])]
        eos, template = self.model.template.eos, self.model.template
        responses = [items[row][1] for row in mine]
        texts = [template.response_text(response[:-1] if response[-1] == eos else response) for response in responses]
        scores = [float(score) for score in self.reward([prompts[row] for row in mine], texts)]
        if len(scores) != len(texts):
            raise InputError(f"the reward function gave {len(scores)} scores for {len(texts)} responses")
        return scores

    # -- parts of a step

    def _shaped(self, rollout: Rollout) -> Tensor:
        settings, by = self.settings, self.reward_scale
        return shape_scores(
            rollout.scores, rollout.ended, shift=by.shift, scale=by.scale if settings.normalize_reward else 1.0,
            clip=settings.reward_clip, missing_eos_penalty=settings.missing_eos_penalty,
        )  # fmt: skip

    def _watch(self, row: Row, rollout: Rollout) -> list[str]:
        """Alarms of a rollout; sets the brake where one must be pulled."""
        guards, kl = self.settings.guards, rollout.k1.sum(1)
        self.state.streaks = count(self.state.streaks, raised(row, kl, guards))
        self.state.brake = "stop_kl" if kl.mean() > self.settings.stop_kl else brake(self.state.streaks, guards)
        return [name for name, n in self.state.streaks.items() if name != "explained_var" or n >= guards.patience]

    def _learn(self, experience: Experience, rate: float) -> tuple[Row, list[str]]:
        """Take the optimizer steps; what they saw, and their alarms."""
        with self._timing.measure(self.state.step, "update"):
            self.learner.set_learning_rate(rate)
            self.learner.policy_frozen = self.state.step < self.settings.critic_warmup_steps
            stats = self.updater.update(experience, skips_left=MAX_SKIPPED - self.state.skipped)
            self.state.skipped += stats.skipped
            if self.state.skipped >= MAX_SKIPPED:
                self.state.brake = "non_finite"
        return stats.metrics(), stats.alarms

    # -- selection and publication

    def _is_over(self) -> bool:
        return self.state.step >= self.settings.steps or bool(self.state.brake)

    def _is_due(self, every: int) -> bool:
        return every > 0 and (self.state.step % every == 0 or self.state.step == self.settings.steps or bool(self.state.brake))

    def _look_at_validation(self, checkpoints: Checkpoints, kl: float) -> float | None:
        if self.validate is None or not self._is_due(self.settings.validate_every):
            return None
        with self._timing.measure(self.state.step - 1, "validate"):
            score = self.processes.from_main(self.validate(self.model, self.state.step))
        affordable = self.settings.kl_budget is None or kl <= self.settings.kl_budget
        if affordable and math.isfinite(score) and (self.state.best_score is None or score > self.state.best_score):
            self.state.best_score, self.state.best_step = score, self.state.step
            checkpoints.save(self.learner, self.state, "best")
        return score

    def _keep_policy(self) -> None:
        """Publish this step's policy as an adapter of its own, where it is wanted."""
        every, step = self.settings.publish_every, self.state.step
        if every and step % every == 0 and self.processes.main:
            publish_policy(self.out / "ppo_checkpoints" / "policies" / f"step-{step:06d}", self.learner, step)

    def _publish(self, checkpoints: Checkpoints) -> PPOResult:
        selected = self.state.step
        self.processes.agree({"policy": self.model.base.tensors_sha256(POLICY)})  # what is on disk, all of them can read now
        if self.settings.select == "best_validation" and self.state.best_score is not None:
            selected = self.state.best_step
            self.learner.set_policy_tensors(checkpoints.policy("best"))
        folder = self.out / "ppo_policy_model"
        if self.processes.main:
            publish_policy(folder, self.learner, selected)
        self.processes.accelerator.wait_for_everyone()
        rows = read_step_log(self.out / "train" / "ppo.csv")
        return PPOResult(folder, self.state.step, selected, self.state.brake, rows[0], rows[-1])
