"""Plays a panel of tasks and reports; a stopped evaluation goes on where it was.

Every attempt has its own seed, made from the evaluation's seed, the task and the attempt's
number, for environment and sampling. So an evaluation that was stopped and resumed gives what it
would have given in one go, and two policies are compared on the same starts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from agentrl.config import RolloutConfig, SamplingConfig
from agentrl.dialogue.base import DialogueFactory
from agentrl.engines.base import Engine
from agentrl.errors import ConfigError, EnvironmentFault
from agentrl.evaluation.conditions import Conditions
from agentrl.evaluation.panel import Panel
from agentrl.evaluation.report import Report, build_report
from agentrl.evaluation.results import Attempt, Key, ResultsFile
from agentrl.rollout.collector import Collector, GroupRequest
from agentrl.rollout.environments import EnvSpec
from agentrl.rollout.seeds import derive_seed
from agentrl.trajectory import Outcome, Trajectory


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an evaluation is."""

    done: int
    """Attempts scored so far, earlier ones included."""
    total: int
    solved: int
    """Successes among them."""
    lost: int
    """Attempts lost to infrastructure in this evaluation."""
    trajectory: Trajectory
    """The episode that has just ended."""


async def evaluate(
    conditions: Conditions,
    engine: Engine,
    dialogues: DialogueFactory,
    panel: Panel,
    *,
    results_path: Path,
    attempts: int = 1,
    rollout: RolloutConfig | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Play every attempt at every task of a panel that the results file does not hold yet.

    What it holds of a task whose content has changed since does not count.

    Attempts lost to infrastructure are retried, never scored, and reported as missing; calling
    again plays them again.

    Args:
        conditions: The environment, its options, sampling, limit of invalid actions and seed.
        engine: Serves the policy; it stays open.
        dialogues: Makes the dialogue of each episode.
        panel: The tasks.
        results_path: The file that grows by one line per attempt.
        attempts: Attempts per task.
        rollout: Workers, concurrency, deadlines, retries; its limit of invalid actions is not
            read.
        on_progress: Called after each attempt.

    Raises:
        ConfigError: The results file was made under other conditions, or no first prompt fits
            the context.
        EnvironmentFault: Not one attempt could be played.
        DataError: The results file is damaged or cannot be written.
    """
    if attempts < 1:
        raise ConfigError(f"an evaluation needs at least 1 attempt per task, not {attempts}")
    begin = time.perf_counter()
    with ResultsFile(results_path, conditions) as file:
        final = file.results.final()
        scored = {key for key, attempt in final.items() if attempt.is_scored}
        wanted = panel.attempts(attempts)
        missing = [key for key in wanted if key not in scored]
        solved = sum(final[key].outcome is Outcome.SUCCESS for key in wanted if key in scored)
        play = _Play(file, panel, len(wanted), len(wanted) - len(missing), solved, on_progress)
        if missing:
            collector = _collector(conditions, engine, dialogues, rollout)
            await play.run(collector, missing)
        seconds = time.perf_counter() - begin
        resumed = len(wanted) - len(missing)
        return build_report(
            file.results, panel, attempts, seconds=seconds, resumed=resumed, path=results_path
        )


class _Play:
    """The attempts of one evaluation under way."""

    def __init__(
        self,
        file: ResultsFile,
        panel: Panel,
        total: int,
        done: int,
        solved: int,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._file = file
        self._panel = panel
        self._total = total
        self._done = done
        self._solved = solved
        self._lost = 0
        self._on_progress = on_progress
        self._fault = ""

    async def run(self, collector: Collector, missing: list[Key]) -> None:
        """Play the missing attempts and write each down as it ends."""
        before = self._done
        numbers = {f"{task}#{number}": number for task, _, number in missing}
        requests = [self._request(task, number) for task, _, number in missing]
        too_long = 0
        async with collector, aclosing(collector.stream(requests)) as episodes:
            async for trajectory in episodes:
                self._take(trajectory, numbers[trajectory.group])
                nothing = trajectory.outcome is Outcome.TRUNCATED_CONTEXT and not trajectory.turns
                too_long += nothing
        if self._done == 0:
            raise EnvironmentFault(
                f"all {len(missing)} attempts were lost to infrastructure; the first: {self._fault}"
            )
        if before == 0 and too_long == self._done:
            raise ConfigError(
                "the first prompt of every attempt is too long for the context or token budget; "
                "use a model with a longer context or a smaller dialogue.max_turn_tokens, and "
                f"delete {self._file.path}"
            )

    def _request(self, task: str, number: int) -> GroupRequest:
        seed = derive_seed("evaluation", self._file.results.conditions.seed, task, number)
        split = self._panel.split
        return GroupRequest(group=f"{task}#{number}", task_id=task, split=split, seed=seed)

    def _take(self, trajectory: Trajectory, number: int) -> None:
        fingerprint = self._panel.fingerprints[trajectory.task_id]
        self._file.append(Attempt.of(trajectory, number, fingerprint))
        if trajectory.outcome.is_infrastructure:
            self._lost += 1
            self._fault = self._fault or trajectory.error or trajectory.outcome.value
        else:
            self._done += 1
            self._solved += trajectory.success
        if self._on_progress is not None:
            self._on_progress(
                Progress(self._done, self._total, self._solved, self._lost, trajectory)
            )


def _collector(
    conditions: Conditions,
    engine: Engine,
    dialogues: DialogueFactory,
    rollout: RolloutConfig | None,
) -> Collector:
    spec = EnvSpec(conditions.environment, {"split": conditions.split, **conditions.options})
    sampling = SamplingConfig.model_validate(conditions.sampling)
    limit = {"max_invalid_actions": conditions.max_invalid_actions}
    settings = (rollout or RolloutConfig()).model_copy(update=limit)
    return Collector(spec, dialogues, engine, settings, sampling)
