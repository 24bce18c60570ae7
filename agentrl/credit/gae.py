"""GAE: advantages from a critic's values, over tokens, turns, or both.

    delta_n = r_n + gamma_n * V_{n+1} - V_n
    A_n     = delta_n + gamma_n * lambda_n * A_{n+1}

n runs over the sampled tokens of a trajectory: tokens that were read are skipped, so that the last
token of a turn is followed by the first one of the next. A turn's reward lies on its last token.

    token           (gamma, lambda) = (gamma_token, lambda_token) everywhere
    turn            n runs over turns, with the value at each turn's last token and the pair of the
                    turn; all tokens of a turn share one advantage
    dual_discount   the pair of the token inside a turn, that of the turn where one ends
    bi_level        first over turns; then over the tokens of each turn alone, whose reward at the
                    end is the turn's return A + V, with nothing after it

Sources: Schulman et al., arXiv 1506.02438, equation 16 (token, turn); RAGEN's public code
(bi_level, with explicit turn boundaries, so that a turn without reward counts too); Wen et al.,
POAD, arXiv 2405.15821, and Verlog (dual_discount). Put `whiten` last in the list, as PPO does.

The end of a truncated episode is not the end of the task: what follows it is worth the value of
its last state. That is `signals["final_value"]`, shape [trajectories], where a critic gives it;
else the nearest value known, the one before the trajectory's last sampled token.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from agentrl.batch import Batch, Bools, Floats, Ints
from agentrl.credit.base import Advantages, Level, Stage, Why
from agentrl.credit.checks import check_unit, signal_per_token
from agentrl.credit.recurrence import backward_recurrence
from agentrl.credit.returns import paid_rewards
from agentrl.credit.signals import check_choice, refuse_missing
from agentrl.errors import ConfigError
from agentrl.trajectory import Signals

FINAL_VALUE = "final_value"
"""The optional signal: the critic's value of the state each trajectory ended in."""

_PIECE = 1 << 16
"""Sampled tokens that are worked on at a time."""

Mode = Literal["token", "turn", "dual_discount", "bi_level"]


class ValueTargets(NamedTuple):
    """What a critic is to learn."""

    targets: Floats
    """A + V, shape [tokens]; 0 outside the mask."""
    mask: Bools
    """Which tokens have a target: all sampled ones, with `turn` each turn's last. Shape
    [tokens]."""


@dataclass(frozen=True, slots=True)
class Gae:
    """Generalised advantage estimation."""

    mode: Mode = "token"
    """What n runs over; see above."""
    gamma_token: float = 1.0
    """Discount per token."""
    lambda_token: float = 1.0
    """Trace decay per token."""
    gamma_turn: float = 1.0
    """Discount per turn."""
    lambda_turn: float = 1.0
    """Trace decay per turn."""
    bootstrap: bool = True
    """Whether truncated episodes end in a value; without, they end as if the task had."""

    name: ClassVar[str] = "gae"
    stage: ClassVar[Stage] = "outcome"
    needs: ClassVar[frozenset[str]] = frozenset({"value"})

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense."""
        check_choice(self.name, "mode", self.mode, ("token", "turn", "dual_discount", "bi_level"))
        for parameter in ("gamma_token", "lambda_token", "gamma_turn", "lambda_turn"):
            check_unit(self.name, parameter, getattr(self, parameter))

    @property
    def level(self) -> Level:
        """Per turn in mode `turn`, else per token."""
        return "turn" if self.mode == "turn" else "token"

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        """Return one value per token, 0 at tokens that were read; per turn in mode `turn`."""
        steps = _Steps.of(self, batch, signals)
        if self.mode == "turn":
            per_turn = np.zeros(batch.num_turns)
            per_turn[steps.turns], _ = self._over_turns(steps)
            return per_turn
        per_token = np.zeros(batch.num_tokens)
        per_token[steps.tokens] = self._over_tokens(steps)
        return per_token

    def value_targets(self, batch: Batch, signals: Signals) -> ValueTargets:
        """Return what the critic should have said; see `ValueTargets`."""
        steps = _Steps.of(self, batch, signals)
        targets, mask = np.zeros(batch.num_tokens), np.zeros(batch.num_tokens, np.bool_)
        if self.mode == "turn":
            learned, returns = steps.tokens[steps.ends], self._over_turns(steps)[1]
        else:
            learned, returns = steps.tokens, self._over_tokens(steps) + steps.values
        targets[learned], mask[learned] = returns, True
        return ValueTargets(targets, mask)

    def explain(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Why:
        """Return each turn's reward, its value and, at a truncated end, the value beyond."""
        steps = _Steps.of(self, batch, signals)
        why: Why = [{} for _ in range(batch.num_turns)]
        for turn, end, reward in zip(steps.turns, steps.ends, steps.rewards, strict=True):
            why[turn] = {"reward": float(reward), "value": float(steps.values[end])}
        cut = batch.truncated[batch.trajectory_of_turn()[steps.turns[steps.last]]]
        for turn, value in zip(
            steps.turns[steps.last][cut], steps.beyond[steps.last][cut], strict=True
        ):
            why[turn]["bootstrap"] = float(value)
        return why

    def _over_turns(self, steps: _Steps) -> tuple[Floats, Floats]:
        """Return advantages and returns of the turns that have tokens."""
        values = steps.values[steps.ends]
        following = _following(values, steps.last, steps.beyond)
        delta = steps.rewards + self.gamma_turn * following - values
        decay = np.full(len(values), self.gamma_turn * self.lambda_turn)
        advantages = backward_recurrence(delta, decay, steps.turn_offsets)
        return advantages, advantages + values

    def _over_tokens(self, steps: _Steps) -> Floats:
        """Return advantages of the sampled tokens."""
        values = np.empty(len(steps.values))
        for part, piece in steps.pieces():
            values[part] = self._over_tokens_at_once(piece)
        return values

    def _over_tokens_at_once(self, steps: _Steps) -> Floats:
        gamma = np.full(len(steps.values), self.gamma_token)
        trace = np.full(len(steps.values), self.lambda_token)
        beyond, rewards = np.zeros(len(steps.values)), np.zeros(len(steps.values))
        if self.mode == "bi_level":
            rewards[steps.ends] = self._over_turns(steps)[1]
            following = _following(steps.values, steps.ends, beyond)
            offsets = np.append(0, steps.ends + 1)
        else:
            rewards[steps.ends] = steps.rewards
            beyond[steps.ends] = steps.beyond
            following = _following(steps.values, steps.ends[steps.last], beyond)
            offsets = np.append(0, steps.ends[steps.last] + 1)
        if self.mode == "dual_discount":
            gamma[steps.ends], trace[steps.ends] = self.gamma_turn, self.lambda_turn
        delta = rewards + gamma * following - steps.values
        return backward_recurrence(delta, gamma * trace, offsets)


