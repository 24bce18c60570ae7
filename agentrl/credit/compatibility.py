"""Which credit methods go with which settings of a run.

`RUN_RULES` is read top to bottom: a row finds what clashes, says why, and says what to set
instead. What methods may stand in one list is in `agentrl.credit.list_rules`, what they need of an
environment in `agentrl.rollout.probe`, and which settings of the loss go together in
`agentrl.learner.options`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentrl.credit.bnpo import Bnpo
from agentrl.credit.clashes import GROUP, STEP, Clash, Methods
from agentrl.credit.list_rules import check_list, nearest
from agentrl.credit.reinforce_pp import ReinforcePP
from agentrl.credit.spo import Spo
from agentrl.entries import written
from agentrl.errors import ConfigError
from agentrl.rewards.compose import check_with_credit
from agentrl.rewards.overlong import Overlong

if TYPE_CHECKING:
    from agentrl.config import Config
    from agentrl.rewards.base import RewardTransform

__all__ = ["LARGE_ENTROPY_BONUS", "RUN_RULES", "check_list", "check_run"]

LARGE_ENTROPY_BONUS = 0.01
"""An entropy bonus of more weight pulls against EMPG, whose own bonus is for low entropy.

The matrix says `large` and gives no number: 0.01 is the largest that is in common use.
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What the rules of a run look at."""

    config: Config
    methods: Methods
    rewards: Sequence[RewardTransform]

    def has(self, *names: str) -> Clash:
        """Return which of these credit methods are in the list, in its order."""
        return [method.name for method in self.methods if method.name in names]

    def without(self, *names: str) -> str:
        """Return the nearest credit list without these methods, as text."""
        return written(nearest([method for method in self.methods if method.name not in names]))


@dataclass(frozen=True, slots=True)
class RunRule:
    """A credit list that makes no sense in this run."""

    clash: Callable[[Run], Clash]
    why: str
    """With the clashing names in the place of `{0}`, `{1}`."""
    instead: Callable[[Run], str]
    """What to set, as one would write it."""


def check_run(config: Config, methods: Methods, rewards: Sequence[RewardTransform] = ()) -> None:
    """Refuse settings of a run that make no sense with its credit list.

    Args:
        config: The whole configuration.
        methods: Its credit list, parsed.
        rewards: Its reward transforms, parsed.

    Raises:
        ConfigError: Says why, and what to set instead.
    """
    run = Run(config, methods, rewards)
    for rule in RUN_RULES:
        found = rule.clash(run)
        if found:
            raise ConfigError(f"{rule.why.format(*map(repr, found))}; {rule.instead(run)}")
    check_with_credit(rewards, methods, other_rewards=config.learner.kl == "reward")


def _nothing_to_compare(run: Run) -> Clash:
    return run.has(*GROUP, *STEP) if run.config.rollout.group_size == 1 else ()


def _spo_list(run: Run) -> str:
    rest = [method for method in run.methods[1:] if method.name not in STEP]
    return written(nearest([Spo(), *rest]))


def _entropy_up_and_down(run: Run) -> Clash:
    learner = run.config.learner
    smoothing = learner.entropy_smoothing
    weights = {
        "learner.entropy_coefficient": learner.entropy_coefficient,
        "learner.entropy_smoothing.weight": smoothing.weight if smoothing else 0.0,
    }
    large = [name for name, weight in weights.items() if weight > LARGE_ENTROPY_BONUS]
    return (*run.has("empg"), *large) if large and run.has("empg") else ()


def _two_judges(run: Run) -> Clash:
    judged = any(transform.name == "renorm" for transform in run.rewards)
    return (*run.has("igpo"), "renorm") if judged and run.has("igpo") else ()


def _kl_twice(run: Run) -> Clash:
    own = any(isinstance(m, ReinforcePP) and m.kl_coefficient > 0 for m in run.methods)
    return ("reinforce_pp",) if own and run.config.learner.kl == "reward" else ()


def _below_zero(run: Run) -> Clash:
    takers = [
        transform.name
        for transform in run.rewards
        if transform.stage == "price" or transform.name == "noisy_verifier"
    ]
    takers += ["learner.kl=reward"] if run.config.learner.kl == "reward" else []
    narrow = [m.name for m in run.methods if isinstance(m, Bnpo) and m.lowest >= 0]
    return (*narrow, takers[0]) if narrow and takers else ()


def _wider(run: Run) -> str:
    wide = [
        dataclasses.replace(method, lowest=-1.0) if isinstance(method, Bnpo) else method
        for method in run.methods
    ]
    return written(wide)


def _never_overlong(run: Run) -> Clash:
    most = run.config.dialogue.max_episode_tokens
    begins = [t.limit - t.buffer for t in run.rewards if isinstance(t, Overlong)]
    return ["overlong"] if most is not None and any(start >= most for start in begins) else ()


def _shorter(run: Run) -> str:
    most = run.config.dialogue.max_episode_tokens or 1
    return written([Overlong(limit=most, buffer=max(most // 5, 1))])


RUN_RULES: tuple[RunRule, ...] = (
    RunRule(
        _nothing_to_compare,
        "credit method {0} compares the episodes of a task, and with rollout.group_size 1 there "
        "is one of each",
        lambda run: f"use rollout.group_size=8, or credit={_spo_list(run)}",
    ),
    RunRule(
        _entropy_up_and_down,
        f"credit method {{0}} rewards low entropy, and {{1}} above {LARGE_ENTROPY_BONUS} high "
        "entropy",
        lambda run: f"use {LARGE_ENTROPY_BONUS} or less, or credit={run.without('empg')}",
    ),
    RunRule(
        _two_judges,
        "credit method {0} and reward transform {1} are both process signals, and each turn would "
        "be paid twice",
        lambda run: f"use rewards without renorm, or credit={run.without('igpo')}",
    ),
    RunRule(
        _kl_twice,
        "the KL to the reference would be in the reward twice, by kl_coefficient of {0} and by "
        "learner.kl=reward",
        lambda run: "use learner.kl=none",
    ),
    RunRule(
        _below_zero,
        "credit method {0} takes it that no episode earns less than 0, and {1} makes some do so",
        lambda run: f"give it the least that an episode can earn, as in credit={_wider(run)}",
    ),
    RunRule(
        _never_overlong,
        "reward transform {0} would never take anything: dialogue.max_episode_tokens ends episodes "
        "before its price begins",
        lambda run: f"use rewards={_shorter(run)}",
    ),
)
