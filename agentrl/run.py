"""The run directory: where everything a run leaves behind has its place.

config.yaml         the resolved configuration
versions.json       git revision, Python, platform and package versions
metrics.jsonl       one line of figures per update
held_out.jsonl      one line per held-out evaluation while training
run.lock            which process trains it, or did last
ledger.jsonl        what became of every episode
drift.json          what the drift meter read in the update that it stopped
learning-curve.png  both, drawn at the end where there were such evaluations
checkpoints/        step-000010/ …: weights, optimiser, random streams, cursor
trajectories/       update-000010.jsonl.zst …: every episode
credit/             update-000010.jsonl.zst …: the advantage of every turn, and why
evaluations/        task panels and results, one line per attempt
tensorboard/        event files
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from agentrl import __version__
from agentrl.config import Config, dump_config, load_config
from agentrl.errors import ConfigError

_PACKAGES = ("torch", "transformers", "tokenizers", "renderers", "peft", "gymnasium", "numpy")


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The paths of one run."""

    path: Path

    @classmethod
    def refuse_taken(cls, path: Path) -> None:
        """Refuse a directory that holds a run, before anything is built or started in it.

        Raises:
            ConfigError: A run is there already.
        """
        if cls(path).config_file.exists():
            raise ConfigError(
                f"{path} already holds a run; go on with `agentrl resume {path}` "
                "or name another directory with --run"
            )

    @classmethod
    def create(cls, path: Path, config: Config) -> RunDirectory:
        """Make the directory and write down configuration and versions.

        Raises:
            ConfigError: A run is there already, or the directory cannot be made.
        """
        cls.refuse_taken(path)
        run = cls(path)
        try:
            for folder in (run.checkpoints, run.trajectories, run.credit, run.evaluations):
                folder.mkdir(parents=True, exist_ok=True)
            (path / "versions.json").write_text(json.dumps(versions(), indent=2) + "\n")
            # Last: a directory with a configuration is a complete one.
            run.config_file.write_text(dump_config(config))
        except OSError as error:
            raise ConfigError(f"cannot write the run directory {path}: {error.strerror}") from None
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Return an existing run.

        Raises:
            ConfigError: There is no run.
        """
        run = cls(path)
        if not run.config_file.is_file():
            raise ConfigError(f"{path} is not a run directory: it has no config.yaml")
        return run

    def config(self) -> Config:
        """Return the run's configuration."""
        return load_config(self.config_file)

    def alone(self) -> AbstractContextManager[None]:
        """Keep every other process from training this run while the block lasts.

        Raises:
            ConfigError: Another one trains it now.
            DataError: The lock file cannot be written, or its file system has no locks.
        """
        from agentrl.storage.lock import alone

        return alone(self.path / "run.lock", f"the run {self.path}")

    @property
    def config_file(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def metrics_file(self) -> Path:
        """One line of figures per update."""
        return self.path / "metrics.jsonl"

    @property
    def held_out_file(self) -> Path:
        """One line per held-out evaluation while training."""
        return self.path / "held_out.jsonl"

    @property
    def ledger_file(self) -> Path:
        """What became of every episode."""
        return self.path / "ledger.jsonl"

    @property
    def drift_file(self) -> Path:
        """What the drift meter read in the update that it stopped."""
        return self.path / "drift.json"

    @property
    def curve_file(self) -> Path:
        """The learning curve."""
        return self.path / "learning-curve.png"

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints go."""
        return self.path / "checkpoints"

    @property
    def trajectories(self) -> Path:
        """Where episodes go."""
        return self.path / "trajectories"

    @property
    def credit(self) -> Path:
        """Where advantages and their reasons go."""
        return self.path / "credit"

    @property
    def evaluations(self) -> Path:
        """Where evaluation results go."""
        return self.path / "evaluations"

    def trajectory_file(self, update: int) -> Path:
        """Where the episodes of one update go."""
        return self.trajectories / f"update-{update:06d}.jsonl.zst"

    def credit_file(self, update: int) -> Path:
        """Where the advantages of one update go."""
        return self.credit / f"update-{update:06d}.jsonl.zst"


def versions() -> dict[str, str]:
    """Return what the run's figures may depend on besides the configuration."""
    found = {
        "agentrl": __version__,
        "git": git_revision(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "command": " ".join(sys.argv),
    }
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def git_revision() -> str:
    """Return the revision of the checkout that agentrl runs from, with `+` when it was edited."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return "not a checkout"
    try:
        revision = _git(root, "rev-parse", "HEAD")
        return revision + ("+" if _git(root, "status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
