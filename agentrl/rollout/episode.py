"""One episode: observation to prompt, completion to action, until something ends it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from agentrl.config import RolloutConfig, SamplingConfig
from agentrl.dialogue.base import Dialogue, Prompt, Reply
from agentrl.engines.base import Completion, Engine, Request, Sampling, Usage
from agentrl.errors import ContextOverflow, EnvironmentFault
from agentrl.rollout.environments import DeadlineFault, Environment, StepResult
from agentrl.rollout.seeds import turn_seed
from agentrl.rollout.stats import PROMPT_TOKENS, SAMPLED_TOKENS, RolloutStats
from agentrl.trajectory import Outcome, Trajectory, Turn

_clock = time.perf_counter
_TURNS_PER_ROUND = 8
"""After so many turns of an episode the event loop goes round."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What all episodes of a collection share."""

    engine: Engine
    config: RolloutConfig
    sampling: SamplingConfig
    stats: RolloutStats


class Episode:
    """Plays one attempt at a task and writes its turns into a trajectory."""

    __slots__ = (
        "_config", "_deadline", "_dialogue", "_engine", "_environment", "_info",
        "_invalid", "_observation", "_sampling", "_seed", "_settings", "_stats", "_trajectory",
    )  # fmt: skip

    def __init__(
        self,
        environment: Environment,
        dialogue: Dialogue,
        trajectory: Trajectory,
        seed: int,
        settings: Settings,
    ) -> None:
        """Prepare an attempt.

        Args:
            environment: Lent out for this episode.
            dialogue: The episode's own.
            trajectory: Takes up the turns as they are played.
            seed: Seeds the sampling; see `agentrl.rollout.seeds.episode_seed`.
            settings: What the collection's episodes share.
        """
        self._environment = environment
        self._dialogue = dialogue
        self._trajectory = trajectory
        self._seed = seed
        self._settings = settings
        self._engine = settings.engine
        self._config = settings.config
        self._sampling = settings.sampling
        self._stats = settings.stats
        self._observation = ""
        self._info: dict[str, Any] = {}
        self._invalid = 0
        self._deadline = math.inf

    async def play(self) -> Outcome:
        """Play to the end and return the outcome.

        Raises:
            EnvironmentFault: The environment failed, or (`DeadlineFault`) was too slow.
            EngineFault: The engine failed.
        """
        limit = self._config.episode_seconds
        if limit is None:
            return await self._play()
        self._deadline = _clock() + limit
        try:
            async with asyncio.timeout(limit) as scope:
                return await self._play()
        except TimeoutError:
            if not scope.expired():
                raise
        self._give_up()

    async def _play(self) -> Outcome:
        await self._reset()
        while True:
            outcome = await self._turn()
            if outcome is not None:
                self._trajectory.final_observation = self._observation
                self._trajectory.final_state_key = self._info.get("state_key")
                self._trajectory.metrics |= _figures(self._info.get("metrics"))
                return outcome
            if _clock() > self._deadline:
                self._give_up()
            if len(self._trajectory.turns) % _TURNS_PER_ROUND == 0:
                # Neither a scripted engine nor a fast environment would ever let others run.
                # By count, not by clock: the order of requests must not depend on the machine.
                await asyncio.sleep(0)

    def _give_up(self) -> NoReturn:
        """Raise for an episode that has outlived its deadline without ever waiting."""
        limit = self._config.episode_seconds
        raise DeadlineFault(f"the episode took longer than {limit:g} s (rollout.episode_seconds)")

    async def _reset(self) -> None:
        trajectory = self._trajectory
        start = _clock()
        result = await self._environment.reset(trajectory.task_id, trajectory.seed)
        self._spend(start)
        if not isinstance(result, tuple) or len(result) != 2:
            raise EnvironmentFault("the environment's reset must return (observation, info)")
        self._see(*result)

    async def _turn(self) -> Outcome | None:
        prompt = self._dialogue.prompt()
        if prompt is None:
            return Outcome.TRUNCATED_CONTEXT
        try:
            completion = await self._generate(prompt)
        except ContextOverflow:
            return Outcome.TRUNCATED_CONTEXT
        reply = self._dialogue.receive(completion)
        turn = self._record(prompt, completion, reply)
        outcome = None
        if reply.valid:
            outcome = await self._act(turn, reply.action)
        else:
            self._observation = reply.problem or self._observation
        if not turn.valid:
            self._invalid += 1
            self._stats.invalid_turns += 1
        if outcome is None:
            outcome = self._limit()
        if outcome is None:
            self._dialogue.observe(self._observation, self._info)
        return outcome

    async def _generate(self, prompt: Prompt) -> Completion:
        sampling = self._sampling
        request = Request(
            prompt.ids,
            Sampling(
                sampling.temperature,
                sampling.top_p,
                sampling.top_k,
                prompt.max_tokens,
                prompt.stop_ids,
                turn_seed(self._seed, len(self._trajectory.turns)),
            ),
            self._trajectory.id,
            prompt.choices,
            self._info,
        )
        start = _clock()
        completion = await self._engine.generate(request)
        self._stats.generation_seconds += _clock() - start
        return completion

    def _record(self, prompt: Prompt, completion: Completion, reply: Reply) -> Turn:
        turn = Turn(
            observation=self._observation,
            action=reply.action if reply.valid else "",
            prompt_ids=prompt.new_ids,
            response_ids=completion.token_ids,
            logprobs=completion.logprobs,
            allowed=reply.allowed,
            starts_segment=prompt.starts_segment,
            completion=reply.text,
            policy_version=completion.policy_version,
            state_key=self._info.get("state_key"),
            valid=reply.valid,
            finish_reason=completion.finish_reason,
            versions=completion.versions,
        )
        self._trajectory.turns.append(turn)
        stats = self._stats
        stats.turns += 1
        stats.tokens_sampled += completion.tokens
        stats.tokens_read += len(prompt.new_ids)
        if completion.usage is not None:
            self._count(completion.usage)
        return turn

    def _count(self, usage: Usage) -> None:
        figures = self._trajectory.metrics
        figures[PROMPT_TOKENS] = figures.get(PROMPT_TOKENS, 0.0) + usage.prompt_tokens
        figures[SAMPLED_TOKENS] = figures.get(SAMPLED_TOKENS, 0.0) + usage.completion_tokens

    async def _act(self, turn: Turn, action: str) -> Outcome | None:
        """Give the action to the environment; return an outcome where it ended the episode."""
        start = _clock()
        result = await self._environment.step(action)
        self._spend(start)
        self._stats.env_steps += 1
        observation, reward, terminated, truncated, info = _checked(result)
        turn.reward = reward
        turn.valid = not info.get("invalid", False)
        self._observe(observation, info)
        if terminated or truncated:
            if info.get("success"):
                return Outcome.SUCCESS
            return Outcome.FAILURE if terminated else Outcome.TRUNCATED_TURNS
        return None

    def _limit(self) -> Outcome | None:
        """Return an outcome where the turn just played was one too many."""
        most = self._config.max_invalid_actions
        if most is not None and self._invalid >= most:
            return Outcome.INVALID_ACTION_LIMIT
        limit = self._environment.max_turns
        if limit is not None and len(self._trajectory.turns) >= limit:
            return Outcome.TRUNCATED_TURNS
        return None

    def _see(self, observation: str, info: dict[str, Any]) -> None:
        if not isinstance(observation, str) or not isinstance(info, Mapping):
            raise EnvironmentFault("the environment's reset must return text and an info mapping")
        self._observe(observation, info)
        self._dialogue.observe(observation, info)

    def _observe(self, observation: str, info: dict[str, Any]) -> None:
        self._observation = observation
        self._info = info
        for name in ("answer", "state_key"):
            # Refused here, where it costs an episode, and not where the file of all is written.
            if not isinstance(info.get(name), str | None):
                raise EnvironmentFault(
                    f"the environment's info[{name!r}] must be text, and is "
                    f"{str(info[name])[:100]}, a {type(info[name]).__name__}"
                )
        if info.get("answer") is not None:
            self._trajectory.answer = info["answer"]

    def _spend(self, start: float) -> None:
        """Book an environment call that began at `start`; one in process was not interrupted."""
        seconds = _clock() - start
        self._stats.env_seconds += seconds
        limit = self._config.turn_seconds
        if limit is not None and seconds > limit:
            raise DeadlineFault(
                f"an environment call took {seconds:.1f} s (rollout.turn_seconds is {limit:g})"
            )


