"""Optional places for the run's figures: TensorBoard, wandb, mlflow, trackio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from agentrl.config import Config
from agentrl.errors import MissingExtraError
from agentrl.monitor.metrics import Metrics


class Tracker(Protocol):
    """Takes the figures of each update."""

    def log(self, update: int, metrics: Metrics) -> None:
        """Record the figures of one update."""
        ...

    def close(self) -> None:
        """Flush and stop."""
        ...


def open_trackers(config: Config, run: Path) -> list[Tracker]:
    """Return the trackers that the configuration asks for.

    Raises:
        MissingExtraError: A tracker's package is not installed.
    """
    trackers: list[Tracker] = []
    if config.monitor.tensorboard:
        trackers.append(TensorBoard(run / "tensorboard"))
    for name in config.monitor.trackers:
        trackers.append(_MAKERS[name](config, run))
    return trackers


class TensorBoard:
    """Event files for `tensorboard --logdir RUN`."""

    def __init__(self, folder: Path) -> None:
        """Open an event file in `folder`."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingExtraError("tensorboard", "train", "monitor.tensorboard") from None
        self._writer: Any = SummaryWriter(str(folder))

    def log(self, update: int, metrics: Metrics) -> None:
        """Record the figures of one update."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, update)

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()


class Wandb:
    """A Weights & Biases run; resumes under the run directory's name."""

    def __init__(self, config: Config, run: Path) -> None:
        """Start or resume the run."""
        try:
            import wandb
        except ImportError:
            raise MissingExtraError("wandb", "wandb", "monitor.trackers=[wandb]") from None
        self._run = wandb.init(
            project=config.monitor.project,
            name=run.name,
            id=run.name,
            resume="allow",
            dir=str(run),
            config=config.model_dump(mode="json"),
        )

    def log(self, update: int, metrics: Metrics) -> None:
        """Record the figures of one update."""
        self._run.log(metrics, step=update)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


class Mlflow:
    """An MLflow run in the tracking store that MLFLOW_TRACKING_URI names."""

    def __init__(self, config: Config, run: Path) -> None:
        """Start the run."""
        try:
            import mlflow
        except ImportError:
            raise MissingExtraError("mlflow", "mlflow", "monitor.trackers=[mlflow]") from None
        self._mlflow = mlflow
        mlflow.set_experiment(config.monitor.project)
        mlflow.start_run(run_name=run.name)
        mlflow.log_dict(config.model_dump(mode="json"), "config.json")

    def log(self, update: int, metrics: Metrics) -> None:
        """Record the figures of one update."""
        self._mlflow.log_metrics(metrics, step=update)

    def close(self) -> None:
        """End the run."""
        self._mlflow.end_run()


class Trackio:
    """A trackio run."""

    def __init__(self, config: Config, run: Path) -> None:
        """Start or resume the run."""
        try:
            import trackio
        except ImportError:
            raise MissingExtraError("trackio", "trackio", "monitor.trackers=[trackio]") from None
        self._trackio = trackio
        trackio.init(
            project=config.monitor.project,
            name=run.name,
            resume="allow",
            config=config.model_dump(mode="json"),
        )

    def log(self, update: int, metrics: Metrics) -> None:
        """Record the figures of one update."""
        self._trackio.log(metrics, step=update)

    def close(self) -> None:
        """Finish the run."""
        self._trackio.finish()


_MAKERS: dict[str, Callable[[Config, Path], Tracker]] = {
    "wandb": Wandb,
    "mlflow": Mlflow,
    "trackio": Trackio,
}
