"""Held-out evaluation while a run trains: the points of its learning curve.

Results lie where `agentrl eval RUN` looks for them, under the same conditions, so that neither
plays again what the other has played.
"""

from __future__ import annotations

import re
from pathlib import Path

from agentrl import registry
from agentrl.config import Config
from agentrl.dialogue.base import DialogueFactory
from agentrl.engines.base import Engine
from agentrl.evaluation.conditions import Conditions
from agentrl.evaluation.evaluate import evaluate
from agentrl.evaluation.panel import Panel
from agentrl.evaluation.report import Report
from agentrl.evaluation.target import policy_at
from agentrl.monitor.metrics import Metrics

_OF_AN_UPDATE = re.compile(r"-step-(\d+)-[0-9a-f]+\.jsonl$")
"""The name of the results of a run's policy, see `Conditions.results_file` and `policy_at`."""


class HeldOut:
    """Plays a run's panel with the policy under training."""

    def __init__(self, config: Config, folder: Path) -> None:
        """Fix the panel, so that a wrong split or option is known before the first update.

        Args:
            config: Its sections evaluation, env, sampling, dialogue and rollout are read.
            folder: Where panel and results go.

        Raises:
            TaskError: No such split, or a task has changed since the panel was written.
            ConfigError: The environment has no such option.
        """
        self._config = config
        self._folder = folder
        self._panel = panel_of(self._conditions(0), folder, config.evaluation.tasks)[0]

    def is_due(self, update: int) -> bool:
        """Return whether the policy after this many updates is evaluated."""
        return update % self._config.evaluation.every == 0 or update == self._config.updates

    async def play(self, update: int, engine: Engine, dialogues: DialogueFactory) -> Report:
        """Evaluate the engine's policy as the one after `update` updates.

        Raises:
            AgentRLError: See `evaluate`.
        """
        conditions = self._conditions(update)
        return await evaluate(
            conditions,
            engine,
            dialogues,
            self._panel,
            results_path=conditions.results_file(self._folder),
            attempts=self._config.evaluation.attempts,
            rollout=self._config.rollout,
        )

    def _conditions(self, update: int) -> Conditions:
        return Conditions.of(self._config, policy_at(update))


def forget_undone(folder: Path, update: int) -> None:
    """Delete the results of policies after `update`: others will bear their names.

    Args:
        folder: A run's evaluations.
        update: The update that the run goes on from.
    """
    for path in folder.glob("*.jsonl"):
        found = _OF_AN_UPDATE.search(path.name)
        if found and int(found[1]) > update:
            path.unlink()


def held_out_figures(report: Report) -> Metrics:
    """Return a line of `held_out.jsonl`: success with its 95% interval, score, turns, episodes."""
    success = report.success
    return {
        "success": success.value,
        "low": success.low,
        "high": success.high,
        "score": report.score.value,
        "score_low": report.score.low,
        "score_high": report.score.high,
        "turns": report.turns,
        "episodes": float(report.scored),
    }


def panel_of(conditions: Conditions, folder: Path, tasks: int) -> tuple[Panel, bool]:
    """Return the panel of a folder of evaluations, and whether its split is held out.

    A new panel is written down in the folder.

    Raises:
        TaskError: No such split, or a task has changed since the panel was written.
        ConfigError: The environment has no such option.
    """
    options = {"split": conditions.split, **conditions.options}
    env = registry.make(conditions.environment, **options)
    try:
        path = conditions.panel_file(folder)
        panel = Panel.keep(path, conditions.environment, env.tasks, conditions.split, tasks)
        return panel, env.tasks.is_held_out(conditions.split)
    finally:
        env.close()
