"""The record of episodes: `Turn` and `Trajectory`; `agentrl.batch.Batch` is their columnar form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from agentrl.engines.base import Ids, Logprobs


class Outcome(StrEnum):
    """How an episode ended; every episode ends with exactly one."""

    SUCCESS = "success"
    FAILURE = "failure"
    TRUNCATED_TURNS = "truncated_turns"
    TRUNCATED_CONTEXT = "truncated_context"
    INVALID_ACTION_LIMIT = "invalid_action_limit"
    ENV_ERROR = "env_error"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"

    @property
    def is_infrastructure(self) -> bool:
        """Whether the machinery failed and not the agent: never scored, never in a baseline."""
        return self in _INFRASTRUCTURE

    @property
    def is_truncated(self) -> bool:
        """Whether the episode was cut off before the environment ended it."""
        return self in _TRUNCATED


_INFRASTRUCTURE = frozenset({Outcome.ENV_ERROR, Outcome.TIMEOUT, Outcome.CANCELLED})
_TRUNCATED = frozenset(
    {Outcome.TRUNCATED_TURNS, Outcome.TRUNCATED_CONTEXT, Outcome.INVALID_ACTION_LIMIT}
)


def _no_ids() -> Ids:
    return np.empty(0, np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Allowed:
    """The ids each sampled token was chosen from, under restricted decoding (ragged)."""

    ids: Ids
    """All sets one after the other, shape [sum(counts)]."""
    counts: npt.NDArray[np.int32]
    """Size of each sampled token's set, shape [len(response_ids)]."""


@dataclass(slots=True, eq=False)
class Turn:
    """One policy message and what it led to."""

    observation: str
    """What the agent acted on."""
    action: str
    """What the environment was given; empty where the completion could not be parsed."""
    reward: float = 0.0
    """What the environment paid for the action."""
    prompt_ids: Ids = field(default_factory=_no_ids)
    """The ids read since the segment's last sampled id; the whole prompt where a segment starts."""
    response_ids: Ids = field(default_factory=_no_ids)
    """The sampled ids, stop id included."""
    logprobs: Logprobs = field(default_factory=lambda: np.empty(0, np.float32))
    """Of the sampled ids, as the engine drew them, shape [len(response_ids)]."""
    allowed: Allowed | None = None
    """The sets the ids were drawn from, where decoding was restricted."""
    starts_segment: bool = True
    """Whether the prompt does not extend the previous turn's prompt and response."""
    completion: str = ""
    """The sampled text, for people; never turned back into ids."""
    policy_version: int = 0
    """The version of the weights that sampled the response, or its first id."""
    state_key: str | None = None
    """The situation acted in; see `agentrl.env.Info`."""
    valid: bool = True
    """Whether the completion parsed and the environment understood the action."""
    finish_reason: str = "stop"
    """Why sampling ended: `stop` or `length`."""
    agent: str = "agent"
    """Who acted, in environments with several agents."""
    versions: npt.NDArray[np.int32] | None = None
    """The version that sampled each id, shape [len(response_ids)], where the weights changed
    within the response; None: `policy_version` sampled all."""


@dataclass(slots=True, eq=False)
class Trajectory:
    """One episode."""

    id: str
    """Unique in a run."""
    group: str
    """Names the group: episodes of one task under one policy that credit compares."""
    task_id: str
    turns: list[Turn]
    outcome: Outcome
    final_observation: str = ""
    """What the last action returned."""
    final_state_key: str | None = None
    environment: str = ""
    split: str = ""
    seed: int = 0
    """Seeds the environment and the sampling of this episode."""
    sampling: dict[str, float] = field(default_factory=dict)
    """The sampler's settings (temperature, top_p, top_k) behind the log-probabilities."""
    answer: str | None = None
    """The ground-truth answer, where the environment has one."""
    error: str | None = None
    """What went wrong, for infrastructure outcomes."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Extra figures of the environment or the collector."""
    outcome_reward: float | None = None
    """What the episode as a whole earned, where that is not the sum of the turns' rewards."""

    @property
    def success(self) -> bool:
        """Whether the task was solved."""
        return self.outcome is Outcome.SUCCESS

    @property
    def reward(self) -> float:
        """The return: the outcome reward where there is one, else the sum of the turns' rewards."""
        if self.outcome_reward is not None:
            return self.outcome_reward
        return float(sum(turn.reward for turn in self.turns))

    def segments(self) -> Iterator[list[Turn]]:
        """Yield runs of turns that share one growing token sequence."""
        run: list[Turn] = []
        for turn in self.turns:
            if turn.starts_segment and run:
                yield run
                run = []
            run.append(turn)
        if run:
            yield run

    def transitions(self) -> Iterator[tuple[Turn, str]]:
        """Yield each turn with the observation that its action returned."""
        for turn, following in pairwise(self.turns):
            yield turn, following.observation
        if self.turns:
            yield self.turns[-1], self.final_observation


Signals = dict[str, npt.NDArray[Any]]
"""Named per-token or per-turn arrays that credit methods ask for."""
