"""Credit assignment: which turn earned the reward. One file per method; numpy only.

Usable alone, with trajectories of any framework:

    stored = credit.Stored.read("rollouts.jsonl")  # or from_records, of what is in memory
    advantages = credit.assign(stored.batch, ["grpo", "salt"], stored.signals)
    for values in stored.per_trajectory(advantages):  # one value per turn, in input order
        ...

`credit.explain` gives the reasons, too; `agentrl credit FILE --credit grpo,salt` shows them.
"""

from __future__ import annotations

from agentrl.credit.base import Advantages, CreditMethod
from agentrl.credit.bnpo import Bnpo
from agentrl.credit.compose import assign, metrics, needs, parse, to_tokens
from agentrl.credit.dr_grpo import DrGrpo
from agentrl.credit.dr_mas import DrMas
from agentrl.credit.empg import Empg
from agentrl.credit.explain import Explained, explain
from agentrl.credit.gae import Gae
from agentrl.credit.gigpo import Gigpo
from agentrl.credit.graph_value import GraphValue
from agentrl.credit.grpo import Grpo
from agentrl.credit.igpo import Igpo
from agentrl.credit.oprl import Oprl
from agentrl.credit.records import CreditRecord, credit_records, read_credit, write_credit
from agentrl.credit.reinforce_pp import ReinforcePP
from agentrl.credit.reinforce_pp_baseline import ReinforcePPBaseline
from agentrl.credit.report import group_report
from agentrl.credit.rloo import Rloo
from agentrl.credit.salt import Salt
from agentrl.credit.spo import Spo
from agentrl.credit.stored import Stored
from agentrl.credit.whiten import Whiten

__all__ = [
    "Advantages",
    "Bnpo",
    "CreditMethod",
    "CreditRecord",
    "DrGrpo",
    "DrMas",
    "Empg",
    "Explained",
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
    "Stored",
    "Whiten",
    "assign",
    "credit_records",
    "explain",
    "group_report",
    "metrics",
    "needs",
    "parse",
    "read_credit",
    "to_tokens",
    "write_credit",
]
