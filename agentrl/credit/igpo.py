"""IGPO: a turn earns what it adds to the policy's belief in the reference answer.

    g_t = l_t - l_{t-1}                        t < T; l: mean log-probability of the answer's tokens
    z_t = (g_t - mean(g)) / std(g)             t < T; over all gains of the group
    z_T = (R_i - mean(R)) / std(R)             the last turn carries the outcome alone
    A_t = sum_{k >= t} gamma^(k - t) * z_k

Source: Wang et al., Information Gain-based Policy Optimization, arXiv 2510.14967, section 3 (turn
rewards, separate normalisation, discounted accumulation). std is sqrt(var + 1e-8) + 1e-6 with the
population variance, as in the authors' code. The first version of the paper took differences of
probabilities and one pool for gains and outcomes: `difference="prob", normalise="joint"`.

Positions are explicit: a gain of exactly 0 counts in the statistics; one that is not a finite
number does not, and earns 0. The only gain of a group has nothing to be compared with and earns 0;
the only outcome of a group keeps its value, as everywhere in this library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from agentrl.batch import Batch, Bools, Floats, Ints
from agentrl.credit.base import Advantages, Level, Stage, Why
from agentrl.credit.checks import check_ddof, check_positive, check_unit
from agentrl.credit.coincidence import group_of_turn
from agentrl.credit.returns import discounted_returns
from agentrl.credit.signals import (
    check_choice,
    final_turns,
    plain,
    refuse_missing,
    signal_per_turn,
)
from agentrl.credit.statistics import constant_groups, group_statistics
from agentrl.trajectory import Signals


@dataclass(frozen=True, slots=True)
class Igpo:
    """Information-gain turn rewards; they take the place of the host's values."""

    normalise: Literal["separate", "joint"] = "separate"
    """One pool per group for gains and one for outcomes, or one for both."""
    difference: Literal["logprob", "prob"] = "logprob"
    """Whether a gain is a difference of mean log-probabilities or of their exponentials."""
    gamma: float = 1.0
    """Discount per turn."""
    gain_weight: float = 1.0
    """Scales normalised gains (the authors' optional curriculum lowers it from 1 to 0.5)."""
    outcome_weight: float = 1.0
    """Scales normalised outcomes (the curriculum raises it from 0.5 to 1)."""
    outcome: Literal["zscore", "host"] = "zscore"
    """What the last turn carries: the outcome standardised here, or the value of the estimator
    that stands before in the list; `host` needs `separate`."""
    ddof: int = 0
    """0: population deviation (the published code); 1: sample deviation."""

    name: ClassVar[str] = "igpo"
    stage: ClassVar[Stage] = "refine"
    level: ClassVar[Level] = "turn"
    needs: ClassVar[frozenset[str]] = frozenset({"answer_logprob"})
    reads: ClassVar[frozenset[str]] = frozenset({"answer"})

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense."""
        check_choice(self.name, "normalise", self.normalise, ("separate", "joint"))
        check_choice(self.name, "difference", self.difference, ("logprob", "prob"))
        check_choice(self.name, "outcome", self.outcome, ("zscore", "host"))
        if self.outcome == "host":
            check_choice(self.name, "normalise with outcome 'host'", self.normalise, ("separate",))
        check_unit(self.name, "gamma", self.gamma)
        check_positive(self.name, "gain_weight", self.gain_weight, or_zero=True)
        check_positive(self.name, "outcome_weight", self.outcome_weight, or_zero=True)
        check_ddof(self.name, self.ddof)

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        """Return one value per turn."""
        rewards = self._rewards(batch, advantages, signals).rewards
        return discounted_returns(rewards, batch.turn_offsets, self.gamma)

    def metrics(self, batch: Batch, signals: Signals) -> dict[str, float]:
        """Return the mean gain, the share of turns with one, and of groups whose gains differ.

        A group that has no two different gains learns from its outcomes alone.
        """
        gains, counted = self._gains(batch, signals)
        known = gains[counted]
        labels = group_of_turn(batch)[counted]
        varied = (~constant_groups(known, labels)).sum() if known.size else 0
        return {
            "gain": float(known.mean()) if known.size else 0.0,
            "scored_turns": float(counted.mean()) if counted.size else 0.0,
            "gain_variance_groups": float(varied / max(batch.num_groups, 1)),
        }

    def explain(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Why:
        """Return information gain or outcome of each turn, and its standardised value."""
        gains, counted, rewards = self._rewards(batch, advantages, signals)
        beliefs = signals["answer_logprob"]
        why: Why = [
            {
                "answer_logprob_before": plain(before),
                "answer_logprob_after": plain(after),
                "information_gain": plain(gain) if known else None,
                "z": plain(reward),
            }
            for (before, after), gain, known, reward in zip(
                beliefs, gains, counted, rewards, strict=True
            )
        ]
        for turn, trajectory in zip(final_turns(batch), _with_turns(batch), strict=True):
            outcome = plain(batch.returns[trajectory])
            why[turn] = {"outcome": outcome, "z": plain(rewards[turn])}
        return why

    def _rewards(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> _Turns:
        """Return gains, which of them count, and the weighted standardised turn rewards."""
        gains, counted = self._gains(batch, signals)
        outcome_labels = batch.group_of_trajectory()
        gain_labels = outcome_labels[batch.trajectory_of_turn()[counted]]
        if self.normalise == "joint":
            pool = np.concatenate([gains[counted], batch.returns])
            labels = np.concatenate([gain_labels, outcome_labels])
            of_gains, of_outcomes = np.split(self._standardised(pool, labels), [len(gain_labels)])
        else:
            of_outcomes = self._standardised(batch.returns, outcome_labels)
            of_gains = self._standardised(gains[counted], gain_labels)
            alone = np.bincount(gain_labels, minlength=batch.num_groups)[gain_labels] == 1
            of_gains[alone] = 0.0
        last = final_turns(batch)
        rewards = np.zeros(batch.num_turns)
        rewards[counted] = self.gain_weight * of_gains
        if self.outcome == "host" and advantages is not None:
            rewards[last] = self.outcome_weight * advantages[last]
        else:
            rewards[last] = self.outcome_weight * of_outcomes[_with_turns(batch)]
        return _Turns(gains, counted, rewards)

    def _gains(self, batch: Batch, signals: Signals) -> tuple[Floats, Bools]:
        """Return each turn's gain and whether it counts: finite, and not of a last turn."""
        beliefs = signal_per_turn(self.name, "answer_logprob", batch, signals, columns=2)
        is_final = np.zeros(batch.num_turns, np.bool_)
        is_final[final_turns(batch)] = True
        _refuse_unanswered(self.name, batch, np.isnan(beliefs).any(axis=1) & ~is_final)
        with np.errstate(invalid="ignore", over="ignore"):
            scores = np.exp(beliefs) if self.difference == "prob" else beliefs
            gains = scores[:, 1] - scores[:, 0]
        return gains, np.isfinite(gains) & ~is_final

    def _standardised(self, values: Floats, labels: Ints) -> Floats:
        mean, std, size = group_statistics(values, labels, ddof=self.ddof)
        scale: Floats = np.where(size == 1, 1.0, np.sqrt(std**2 + 1e-8) + 1e-6)
        return (values - mean) / scale


class _Turns(NamedTuple):
    gains: Floats
    counted: Bools
    rewards: Floats


def _with_turns(batch: Batch) -> Ints:
    """Return the trajectories that have turns, in the order of `final_turns`."""
    return np.flatnonzero(np.diff(batch.turn_offsets) > 0)


def _refuse_unanswered(method: str, batch: Batch, unscored: Bools) -> None:
    """Refuse unscored turns of trajectories without a reference answer.

    With an answer, a turn that could not be scored (its prefix was too long) is merely left out.
    """
    if not unscored.any():
        return
    unanswered = np.array([answer is None for answer in batch.answers], np.bool_)
    refuse_missing(
        method,
        "the signal 'answer_logprob'",
        batch,
        unscored & unanswered[batch.trajectory_of_turn()],
        "its task has no reference answer; expose info['answer'] in the environment, give the "
        "scores, or leave igpo out",
    )
