"""Credit assignment: which turn earned the reward. One file per method; numpy only.

Usable alone, with trajectories of any framework:

    batch = agentrl.Batch.from_jsonl("rollouts.jsonl")
    advantages = agentrl.credit.assign(batch, ["grpo", "whiten"])  # one value per turn
"""

from __future__ import annotations

from agentrl.credit.base import Advantages, CreditMethod
from agentrl.credit.compose import assign, needs, parse, to_tokens
from agentrl.credit.dr_grpo import DrGrpo
from agentrl.credit.dr_mas import DrMas
from agentrl.credit.empg import Empg
from agentrl.credit.gae import Gae
from agentrl.credit.gigpo import Gigpo
from agentrl.credit.graph_value import GraphValue
from agentrl.credit.grpo import Grpo
from agentrl.credit.igpo import Igpo
from agentrl.credit.oprl import Oprl
from agentrl.credit.reinforce_pp import ReinforcePP
from agentrl.credit.reinforce_pp_baseline import ReinforcePPBaseline
from agentrl.credit.report import group_report
from agentrl.credit.rloo import Rloo
from agentrl.credit.salt import Salt
from agentrl.credit.spo import Spo
from agentrl.credit.whiten import Whiten

__all__ = [
    "Advantages",
    "CreditMethod",
    "DrGrpo",
    "DrMas",
    "Empg",
    "Gae",
    "Gigpo",
    "GraphValue",
    "Grpo",
    "Igpo",
    "Oprl",
    "ReinforcePP",
    "ReinforcePPBaseline",
    "Rloo",
    "Salt",
    "Spo",
    "Whiten",
    "assign",
    "group_report",
    "needs",
    "parse",
    "to_tokens",
]
