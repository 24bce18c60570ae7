"""How fast is the environment, and how much memory does an instance take?"""

from __future__ import annotations

import gc
import os
import time
import tracemalloc
from pathlib import Path

import numpy as np

from agentrl.check.play import act, random_action, start
from agentrl.check.report import Finding
from agentrl.check.subject import Subject
from agentrl.env import TextEnv

_INSTANCES = 24
_TURNS = 50
_SLOW_MAKE_SECONDS = 0.5
_NATIVE = 1 << 20
"""Memory per instance from which on the process's size is believed: below it is mostly noise."""


def measure_speed(subject: Subject) -> Finding:
    """Measure reset and step latency under a random agent, and memory over many instances."""
    finding = Finding("speed", "a slow environment leaves the policy's engine idle")
    begun = time.perf_counter()
    subject.make()
    making = time.perf_counter() - begun
    finding.figures["make_seconds"] = making
    if making > _SLOW_MAKE_SECONDS:
        finding.notes.append(
            f"making one more instance took {making:.1f} s; let instances share what they read"
        )
    resets, steps = _latencies(subject)
    finding.figures["steps_per_second"] = round(len(steps) / sum(steps), 1) if steps else None
    finding.figures["reset_seconds"] = float(np.median(resets))
    for name, seconds in (("reset", resets), ("step", steps)):
        for percent in (50, 95, 99):
            value = float(np.percentile(seconds, percent)) if seconds else None
            finding.figures[f"{name}_seconds_p{percent}"] = value
    finding.figures["bytes_per_environment"] = _bytes_per_environment(subject)
    return finding


def _latencies(subject: Subject) -> tuple[list[float], list[float]]:
    """Return the seconds of each reset and each step; the first episode warms up."""
    env = subject.make()
    rng = subject.rng("speed")
    resets: list[float] = []
    steps: list[float] = []
    for episode, task_id in enumerate(subject.task_ids(subject.episodes + 1)):
        begun = time.perf_counter()
        frame = start(env, task_id)
        ready = time.perf_counter()
        spent: list[float] = []
        while len(spent) < _TURNS and not frame.ended:
            action = random_action(frame, rng)
            before = time.perf_counter()
            frame = act(env, action)
            spent.append(time.perf_counter() - before)
        if episode == 0 and subject.episodes > 0:
            continue
        resets.append(ready - begun)
        steps += spent
    return resets or [0.0], steps


def _bytes_per_environment(subject: Subject) -> int:
    """Return what one more running instance costs.

    Python's own count is exact but sees no memory of native code or child processes' libraries;
    the growth of the process sees that, and counts where it is large.
    """
    kept = _crowd(subject, 1)
    size = _resident()
    kept += _crowd(subject, _INSTANCES)
    grown = (_resident() - size) // _INSTANCES
    kept.clear()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = _crowd(subject, _INSTANCES)
        traced = (tracemalloc.get_traced_memory()[0] - before) // _INSTANCES
    finally:
        tracemalloc.stop()
    for env in kept:
        env.close()
    return grown if grown > max(_NATIVE, traced) else traced


def _crowd(subject: Subject, count: int) -> list[TextEnv]:
    """Return instances in the middle of different tasks, as far as these go."""
    rng = subject.rng("memory")
    task_ids = subject.task_ids(min(subject.episodes, count))
    envs = []
    for index in range(count):
        env = subject.make()
        frame = start(env, task_ids[index % len(task_ids)])
        for _ in range(5):
            if not frame.ended:
                frame = act(env, random_action(frame, rng))
        envs.append(env)
    gc.collect()
    return envs


def _resident() -> int:
    """Return the bytes of memory the process occupies; 0 where the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
