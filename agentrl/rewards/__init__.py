"""Reward transforms: `rewards: [otc, overlong]` in a configuration.

Usable alone, too:

    from agentrl import Batch, rewards

    transforms = rewards.parse([{"otc": {"max_calls": 8}}, "overlong"])
    batch = rewards.apply(Batch.from_jsonl("rollouts.jsonl"), transforms)
"""

from __future__ import annotations

from agentrl.rewards.base import RewardTransform
from agentrl.rewards.compose import apply, needs, parse
from agentrl.rewards.invalid import InvalidAction
from agentrl.rewards.noisy_verifier import NoisyVerifier
from agentrl.rewards.otc import Otc
from agentrl.rewards.overlong import Overlong
from agentrl.rewards.renorm import Renorm

__all__ = [
    "InvalidAction",
    "NoisyVerifier",
    "Otc",
    "Overlong",
    "Renorm",
    "RewardTransform",
    "apply",
    "needs",
    "parse",
]
