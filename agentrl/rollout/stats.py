"""What a collection cost and how its episodes ended."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from agentrl.trajectory import Outcome, Trajectory

RETRIES, PROMPT_TOKENS, SAMPLED_TOKENS = "retries", "prompt_tokens", "sampled_tokens"
"""The latter two as an endpoint counts them, over all turns, where its tokens are not seen."""
COLLECTORS = frozenset({RETRIES, PROMPT_TOKENS, SAMPLED_TOKENS})
"""Figures in `Trajectory.metrics` that are the collector's; all others are the environment's."""


@dataclass(slots=True)
class RolloutStats:
    """Running figures of one collection; read them at any time, also while it runs."""

    seconds: float = 0.0
    """Wall-clock time of the collection."""
    env_seconds: float = 0.0
    """Time in environment calls, summed over episodes."""
    generation_seconds: float = 0.0
    """Time waiting for the engine, summed over episodes."""
    env_steps: int = 0
    """Actions that environments took, lost episodes included."""
    turns: int = 0
    """Completions sampled, lost episodes included."""
    invalid_turns: int = 0
    """Turns that could not be parsed or that the environment did not understand."""
    tokens_sampled: int = 0
    tokens_read: int = 0
    """Prompt tokens that no earlier turn of their segment held."""
    episodes: int = 0
    """Episodes that ended with a scored outcome."""
    lost: int = 0
    """Episodes given up after all retries; never scored."""
    retries: int = 0
    """Failed attempts that were played again."""
    refills: int = 0
    """Episodes started in the place of lost ones."""
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    """How episodes ended, lost ones included."""
    faults: Counter[Outcome] = field(default_factory=Counter)
    """Failed attempts by kind; their number is `retries + lost`."""
    max_loop_lag: float = 0.0
    """The longest, in seconds, that the event loop was kept from running something due."""

    @property
    def invalid_rate(self) -> float:
        """The share of turns that were invalid."""
        return self.invalid_turns / self.turns if self.turns else 0.0

    def take(self) -> RolloutStats:
        """Return the figures so far, and begin again with zeros."""
        taken, fresh = dataclasses.replace(self), RolloutStats()
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))
        return taken

    def as_metrics(self) -> dict[str, float]:
        """Return all figures as flat names and numbers, for metric logs."""
        plain = {
            name: float(getattr(self, name))
            for name in self.__slots__
            if name not in ("outcomes", "faults")
        }
        plain["invalid_rate"] = self.invalid_rate
        for outcome in Outcome:
            plain[f"outcome/{outcome.value}"] = float(self.outcomes[outcome])
            if outcome.is_infrastructure:
                plain[f"fault/{outcome.value}"] = float(self.faults[outcome])
        return plain


def environment_means(trajectories: Iterable[Trajectory]) -> dict[str, float]:
    """Return the mean of each figure that the environment gave of scored episodes, as `env/NAME`.

    An episode that has no figure of a name does not count in that mean.
    """
    given: dict[str, list[float]] = {}
    for trajectory in trajectories:
        if trajectory.outcome.is_infrastructure:
            continue
        for name, value in trajectory.metrics.items():
            if name not in COLLECTORS:
                given.setdefault(f"env/{name}", []).append(value)
    return {name: sum(values) / len(values) for name, values in sorted(given.items())}
