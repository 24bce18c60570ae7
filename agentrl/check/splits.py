"""Are the splits disjoint, by id and by content?"""

from __future__ import annotations

import hashlib
import pickle
import time
from collections.abc import Sequence
from copy import copy

import numpy as np

from agentrl.check.play import brief, pairs
from agentrl.check.report import Finding
from agentrl.check.subject import Subject
from agentrl.errors import TaskError
from agentrl.tasks import TaskSet

_WHOLE = 20_000
"""Splits up to this size are compared id by id; of larger ones as many ids are sampled."""
_CONTENTS = 400
_SECONDS = 10.0


def check_splits(subject: Subject) -> Finding:
    """Compare all splits pairwise, and check that each id is found in its own split."""
    finding = Finding("splits", "a test task seen in training makes the evaluation worthless")
    tasks, missing = _readable(subject.make().tasks)
    finding.notes += missing
    rng = subject.rng("splits")
    problems = [*_shape(tasks), *_shared_ids(tasks, rng)]
    if not problems:
        contents, count = _contents(tasks, rng)
        problems += _shared_contents(contents)
        finding.figures["tasks_compared_by_content"] = count
    finding.problems += problems
    finding.figures |= {f"tasks_{split}": tasks.size(split) for split in tasks.splits}
    if tasks.training >= set(tasks.splits):
        finding.notes.append("there is no held-out split to evaluate on")
    return finding


def _readable(tasks: TaskSet) -> tuple[TaskSet, list[str]]:
    """Return the task set without the splits whose data are not here, and what was left out."""
    kept: dict[str, Sequence[str]] = {}
    notes = []
    for split, ids in tasks.splits.items():
        try:
            len(ids)
            kept[split] = ids
        except TaskError as error:
            notes.append(f"the split {split!r} was left out: {error}")
    readable = copy(tasks)
    readable.splits = kept
    return readable, notes


def _shape(tasks: TaskSet) -> list[str]:
    problems = [f"the split {split!r} is empty" for split in tasks.splits if not tasks.size(split)]
    missing = sorted(tasks.training - set(tasks.splits))
    return problems + [f"the training split {split!r} does not exist" for split in missing]


def _shared_ids(tasks: TaskSet, rng: np.random.Generator) -> list[str]:
    problems = []
    samples = {split: _sample(ids, rng, _WHOLE) for split, ids in tasks.splits.items()}
    for split, sample in samples.items():
        if len(sample) == tasks.size(split) and len(set(sample)) < len(sample):
            problems.append(f"the split {split!r} holds some id more than once")
        for task_id in sample[:200]:
            if (home := tasks.split_of(task_id)) != split:
                problems.append(f"task {brief(task_id)} of {split!r} is found in {home!r}")
                break
    for one, other in pairs(list(samples)):
        shared = {task_id for task_id in samples[one] if task_id in tasks.splits[other]}
        shared |= {task_id for task_id in samples[other] if task_id in tasks.splits[one]}
        if shared:
            problems.append(
                f"{one!r} and {other!r} share {len(shared)} ids, such as {brief(min(shared))}"
            )
    return problems


def _contents(tasks: TaskSet, rng: np.random.Generator) -> tuple[dict[str, dict[str, str]], int]:
    """Return for each split a sample's content hashes with the ids that have them."""
    deadline = time.monotonic() + _SECONDS
    found: dict[str, dict[str, str]] = {}
    for split, ids in tasks.splits.items():
        hashes = found[split] = {}
        for task_id in _sample(ids, rng, _CONTENTS):
            hashes[content_hash(tasks, task_id)] = task_id
            if time.monotonic() > deadline:
                break
    return found, sum(map(len, found.values()))


def _shared_contents(contents: dict[str, dict[str, str]]) -> list[str]:
    problems = []
    for one, other in pairs(list(contents)):
        shared = contents[one].keys() & contents[other].keys()
        if shared:
            content = min(shared)
            problems.append(
                f"{one!r} and {other!r} share the content of {len(shared)} of the tasks sampled: "
                f"{brief(contents[one][content])} is {brief(contents[other][content])}"
            )
    return problems


def content_hash(tasks: TaskSet, task_id: str) -> str:
    """Return a hash of a task's content, from its data where the task set names no fingerprint."""
    if not tasks.has_fingerprint:
        data = tasks.get(task_id).data
        if data is not None:
            return hashlib.sha256(pickle.dumps(data)).hexdigest()
    return tasks.fingerprint(task_id)


def _sample(ids: Sequence[str], rng: np.random.Generator, count: int) -> list[str]:
    """Return all ids of a small split, or `count` drawn at random."""
    if len(ids) <= count:
        return [ids[i] for i in range(len(ids))]
    return [ids[int(i)] for i in np.unique(rng.integers(len(ids), size=count))]
