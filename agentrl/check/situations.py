"""Is `state_key` equal exactly when the agent's situation is equal?

Two situations of a task count as equal when every continuation gets the same answers from both.
So random walks are made without a limit on turns, pairs of turns with equal keys are brought back
by replaying what led to them, and the same continuation is played from both. In the other
direction a key must survive what changes nothing: an invalid action, a snapshot taken and
restored, and it must come back when the situation does.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import numpy as np

from agentrl.check.play import (
    Frame,
    act,
    brief,
    first_difference,
    pairs,
    random_action,
    replay,
    start,
)
from agentrl.check.report import Finding
from agentrl.check.subject import NO_LIMIT, Subject
from agentrl.env import TextEnv

_WALKS = 3
_TURNS = 40
_PAIRS = 12
_CONTINUATION = 12
_LONG_CONTINUATION = 40
_SEED = 3


@dataclass(frozen=True, slots=True)
class Node:
    """One situation met on a walk."""

    prefix: tuple[str, ...]
    """The actions that lead to it."""
    frame: Frame
    state: bytes | None
    """The pickled snapshot, where there is one."""


@dataclass(slots=True)
class Walks:
    """All walks over one task."""

    task_id: str
    walks: list[list[Node]]
    pair: tuple[TextEnv, TextEnv]
    """Two instances to play continuations on."""
    draws: bool
    """Whether the environment drew random numbers after reset: the same action may then be
    answered differently in the same situation, and only lists of actions can be compared."""


def check_situations(subject: Subject) -> Finding:
    """Check both directions of the key's meaning on random walks."""
    finding = Finding(
        "state_key", "GiGPO and SALT compare actions taken in situations with equal keys"
    )
    rng = subject.rng("situations")
    for task_id in subject.task_ids(min(subject.episodes, 5)):
        walks = _explore(subject, task_id, rng)
        keys = [node.frame.key for walk in walks.walks for node in walk]
        if all(key is None for key in keys):
            finding.skipped = "the environment gives no state_key; step-level credit needs one"
            return finding
        if any(key is None for key in keys):
            finding.problems.append(f"task {task_id!r}: some turns have a state_key, others none")
            return finding
        finding.problems += [
            f"task {task_id!r}: {problem}" for problem in islice(_problems(walks, rng), 1)
        ]
        if walks.draws and not finding.notes:
            finding.notes.append("steps draw random numbers, so continuations were not compared")
        if finding.problems:
            break
    return finding


def _problems(walks: Walks, rng: np.random.Generator) -> Iterator[str]:
    for walk in walks.walks:
        yield from _changed_by_invalid_action(walk)
    nodes = [node for walk in walks.walks for node in walk]
    yield from _different_actions(nodes)
    yield from _equal_snapshots(nodes)
    if not walks.draws:
        yield from _different_futures(walks, nodes, rng)
        yield from _never_repeats(walks, rng)


def _explore(subject: Subject, task_id: str, rng: np.random.Generator) -> Walks:
    walks: list[list[Node]] = []
    draws = False
    for _ in range(_WALKS):
        env = subject.make(max_turns=NO_LIMIT)
        spy = _spy_on_generator(env)
        frames = [start(env, task_id, _SEED)]
        actions: list[str] = []
        before = _positions(env, spy)
        nodes = [Node((), frames[0], _state(env))]
        while len(actions) < _TURNS and not frames[-1].ended:
            actions.append(random_action(frames[-1], rng, noise=0.2))
            frames.append(act(env, actions[-1]))
            nodes.append(Node(tuple(actions), frames[-1], _state(env)))
        draws |= before != _positions(env, spy)
        walks.append(nodes)
    pair = subject.make(max_turns=NO_LIMIT), subject.make(max_turns=NO_LIMIT)
    return Walks(task_id, walks, pair, draws)


def _changed_by_invalid_action(walk: list[Node]) -> Iterator[str]:
    for before, after in pairwise(walk):
        if after.frame.info.get("invalid") and after.frame.key != before.frame.key:
            yield (
                f"the invalid action {brief(after.prefix[-1])} changed the key from "
                f"{brief(before.frame.key)} to {brief(after.frame.key)}; leave counters out of it"
            )


