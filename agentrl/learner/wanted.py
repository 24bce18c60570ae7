"""Which signals a run needs, and who of its models measures them."""

from __future__ import annotations

from collections.abc import Sequence

from agentrl.config import Config
from agentrl.credit.base import CreditMethod
from agentrl.credit.gae import Gae
from agentrl.credit.oprl import Oprl
from agentrl.errors import ConfigError
from agentrl.learner.critic import Critic
from agentrl.learner.learner import SIGNALS, Learner
from agentrl.learner.prm import ProcessRewardModel
from agentrl.learner.sources import LearnerSource, SignalSource
from agentrl.rewards.base import RewardTransform

MEASURED = frozenset({*SIGNALS, "answer_logprob", "prm_log_ratio", "value"})
"""Every signal that a training run can measure."""


def wanted_signals(
    config: Config, readers: Sequence[RewardTransform | CreditMethod]
) -> frozenset[str]:
    """Return the names of all signals that a run needs between rollout and update.

    Raises:
        ConfigError: A reward transform or credit method needs one that nothing measures.
    """
    names: set[str] = set()
    for reader in readers:
        for name in sorted(reader.needs - MEASURED):
            raise ConfigError(
                f"{reader.name!r} needs the signal {name!r}, which nothing in a training run "
                f"measures; the signals there are: {', '.join(sorted(MEASURED))}"
            )
        names |= reader.needs
    if config.learner.kl == "reward":
        names |= {"old_logprob", "ref_logprob"}
    if "prm_log_ratio" in names:
        names.add("old_logprob")
    return frozenset(names)


def build_sources(
    names: frozenset[str], config: Config, methods: Sequence[CreditMethod], learner: Learner
) -> list[SignalSource]:
    """Return the learner's own models that measure signals, in the order to be asked.

    Args:
        names: As of `wanted_signals`.
        config: Says how reward model and critic are made.
        methods: The credit list: `oprl` decides the reward model's beta, `gae` what a critic is to
            learn.
        learner: Of the policy that they start as.

    Raises:
        ConfigError: A critic is needed and no `gae` is there to say what it is to learn.
    """
    sources: list[SignalSource] = []
    policy, seed = learner.policy, config.seed
    if names & set(SIGNALS):
        sources.append(LearnerSource(learner, names))
    if "prm_log_ratio" in names:
        oprl = next((method for method in methods if isinstance(method, Oprl)), Oprl())
        sources.append(
            ProcessRewardModel(policy, config.prm, config.learner, beta=oprl.beta, seed=seed)
        )
    if "value" in names:
        gae = next((method for method in methods if isinstance(method, Gae)), None)
        if gae is None:
            raise ConfigError(
                "the signal 'value' needs a critic, and only credit method 'gae' says what a "
                "critic is to learn; begin the credit list with gae"
            )
        sources.append(Critic(policy, config.critic, config.learner, gae=gae, seed=seed))
    return sources
