"""Do `snapshot` and `restore` bring a situation back exactly?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agentrl.check.play import RaisedError, act, first_difference, walk
from agentrl.check.report import Finding
from agentrl.check.subject import Subject
from agentrl.env import TextEnv
from agentrl.errors import explain

_SEED = 5
_BRANCHES = 4
_TASKS = 6


def check_snapshots(subject: Subject) -> Finding:
    """Go on from a snapshot, come back, and go on again; on the same and on a fresh instance."""
    finding = Finding(
        "snapshots", "tree credit and Monte-Carlo values branch episodes at a situation"
    )
    rng = subject.rng("snapshots")
    for task_id in subject.task_ids(min(subject.episodes, _TASKS)):
        env = subject.make()
        actions, frames = walk(env, task_id, _SEED, rng, 30)
        try:
            env.snapshot()
        except NotImplementedError as error:
            finding.skipped = str(error)
            return finding
        except Exception as error:
            finding.problems.append(f"snapshot raised {explain(error)}")
            return finding
        expected = [frame.plain() for frame in frames]
        for turn in rng.permutation(len(actions))[:_BRANCHES].tolist():
            problem = _branch(subject, task_id, actions, turn, expected, rng)
            if problem is not None:
                finding.problems.append(f"task {task_id!r}, snapshot at turn {turn}: {problem}")
                return finding
    return finding


def _branch(
    subject: Subject,
    task_id: str,
    actions: list[str],
    turn: int,
    expected: list[dict[str, object]],
    rng: np.random.Generator,
) -> str | None:
    """Return what went wrong when the episode was branched at `turn`, or None."""
    env = subject.make()
    env.reset(seed=_SEED, options={"task": task_id})
    for action in actions[:turn]:
        act(env, action)
    snapshot = env.snapshot()
    key, shown = env.state_key(), env.render()
    shuffled = [actions[i] for i in rng.permutation(len(actions))]
    other_ways: dict[str, Callable[[], object]] = {
        "after the episode went on": lambda: _play(env, actions[turn:]),
        "after another course": lambda: _play(env, shuffled),
        "after another task": lambda: walk(env, subject.task_ids(_TASKS + 1)[-1], 1, rng, 5),
    }
    for way, go_elsewhere in other_ways.items():
        env.restore(snapshot)
        go_elsewhere()
        env.restore(snapshot)
        if env.state_key() != key or env.render() != shown:
            return f"restored {way}, state_key or observation is not what it was"
        difference = first_difference(expected[turn + 1 :], _play(env, actions[turn:]))
        if difference is not None:
            return f"restored {way}, the same actions differ at {difference}"
    fresh = subject.make()
    try:
        fresh.restore(snapshot)
        difference = first_difference(expected[turn + 1 :], _play(fresh, actions[turn:]))
    except RaisedError as error:
        return f"restored on a fresh instance: {error}"
    except Exception as error:
        return f"restore on a fresh instance raised {explain(error)}"
    return f"restored on a fresh instance, {difference}" if difference is not None else None


def _play(env: TextEnv, actions: list[str]) -> list[dict[str, object]]:
    played = []
    for action in actions:
        frame = act(env, action)
        played.append(frame.plain())
        if frame.ended:
            break
    return played