def _different_actions(nodes: list[Node]) -> Iterator[str]:
    seen: dict[str | None, Node] = {}
    for node in nodes:
        first = seen.setdefault(node.frame.key, node)
        ours, theirs = first.frame.admissible, node.frame.admissible
        if ours is not None and theirs is not None and set(ours) != set(theirs):
            extra = min(set(ours) ^ set(theirs))
            yield (
                f"turns {len(first.prefix)} and {len(node.prefix)} have the key "
                f"{brief(node.frame.key)} but not the same actions ({brief(extra)} is in one only)"
            )


def _equal_snapshots(nodes: list[Node]) -> Iterator[str]:
    seen: dict[bytes, Node] = {}
    for node in nodes:
        if node.state is None:
            continue
        first = seen.setdefault(node.state, node)
        if first.frame.key != node.frame.key:
            yield (
                f"turns {len(first.prefix)} and {len(node.prefix)} have equal snapshots but the "
                f"keys {brief(first.frame.key)} and {brief(node.frame.key)}"
            )


def _different_futures(walks: Walks, nodes: list[Node], rng: np.random.Generator) -> Iterator[str]:
    """Play the same continuation from situations that claim to be equal."""
    groups: dict[str | None, list[Node]] = {}
    for node in nodes:
        if not node.frame.ended:
            groups.setdefault(node.frame.key, []).append(node)
    candidates = [pair for group in groups.values() for pair in pairs(group[:6])]
    order = rng.permutation(len(candidates))[:_PAIRS]
    for one, other in (candidates[i] for i in order):
        difference = _part(walks, one, other, rng, _CONTINUATION)
        if difference is not None:
            yield (
                f"turns {len(one.prefix)} and {len(other.prefix)} have the key "
                f"{brief(one.frame.key)} but answer the same actions differently: {difference}"
            )


def _never_repeats(walks: Walks, rng: np.random.Generator) -> Iterator[str]:
    """Find keys that hold a counter or the history where no invalid action betrays it."""
    for walk in walks.walks:
        alike: dict[str, list[Node]] = {}
        for node in walk:
            shown = f"{node.frame.observation}\0{node.frame.admissible}"
            alike.setdefault(shown, []).append(node)
        if len({node.frame.key for node in walk}) < len(walk):
            continue
        repeats = [(group[0], group[-1]) for group in alike.values() if len(group) > 1]
        futures = [_part(walks, *pair, rng, _LONG_CONTINUATION, keys=False) for pair in repeats[:4]]
        if len(repeats) >= 2 and not any(futures):
            yield (
                f"no key came twice in {len(walk) - 1} turns, although situations did; leave "
                "counters and the history out of the key"
            )


def _part(
    walks: Walks, one: Node, other: Node, rng: np.random.Generator, turns: int, keys: bool = True
) -> str | None:
    """Return where the futures of two situations part, or None where they agree."""
    ours, theirs = walks.pair
    here = replay(ours, walks.task_id, _SEED, one.prefix)[-1]
    there = replay(theirs, walks.task_id, _SEED, other.prefix)[-1]
    for _ in range(turns):
        if here.ended or there.ended:
            break
        action = random_action(here, rng)
        here, there = act(ours, action), act(theirs, action)
        difference = first_difference([_shown(here, keys)], [_shown(there, keys)])
        if difference is not None:
            return f"after {brief(action)}, {difference.removeprefix('turn 0: ')}"
    return None


def _shown(frame: Frame, keys: bool) -> dict[str, Any]:
    shown = frame.plain()
    hidden = ("info['state_key']",) if not keys else ()
    # An expert remembers how it came here; its advice is no part of the situation.
    return {k: v for k, v in shown.items() if k not in (*hidden, "info['expert_action']")}


def _state(env: Any) -> bytes | None:
    try:
        return pickle.dumps(env.snapshot_state())
    except Exception:
        # No snapshots, or not picklable: this evidence is simply not to be had.
        return None


def _spy_on_generator(env: Any) -> list[np.random.Generator]:
    """Return a list that will hold the generator `on_reset` is given."""
    given: list[np.random.Generator] = []
    original = env.on_reset

    def on_reset(task: Any, rng: np.random.Generator) -> str:
        given.append(rng)
        return str(original(task, rng))

    env.on_reset = on_reset
    return given


def _positions(env: Any, spy: list[np.random.Generator]) -> str:
    return repr([rng.bit_generator.state for rng in (env.np_random, *spy[-1:])])