class _Steps(NamedTuple):
    """The sampled tokens of a batch and the turns that have any, trajectory by trajectory."""

    tokens: Ints
    """Indices of sampled tokens in the batch, shape [sampled]."""
    values: Floats
    """The critic's, shape [sampled]."""
    turns: Ints
    """Indices of turns with sampled tokens, shape [kept]."""
    ends: Ints
    """Where among the sampled tokens each such turn ends, shape [kept]."""
    rewards: Floats
    """Of those turns, shape [kept]."""
    last: Ints
    """Which of those turns are the last of their trajectory."""
    beyond: Floats
    """The value of what follows each trajectory's last turn, 0 elsewhere; shape [kept]."""

    @property
    def turn_offsets(self) -> Ints:
        """Where trajectories begin and end among the kept turns."""
        return np.append(0, self.last + 1)

    def pieces(self) -> Iterator[tuple[slice, _Steps]]:
        """Yield whole trajectories that fit into the processor's cache, and where they stand."""
        offsets = self.turn_offsets
        starts = np.append(0, self.ends + 1)[offsets]
        marks = np.searchsorted(starts[:-1], np.arange(0, len(self.values), _PIECE))
        cuts = np.unique(np.append(marks, len(self.last)))
        for first, end in itertools.pairwise(cuts.tolist()):
            part = slice(int(starts[first]), int(starts[end]))
            turns = slice(int(offsets[first]), int(offsets[end]))
            piece = _Steps(
                self.tokens[part],
                self.values[part],
                self.turns[turns],
                self.ends[turns] - part.start,
                self.rewards[turns],
                self.last[first:end] - turns.start,
                self.beyond[turns],
            )
            yield part, piece

    @classmethod
    def of(cls, method: Gae, batch: Batch, signals: Signals) -> _Steps:
        """Gather them."""
        tokens = np.flatnonzero(batch.sampled)
        values = _values(method.name, batch, signals)[tokens]
        counts = batch.sampled_per_turn()
        turns = np.flatnonzero(counts > 0)
        ends = np.cumsum(counts[turns]) - 1
        owner = batch.trajectory_of_turn()[turns]
        last = np.flatnonzero(np.diff(owner, append=-1) != 0)
        beyond = np.zeros(len(turns))
        if method.bootstrap:
            known = _final_values(method.name, batch, signals)
            final = values[ends[last]] if known is None else known[owner[last]]
            beyond[last] = np.where(batch.truncated[owner[last]], final, 0.0)
        return cls(tokens, values, turns, ends, _rewards(batch, turns), last, beyond)


def _values(method: str, batch: Batch, signals: Signals) -> Floats:
    values = signal_per_token(method, "value", batch, signals)
    broken = batch.sampled & ~np.isfinite(values)
    if broken.any():
        missing = np.bincount(batch.turn_of_token()[broken], minlength=batch.num_turns) > 0
        mend = "give the critic's value before each sampled token; if it gave this one, it diverged"
        refuse_missing(method, "finite values of the signal 'value'", batch, missing, mend)
    return values


def _final_values(method: str, batch: Batch, signals: Signals) -> Floats | None:
    values = signals.get(FINAL_VALUE)
    if values is not None and values.shape != (batch.num_trajectories,):
        raise ConfigError(
            f"credit method {method!r} needs the signal {FINAL_VALUE!r} with one value per "
            f"trajectory, shape ({batch.num_trajectories},), not {values.shape}"
        )
    return values


def _rewards(batch: Batch, turns: Ints) -> Floats:
    """Return the rewards of turns that have tokens; a turn without adds to the one before it.

    What a trajectory earned beyond the sum of its turns' rewards is paid at its last turn.
    """
    owner, rewards = batch.trajectory_of_turn(), paid_rewards(batch)
    if not len(turns):
        return np.empty(0)
    place = np.searchsorted(turns, np.arange(batch.num_turns), side="right") - 1
    fits = (place >= 0) & (owner[turns[place]] == owner)
    totals: Floats = np.bincount(place[fits], rewards[fits], len(turns)).astype(np.float64)
    return totals


def _following(values: Floats, ends: Ints, beyond: Floats) -> Floats:
    """Return the value after each one: the next, or at the ends what lies beyond."""
    following = np.append(values[1:], 0.0)
    following[ends] = beyond[ends]
    return following
