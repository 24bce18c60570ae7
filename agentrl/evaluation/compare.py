"""Compares two evaluations task by task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from agentrl.errors import ConfigError, DataError
from agentrl.evaluation.paired import FEWEST, Difference, paired_difference
from agentrl.evaluation.results import Attempt, Results, read_results
from agentrl.trajectory import Outcome

Task = tuple[str, str]
"""A task's id and the fingerprint of its content."""
Scored = dict[Task, list[Attempt]]
"""Scored attempts by task."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One evaluation that can be compared."""

    path: Path
    results: Results

    def scored(self) -> Scored:
        """Return what counts, by task."""
        scored: Scored = {}
        for attempt in self.results.final().values():
            if attempt.is_scored:
                scored.setdefault((attempt.task, attempt.fingerprint), []).append(attempt)
        return scored


@dataclass(frozen=True, slots=True)
class Comparison:
    """Evaluation B against evaluation A, on their common tasks."""

    a: Evaluated
    b: Evaluated
    tasks: int
    """Tasks that both have played."""
    only_a: int
    """Tasks that only A has played; they are left out."""
    only_b: int
    success_a: float
    success_b: float
    success: Difference
    score_a: float
    score_b: float
    score: Difference
    notes: list[str]
    """What else differs between the two, or makes the comparison weak."""

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as plain JSON."""
        return {
            "a": _side(self.a),
            "b": _side(self.b),
            "environment": self.a.results.conditions.environment,
            "split": self.a.results.conditions.split,
            "tasks": self.tasks,
            "only_a": self.only_a,
            "only_b": self.only_b,
            "success_a": self.success_a,
            "success_b": self.success_b,
            "success_difference": self.success.as_dict(),
            "score_a": self.score_a,
            "score_b": self.score_b,
            "score_difference": self.score.as_dict(),
            "notes": self.notes,
        }


def compare(a: Evaluated, b: Evaluated, *, seed: int = 0) -> Comparison:
    """Return B minus A on the tasks that both have played.

    Raises:
        ConfigError: They played different environments, splits or options, or share no task.
        DataError: A task of the same name is another one in B.
    """
    if not is_comparable(a, b):
        raise ConfigError(
            f"{a.path} and {b.path} cannot be compared: one played {_played(a)}, the other "
            f"{_played(b)}"
        )
    left, right = a.scored(), b.scored()
    names_a, names_b = {id_ for id_, _ in left}, {id_ for id_, _ in right}
    # Where both have played several contents of a task, the one that A has played last counts.
    contents = {task[0]: task for task in left if task in right}
    _check_same_tasks(names_a & names_b, contents)
    common = list(contents.values())
    if not common:
        raise ConfigError(f"{a.path} and {b.path} share no task; evaluate both on the same panel")
    success = _means(common, left, _is_success), _means(common, right, _is_success)
    score = _means(common, left, _score), _means(common, right, _score)
    return Comparison(
        a=a,
        b=b,
        tasks=len(common),
        only_a=len(names_a - names_b),
        only_b=len(names_b - names_a),
        success_a=float(success[0].mean()),
        success_b=float(success[1].mean()),
        success=paired_difference(*success, span=1.0, seed=seed),
        score_a=float(score[0].mean()),
        score_b=float(score[1].mean()),
        score=paired_difference(*score, seed=seed),
        notes=_notes(a, b, common),
    )


def find_pair(a: str, b: str, split: str | None = None) -> tuple[Evaluated, Evaluated]:
    """Return the latest evaluations of two runs that can be compared with each other.

    Args:
        a: A run directory, `RUN@STEP` (a checkpoint's number, or `base`), or a results file.
        b: Another.
        split: Which split's evaluations; None: whichever both have.

    Raises:
        ConfigError: One has no evaluation, or no two of them can be compared.
        DataError: A results file is damaged.
    """
    left, right = candidates(a, split), candidates(b, split)
    able = [pair for pair in product(left, right) if is_comparable(*pair)]
    if not able:
        raise ConfigError(
            f"{a} played {_played(left[0])} and {b} played {_played(right[0])}: evaluate both on "
            "the same split, with the same environment options"
        )
    return next((pair for pair in able if _same_way(*pair)), able[0])


def candidates(name: str, split: str | None = None) -> list[Evaluated]:
    """Return the evaluations that a word on the command line stands for, the latest first.

    Raises:
        ConfigError: There are none.
        DataError: A results file is damaged.
    """
    path, step = Path(name).expanduser(), ""
    if not path.exists() and "@" in name:
        place, _, step = name.rpartition("@")
        path = Path(place).expanduser()
    if path.is_file():
        return [Evaluated(path, read_results(path))]
    if not path.is_dir():
        raise ConfigError(f"{name} is neither a run directory nor a results file")
    folder = path / "evaluations" if (path / "evaluations").is_dir() else path
    found = [Evaluated(file, read_results(file)) for file in sorted(folder.glob("*-*.jsonl"))]
    wanted = [
        e for e in found if split in (None, e.results.conditions.split) and step in ("", _step(e))
    ]
    if not wanted:
        what = " ".join(filter(None, ["no evaluation", split and f"of split {split!r}"]))
        at = f" of step {step}" if step else ""
        flags = "".join([f" --split {split}" if split else "", f" --step {step}" if step else ""])
        raise ConfigError(f"{path} holds {what}{at}; make one with: agentrl eval {path}{flags}")
    return sorted(wanted, key=_age, reverse=True)


def is_comparable(a: Evaluated, b: Evaluated) -> bool:
    """Return whether two evaluations played the same environment, options and split."""
    left, right = a.results.conditions, b.results.conditions
    return (left.environment, left.split, left.options) == (
        right.environment,
        right.split,
        right.options,
    )


def _same_way(a: Evaluated, b: Evaluated) -> bool:
    left, right = a.results.conditions, b.results.conditions
    names = ("sampling", "seed", "max_invalid_actions")
    return all(getattr(left, name) == getattr(right, name) for name in names)


def _step(evaluated: Evaluated) -> str:
    """Return the step that a policy's name ends in without leading zeros, or its whole name."""
    policy = evaluated.results.conditions.policy
    digits = policy.removeprefix("step-")
    return str(int(digits)) if digits.isdecimal() else policy


def _age(evaluated: Evaluated) -> tuple[int, float]:
    step = _step(evaluated)
    return int(step) if step.isdecimal() else -1, evaluated.path.stat().st_mtime


def _check_same_tasks(names: set[str], contents: Mapping[str, Task]) -> None:
    changed = sorted(names - set(contents))
    if changed:
        raise DataError(
            f"{len(changed)} of {len(names)} common tasks, {changed[0]!r} first, were other tasks "
            "under the same name when B was evaluated; evaluate both again"
        )


def _means(tasks: list[Task], scored: Scored, value: Callable[[Attempt], float]) -> Any:
    return np.array([np.mean([value(attempt) for attempt in scored[task]]) for task in tasks])


def _is_success(attempt: Attempt) -> float:
    return float(attempt.outcome is Outcome.SUCCESS)


def _score(attempt: Attempt) -> float:
    return attempt.score


def _notes(a: Evaluated, b: Evaluated, common: list[Task]) -> list[str]:
    notes = []
    if len(common) < 20:
        notes.append(f"{len(common)} tasks are few: the interval is rougher than it looks")
    latest = [{(x.task, x.fingerprint) for x in _latest(e)} for e in (a, b)]
    older = sum(task not in latest[0] & latest[1] for task in common)
    if older:
        notes.append(f"{older} tasks are compared as they were before their content changed")
    left, right = a.results.conditions, b.results.conditions
    for name in ("sampling", "dialogue", "max_invalid_actions", "endpoint", "seed"):
        if getattr(left, name) != getattr(right, name):
            notes.append(f"the two were played with different {name} settings")
    lost = [_lost(e.results.attempts) for e in (a, b)]
    if any(lost):
        notes.append(f"attempts lost to infrastructure and left out: A {lost[0]}, B {lost[1]}")
    return notes


def _latest(evaluated: Evaluated) -> Iterable[Attempt]:
    """Return an attempt at each task, the one played last."""
    return {attempt.task: attempt for attempt in evaluated.results.attempts}.values()


def _lost(attempts: list[Attempt]) -> int:
    """Return how many attempts were never scored, whatever the content of their tasks."""
    scored = {(a.task, a.attempt) for a in attempts if a.is_scored}
    return len({(a.task, a.attempt) for a in attempts} - scored)


def _played(evaluated: Evaluated) -> str:
    conditions = evaluated.results.conditions
    options = ", ".join(f"{key}={value}" for key, value in conditions.options.items())
    return f"{conditions.environment} split {conditions.split}" + (
        f" ({options})" if options else ""
    )


def _side(evaluated: Evaluated) -> dict[str, str]:
    return {"results": str(evaluated.path), "policy": evaluated.results.conditions.policy}


def describe(comparison: Comparison) -> str:
    """Return in one sentence what the difference in success says."""
    difference = comparison.success
    if difference.is_significant:
        more = "more" if difference.value > 0 else "less"
        return (
            f"B succeeds {more} often than A: the 95% interval of the difference excludes 0 "
            f"(p = {difference.p_value:.2g})."
        )
    if comparison.tasks < FEWEST:
        return (
            f"No difference in success can be shown with fewer than {FEWEST} common tasks (here "
            f"{comparison.tasks}); a small one takes many more."
        )
    return (
        "No difference in success is shown. That does not make the two equal: with these "
        f"{comparison.tasks} tasks a true difference has to be about {difference.detectable:.2f} "
        "to be found 4 times out of 5."
    )
