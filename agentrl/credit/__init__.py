"""Credit assignment: which turn earned the reward. One file per method; numpy only.

Usable alone, with trajectories of any framework:

    batch = agentrl.Batch.from_jsonl("rollouts.jsonl")
    advantages = agentrl.credit.assign(batch, ["grpo", "whiten"])  # one value per turn
"""

from __future__ import annotations

from agentrl.credit.base import Advantages, CreditMethod
from agentrl.credit.compose import assign, needs, parse, to_tokens
from agentrl.credit.dr_grpo import DrGrpo
from agentrl.credit.grpo import Grpo
from agentrl.credit.reinforce_pp import ReinforcePP
from agentrl.credit.reinforce_pp_baseline import ReinforcePPBaseline
from agentrl.credit.report import group_report
from agentrl.credit.rloo import Rloo
from agentrl.credit.whiten import Whiten

__all__ = [
    "Advantages",
    "CreditMethod",
    "DrGrpo",
    "Grpo",
    "ReinforcePP",
    "ReinforcePPBaseline",
    "Rloo",
    "Whiten",
    "assign",
    "group_report",
    "needs",
    "parse",
    "to_tokens",
]
