"""Is an episode determined by (task, seed, actions)?"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import Any

import numpy as np

from agentrl.check.play import act, first_difference, replay, start, walk
from agentrl.check.report import Finding
from agentrl.check.subject import Subject

_SEED = 7
_TURNS = 40
_OTHER_HASH_SEED = "20011"

Episode = tuple[str, list[str], list[dict[str, Any]]]
"""A task's id, the actions taken, and what the environment answered."""


def check_determinism(subject: Subject) -> Finding:
    """Play recorded actions again: same instance, fresh ones, side by side, another process."""
    finding = Finding(
        "determinism",
        "replay, tree credit and resumed runs assume that task, seed and actions decide everything",
    )
    recorded = _record(subject)
    again = {
        "again on the same instance": _on_one_instance,
        "on a fresh instance after reseeding the global generators": _on_fresh_instances,
        "while another instance plays": _interleaved,
        "in another process": _in_another_process,
    }
    for where, play in again.items():
        for (task_id, _, before), after in zip(recorded, play(subject, recorded), strict=True):
            difference = first_difference(before, after)
            if difference is not None:
                finding.problems.append(f"task {task_id!r} played {where}: {difference}")
                break
    return finding


def _record(subject: Subject) -> list[Episode]:
    rng = subject.rng("determinism")
    episodes = []
    for task_id in subject.task_ids(min(subject.episodes, 8)):
        actions, frames = walk(subject.make(), task_id, _SEED, rng, _TURNS)
        episodes.append((task_id, actions, [frame.plain() for frame in frames]))
    return episodes


def _on_one_instance(subject: Subject, recorded: list[Episode]) -> list[list[dict[str, Any]]]:
    env = subject.make()
    played = []
    for task_id, actions, _ in recorded:
        # An episode broken off in the middle must leave nothing behind.
        replay(env, task_id, _SEED + 1, actions[: len(actions) // 2])
        played.append([frame.plain() for frame in replay(env, task_id, _SEED, actions)])
    return played


def _on_fresh_instances(subject: Subject, recorded: list[Episode]) -> list[list[dict[str, Any]]]:
    # A copy of the generators is put back, so that the caller's own streams are left alone.
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(991)
    np.random.seed(991)
    try:
        return [
            [frame.plain() for frame in replay(subject.make(), task_id, _SEED, actions)]
            for task_id, actions, _ in recorded
        ]
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _interleaved(subject: Subject, recorded: list[Episode]) -> list[list[dict[str, Any]]]:
    """Step all episodes in turn, each on an instance of its own."""
    envs = [subject.make() for _ in recorded]
    played = [
        [start(env, task_id, _SEED)] for env, (task_id, _, _) in zip(envs, recorded, strict=True)
    ]
    for turn in range(_TURNS):
        for env, frames, (_, actions, _) in zip(envs, played, recorded, strict=True):
            if turn < len(actions) and not frames[-1].ended:
                frames.append(act(env, actions[turn]))
    return [[frame.plain() for frame in frames] for frames in played]


def _in_another_process(subject: Subject, recorded: list[Episode]) -> list[list[dict[str, Any]]]:
    """Play in a process with another hash seed, which shuffles the order of sets."""
    request = {
        "name": subject.name,
        "split": subject.split,
        "options": subject.options,
        "episodes": [{"task": task, "actions": actions} for task, actions, _ in recorded],
        "seed": _SEED,
    }
    done = subprocess.run(
        [sys.executable, "-m", "agentrl.check.replay"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={
            **os.environ,
            "PYTHONHASHSEED": _OTHER_HASH_SEED,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        },
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(f"replay in another process failed: {last[0]}")
    frames: list[list[dict[str, Any]]] = json.loads(done.stdout.splitlines()[-1])
    return frames
