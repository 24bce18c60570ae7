"""The ring from Python: `agentrl.train(...)` does what the command line does, with the same words.

run = agentrl.train(env="alfworld", policy="tiny", credit=["grpo"], updates=20)
print(run.evaluate(split="test").success)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentrl.config import Config, build_config
from agentrl.errors import AgentRLError
from agentrl.run import RunDirectory

if TYPE_CHECKING:
    from agentrl.evaluation.report import Report


@dataclass(frozen=True, slots=True)
class Run:
    """A run on disk."""

    path: Path

    @property
    def config(self) -> Config:
        """The resolved configuration."""
        return RunDirectory.open(self.path).config()

    def metrics(self) -> list[dict[str, Any]]:
        """Return the figures of each update."""
        from agentrl.monitor.metrics import read_metrics

        return read_metrics(RunDirectory.open(self.path).metrics_file)

    def evaluate(
        self,
        *,
        split: str | None = None,
        attempts: int | None = None,
        tasks: int | None = None,
        step: str | None = None,
        **options: Any,
    ) -> Report:
        """Evaluate a checkpoint; a stopped evaluation goes on where it was.

        Args:
            split: Default: `evaluation.split`.
            attempts: Attempts per task.
            tasks: Size of the panel.
            step: A checkpoint's number, or `base` for the initial policy; default: the latest.
            options: Environment options that differ from the run's.
        """
        from agentrl.evaluation.offline import evaluate_target
        from agentrl.evaluation.target import find_run

        target = find_run(self.path, step=step)
        return evaluate_target(target, split=split, attempts=attempts, tasks=tasks, options=options)


def train(run: str | Path | None = None, **settings: Any) -> Run:
    """Train a policy and return its run.

    Args:
        run: The run directory; default: `runs/ENV-CREDIT-TIME`.
        settings: Sections and values of the configuration, such as `env="alfworld"`,
            `updates=20` or `learner={"learning_rate": 1e-5}`.

    Raises:
        AgentRLError: A wrong setting, or the run was interrupted.
    """
    from agentrl.parts import build_parts
    from agentrl.trainer import default_run_directory
    from agentrl.trainer import train as fit

    config = build_config(settings, source="agentrl.train")
    path = Path(run) if run is not None else default_run_directory(config)
    RunDirectory.refuse_taken(path)
    parts = build_parts(config, path)
    directory = RunDirectory.create(path, config)
    if not fit(config, directory, parts):
        raise AgentRLError(f"the run was interrupted; go on with: agentrl resume {path}")
    return Run(path)


def load_run(path: str | Path) -> Run:
    """Return a run that was trained before.

    Raises:
        ConfigError: There is no run in `path`.
    """
    return Run(RunDirectory.open(Path(path)).path)
