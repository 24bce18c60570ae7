"""Does the environment keep Gymnasium's contract and agentrl's part of it?"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from typing import Any

from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

from agentrl.check.play import Frame, act, brief, random_action, replay, start, walk
from agentrl.check.report import Finding
from agentrl.check.subject import NO_LIMIT, Subject
from agentrl.env import TextEnv
from agentrl.errors import TaskError, explain

_COLOUR = re.compile(r"\x1b\[\d+m")
_ALWAYS: dict[str, type] = {"task_id": str, "success": bool, "invalid": bool}
_OPTIONAL: dict[str, type] = {
    "state_key": str,
    "answer": str,
    "expert_action": str,
    "admissible_actions": list,
    "metrics": dict,
}


def check_gymnasium(subject: Subject) -> Finding:
    """Run Gymnasium's own checker; its warnings count."""
    finding = Finding("gymnasium", "other libraries rely on Gymnasium's contract to the letter")
    env = subject.make()
    env.spec = EnvSpec(
        "agentrl/checked-v0",
        entry_point="agentrl.registry:make",
        kwargs={"name": subject.name, "split": subject.split, **subject.options},
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            check_env(env)
        except Exception as error:
            finding.problems.append(f"check_env raised {explain(error)}")
    finding.problems += [
        _COLOUR.sub("", str(warning.message)).removeprefix("WARN: ")
        for warning in caught
        if "WARN" in str(warning.message)
    ]
    return finding


def check_answers(subject: Subject) -> Finding:
    """Check types of everything returned, and the errors for tasks and splits that do not exist."""
    finding = Finding("answers", "the collector and step-level credit read these keys of info")
    rng = subject.rng("answers")
    for task_id in subject.task_ids(min(subject.episodes, 8)):
        _, frames = walk(subject.make(), task_id, 0, rng, 40)
        for turn, frame in enumerate(frames):
            problems = [f"turn {turn} of task {task_id!r}: {p}" for p in _faults(frame, task_id)]
            finding.problems += problems
            if problems:
                return finding
    finding.problems += _unknown_names(subject)
    return finding


def check_turn_limit(subject: Subject) -> Finding:
    """Check that a limit on turns truncates, exactly then, and never terminates."""
    finding = Finding(
        "turn limit",
        "an episode cut off is not a task failed: credit and value targets treat them differently",
    )
    rng = subject.rng("turn limit")
    for task_id in subject.task_ids(min(subject.episodes, 8)):
        free = subject.make(max_turns=NO_LIMIT)
        actions, frames = _longer_than(free, task_id, rng, 3)
        limit = len(frames) - 2
        if limit < 1:
            continue
        limited = replay(subject.make(max_turns=limit), task_id, 0, actions)
        finding.problems += [
            f"task {task_id!r} with max_turns={limit}: {fault}"
            for fault in _limit_faults(limited, frames, limit)
        ]
        if finding.problems:
            break
    return finding


def _faults(frame: Frame, task_id: str) -> list[str]:
    """Return what is wrong with one frame."""
    faults = []
    if not isinstance(frame.observation, str):
        return [f"the observation is a {type(frame.observation).__name__}, not text"]
    if not is_unicode(frame.observation):
        faults.append("the observation holds a lone surrogate, which cannot be encoded")
    if not isinstance(frame.reward, float | int) or not math.isfinite(frame.reward):
        faults.append(f"the reward is {frame.reward!r}, not a finite number")
    faults += [f"info has no {name!r}" for name in _ALWAYS if name not in frame.info]
    for name, kind in {**_ALWAYS, **_OPTIONAL}.items():
        value = frame.info.get(name)
        if name in frame.info and not isinstance(value, kind):
            faults.append(f"info[{name!r}] is {brief(value)}, not {kind.__name__}")
    if frame.info.get("task_id", task_id) != task_id:
        faults.append(f"info['task_id'] is {brief(frame.info['task_id'])}")
    faults += _list_faults(frame.admissible)
    faults += _metric_faults(frame.info.get("metrics"))
    return faults


def _metric_faults(metrics: Any) -> list[str]:
    given = metrics if isinstance(metrics, dict) else {}
    return [
        f"info['metrics'] holds {brief(name)}: {brief(value)}; it must map names to finite numbers"
        for name, value in given.items()
        if not (isinstance(name, str) and isinstance(value, float | int) and math.isfinite(value))
    ]


def _list_faults(listed: Any) -> list[str]:
    if not isinstance(listed, list):
        return []
    strange = [action for action in listed if not isinstance(action, str) or not action]
    if strange:
        return [f"info['admissible_actions'] holds {brief(strange[0])}"]
    if len(set(listed)) < len(listed):
        twice = next(action for action in listed if listed.count(action) > 1)
        return [f"info['admissible_actions'] lists {brief(twice)} more than once"]
    return []


def _unknown_names(subject: Subject) -> list[str]:
    """Check the errors for a task and a split that do not exist."""
    problems = []
    env = subject.make()
    calls: dict[str, Callable[[], object]] = {
        "reset to an unknown task": lambda: env.reset(options={"task": "no such task/∞"}),
        "an unknown split": lambda: env.tasks.size("no such split"),
    }
    for what, call in calls.items():
        try:
            call()
        except TaskError:
            continue
        except Exception as error:
            problems.append(f"{what} raised {explain(error)} instead of TaskError")
        else:
            problems.append(f"{what} was accepted; it must raise TaskError")
    return problems


def _longer_than(env: TextEnv, task_id: str, rng: Any, turns: int) -> tuple[list[str], list[Frame]]:
    """Return a walk of `turns` + 1 turns, or of fewer where the episode ends before."""
    frames = [start(env, task_id)]
    actions: list[str] = []
    while len(actions) <= turns and not frames[-1].ended:
        actions.append(random_action(frames[-1], rng, noise=0.5))
        frames.append(act(env, actions[-1]))
    return actions, frames


def _limit_faults(limited: list[Frame], free: list[Frame], limit: int) -> list[str]:
    """Compare an episode with a limit with the same one without."""
    early = [turn for turn, frame in enumerate(limited[:limit]) if frame.ended]
    if early:
        return [f"the episode ended at turn {early[0]} already"]
    if len(limited) > limit + 1:
        return [f"the episode went on after turn {limit}: it must be truncated there"]
    last = limited[limit]
    if last.terminated and not free[limit].terminated:
        return ["the limit set `terminated`; it must set `truncated` and leave `terminated` False"]
    if not last.truncated:
        return ["`truncated` is not set at the limit"]
    return []


def is_unicode(text: str) -> bool:
    """Return whether text can be encoded (it holds no lone surrogate)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
