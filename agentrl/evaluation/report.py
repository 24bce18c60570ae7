"""What an evaluation says: figures with intervals, made from the attempts of a panel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agentrl.evaluation.conditions import Conditions
from agentrl.evaluation.panel import Panel
from agentrl.evaluation.results import Attempt, Key, Results
from agentrl.evaluation.statistics import Estimate, mean_score, pass_at, success_rate


@dataclass(frozen=True, slots=True)
class Missing:
    """An attempt that the machinery, not the agent, failed: never scored."""

    task: str
    attempt: int
    outcome: str
    error: str


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one evaluation."""

    conditions: Conditions
    panel: str
    """The split with the hash of the tasks played, such as `test@3fa2c09b17de`."""
    tasks: int
    """Tasks of the panel."""
    attempts: int
    """Attempts asked for per task."""
    scored: int
    """Attempts that count, over all tasks."""
    success: Estimate
    score: Estimate
    pass_at: dict[int, Estimate]
    """Unbiased pass@k by k, where there were several attempts."""
    outcomes: dict[str, int]
    """Attempts by how they ended; those still missing by what they were lost to."""
    faults: dict[str, int]
    """Failures of infrastructure by kind, those included that were played again."""
    turns: float
    """Mean turns of a scored attempt."""
    invalid_rate: float
    """Share of invalid turns."""
    tokens: float
    """Mean sampled tokens of a scored attempt."""
    prompt_tokens: float
    """Mean tokens read by a scored attempt, over all its turns; 0 where no endpoint counts them."""
    metrics: dict[str, float]
    """Means of the environment's own figures over the scored attempts that have them."""
    missing: list[Missing]
    """Attempts lost to infrastructure; evaluating again plays them again."""
    seconds: float = 0.0
    """Wall-clock time of this evaluation, without what was played earlier."""
    resumed: int = 0
    """Attempts taken from an earlier evaluation that was stopped."""
    results: Path | None = None
    """The file with every attempt."""
    held_out: bool | None = None
    """Whether the split is held out from training; None: not looked up."""

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON; unknown figures are null."""
        conditions = self.conditions
        return {
            "environment": conditions.environment,
            "options": conditions.options,
            "split": conditions.split,
            "panel": self.panel,
            "held_out": self.held_out,
            "policy": conditions.policy,
            "sampling": conditions.sampling,
            "seed": conditions.seed,
            "tasks": self.tasks,
            "attempts": self.attempts,
            "scored": self.scored,
            "success": self.success.as_dict(),
            "score": self.score.as_dict(),
            "pass_at": {str(k): estimate.as_dict() for k, estimate in self.pass_at.items()},
            "outcomes": self.outcomes,
            "faults": self.faults,
            "turns": self.turns,
            "invalid_rate": self.invalid_rate,
            "tokens": self.tokens,
            "prompt_tokens": self.prompt_tokens,
            "metrics": self.metrics,
            "missing": [
                {name: getattr(missing, name) for name in Missing.__slots__}
                for missing in self.missing
            ],
            "seconds": round(self.seconds, 3),
            "resumed": self.resumed,
            "results": str(self.results) if self.results is not None else None,
        }


def build_report(
    results: Results,
    panel: Panel,
    attempts: int,
    *,
    seconds: float = 0.0,
    resumed: int = 0,
    path: Path | None = None,
) -> Report:
    """Return the report on the first `attempts` attempts at each task of a panel.

    Attempts at tasks that had another content than the panel's are left out.
    """
    final = results.final()
    wanted = dict.fromkeys(panel.attempts(attempts))
    played = [final[key] for key in wanted if key in final]
    scored = [attempt for attempt in played if attempt.is_scored]
    by_task = _group_by_task(scored)
    solved = [[a.outcome == "success" for a in group] for group in by_task.values()]
    turns = sum(a.turns for a in scored)
    return Report(
        conditions=results.conditions,
        panel=panel.name,
        tasks=len(panel.fingerprints),
        attempts=attempts,
        scored=len(scored),
        success=success_rate(solved),
        score=mean_score([[a.score for a in group] for group in by_task.values()]),
        pass_at={k: pass_at(solved, k) for k in pass_counts(attempts)},
        outcomes=dict(Counter(a.outcome.value for a in played).most_common()),
        faults=dict(Counter(a.outcome.value for a in results.attempts if _counts(a, wanted))),
        turns=_mean([a.turns for a in scored]),
        invalid_rate=sum(a.invalid_turns for a in scored) / turns if turns else 0.0,
        tokens=_mean([a.tokens for a in scored]),
        prompt_tokens=_mean([a.prompt_tokens for a in scored]),
        metrics=_metric_means(scored),
        missing=[_missing(key, final.get(key)) for key in wanted if _is_missing(key, final)],
        seconds=seconds,
        resumed=resumed,
        results=path,
    )


def _group_by_task(attempts: list[Attempt]) -> dict[str, list[Attempt]]:
    """Return attempts by task."""
    groups: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        groups.setdefault(attempt.task, []).append(attempt)
    return groups


def pass_counts(attempts: int) -> list[int]:
    """Return the k that pass@k is told for: powers of two and `attempts`, none for one attempt."""
    if attempts == 1:
        return []
    powers = [
        1 << exponent for exponent in range(attempts.bit_length()) if 1 << exponent < attempts
    ]
    return [*powers, attempts]


def _counts(attempt: Attempt, wanted: Mapping[Key, None]) -> bool:
    return not attempt.is_scored and attempt.key in wanted


def _is_missing(key: Key, final: Mapping[Key, Attempt]) -> bool:
    return key not in final or not final[key].is_scored


def _missing(key: Key, attempt: Attempt | None) -> Missing:
    task, _, number = key
    if attempt is None:
        return Missing(task, number, "not played", "the evaluation was stopped before")
    return Missing(task, number, attempt.outcome.value, attempt.error or "")


def _metric_means(attempts: list[Attempt]) -> dict[str, float]:
    names = sorted({name for attempt in attempts for name in attempt.metrics})
    return {n: _mean([a.metrics[n] for a in attempts if n in a.metrics]) for n in names}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0
