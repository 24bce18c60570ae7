"""What do a random agent and an oracle achieve?"""

from __future__ import annotations

from collections.abc import Callable

from agentrl.check.play import Frame, act, random_action, start
from agentrl.check.report import Finding
from agentrl.check.subject import Subject
from agentrl.env import TextEnv


def measure_agents(subject: Subject) -> Finding:
    """Play with a random agent and, where the environment offers `expert_action`, an oracle."""
    finding = Finding(
        "agents",
        "what chance solves teaches nothing, and what the oracle fails may be unsolvable",
    )
    rng = subject.rng("agents")
    task_ids = subject.task_ids(subject.episodes, "agents")
    env = subject.make()
    random_wins, _ = _play_all(env, task_ids, lambda frame: random_action(frame, rng, noise=0.0))
    finding.figures["random_success"] = random_wins / len(task_ids)
    finding.figures["oracle_success"] = None
    oracle = subject.make_with_expert(task_ids[0])
    if oracle is None:
        finding.notes.append("no expert_action is offered, so no oracle was played")
        return finding
    wins, invalid = _play_all(oracle, task_ids, lambda frame: frame.info.get("expert_action"))
    finding.figures["oracle_success"] = wins / len(task_ids)
    finding.figures["episodes"] = len(task_ids)
    if invalid is not None:
        finding.problems.append(f"the expert's own action {invalid!r} was answered as invalid")
    if wins == 0:
        finding.problems.append(f"the expert solved none of {len(task_ids)} tasks")
    elif wins < len(task_ids):
        finding.notes.append(f"the expert solved {wins} of {len(task_ids)} tasks")
    if random_wins > wins:
        finding.problems.append("a random agent solved more tasks than the expert")
    return finding


def _play_all(
    env: TextEnv, task_ids: list[str], choose: Callable[[Frame], str | None]
) -> tuple[int, str | None]:
    """Return the number of tasks solved and the first action answered as invalid."""
    wins = 0
    invalid: str | None = None
    for task_id in task_ids:
        frame = start(env, task_id)
        for _ in range(1000):
            action = choose(frame)
            if frame.ended or action is None:
                break
            frame = act(env, action)
            if frame.info.get("invalid") and invalid is None:
                invalid = action
        wins += bool(frame.info.get("success"))
    return wins, invalid
