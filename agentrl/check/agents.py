"""What do a random agent and an oracle achieve?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from agentrl.check.play import Frame, act, random_action, start
from agentrl.check.report import Finding
from agentrl.check.subject import Subject
from agentrl.env import TextEnv

_MOST_INVALID = 0.1
"""An expert that knows no more than it was shown may err now and then, but not more often."""

_LONGEST = 1000
"""Turns after which an episode without a limit is given up."""


def measure_agents(subject: Subject) -> Finding:
    """Play with a random agent and, where the environment offers `expert_action`, an oracle."""
    finding = Finding(
        "agents",
        "what chance solves teaches nothing, and what the oracle fails may be unsolvable",
    )
    rng = subject.rng("agents")
    task_ids = subject.task_ids(subject.episodes)
    chance = _play_all(subject.make(), task_ids, lambda frame: random_action(frame, rng, noise=0.0))
    finding.figures["episodes"] = len(task_ids)
    finding.figures["random_success"] = chance.wins / len(task_ids)
    finding.figures["oracle_success"] = None
    oracle = subject.make_with_expert(task_ids[0])
    if oracle is None:
        finding.notes.append("no expert_action is offered, so no oracle was played")
        return finding
    expert = _play_all(oracle, task_ids, lambda frame: frame.info.get("expert_action"))
    finding.figures["oracle_success"] = expert.wins / len(task_ids)
    _judge(finding, expert, chance, len(task_ids))
    return finding


@dataclass(slots=True)
class _Tally:
    """What an agent achieved."""

    wins: int = 0
    actions: int = 0
    invalid: list[str] = field(default_factory=list)


def _judge(finding: Finding, expert: _Tally, chance: _Tally, tasks: int) -> None:
    """Say what is wrong with the expert's play, or worth knowing about it."""
    if expert.invalid:
        share = len(expert.invalid) / expert.actions
        text = (
            f"{share:.1%} of the expert's own actions were invalid, such as {expert.invalid[0]!r}"
        )
        (finding.problems if share > _MOST_INVALID else finding.notes).append(text)
    if expert.wins == 0:
        finding.problems.append(f"the expert solved none of {tasks} tasks")
    elif expert.wins < tasks:
        finding.notes.append(f"the expert solved {expert.wins} of {tasks} tasks")
    if chance.wins > expert.wins:
        finding.problems.append("a random agent solved more tasks than the expert")


def _play_all(env: TextEnv, task_ids: list[str], choose: Callable[[Frame], str | None]) -> _Tally:
    """Play one episode of each task."""
    tally = _Tally()
    for task_id in task_ids:
        frame = start(env, task_id)
        for _ in range(_LONGEST):
            action = choose(frame)
            if frame.ended or action is None:
                break
            frame = act(env, action)
            tally.actions += 1
            if frame.info.get("invalid"):
                tally.invalid.append(action)
        tally.wins += bool(frame.info.get("success"))
    return tally