def _figures(metrics: Any) -> dict[str, float]:
    """Return the figures that an environment gave, or raise `EnvironmentFault` for other things."""
    if metrics is None:
        return {}
    try:
        figures = {str(name): float(value) for name, value in metrics.items()}
    except (AttributeError, TypeError, ValueError):
        figures = {"": math.nan}
    if not all(map(math.isfinite, figures.values())):
        raise EnvironmentFault(
            "the environment's info['metrics'] must map names to finite numbers, and is "
            f"{str(metrics)[:100]}"
        )
    return figures


def _checked(result: StepResult) -> StepResult:
    """Return what `step` gave, or raise `EnvironmentFault` where it breaks the contract."""
    if not isinstance(result, tuple) or len(result) != 5:
        raise EnvironmentFault("the environment's step must return five values, as Gymnasium says")
    observation, reward, terminated, truncated, info = result
    # A dict is known at once; asking an abstract class takes long.
    if not isinstance(observation, str) or not isinstance(info, (dict, Mapping)):
        raise EnvironmentFault("the environment's step must return text and an info mapping")
    try:
        reward = float(reward)
    except (TypeError, ValueError):
        raise EnvironmentFault(f"the environment paid {reward!r}, which is no number") from None
    if not math.isfinite(reward):
        raise EnvironmentFault(f"the environment paid {reward!r}; rewards must be finite")
    return observation, reward, bool(terminated), bool(truncated), info
