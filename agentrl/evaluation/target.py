"""What can be evaluated: a run at one of its checkpoints, its initial policy, or a model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agentrl.config import Config, load_config
from agentrl.errors import CheckpointError, ConfigError
from agentrl.run import RunDirectory

if TYPE_CHECKING:
    from agentrl.learner.checkpoint import Checkpoint

BASE = "base"
"""Names the policy that a run began with."""


@dataclass(frozen=True, slots=True)
class Target:
    """A policy to evaluate, with the settings that go with it."""

    config: Config
    model: str
    """`tiny`, a model directory or a Hugging Face name."""
    policy: str
    """Names the weights in results."""
    folder: Path
    """Where results go."""


def find_target(
    name: str,
    *,
    step: str | None = None,
    config: Path | None = None,
    env: str | None = None,
    overrides: Sequence[str] = (),
) -> Target:
    """Return what a word on the command line stands for.

    Args:
        name: A run directory, or else a model.
        step: Of a run: the checkpoint's number, or `base`; None: the latest.
        config: Of a model: the YAML file with environment, dialogue and sampling.
        env: Of a model: the environment, instead of the one in `config`.
        overrides: `section.key=value` on top of either's settings.

    Raises:
        ConfigError: Neither a run nor enough said about a model.
        CheckpointError: The run has no such checkpoint, or it is damaged.
    """
    path = Path(name).expanduser()
    if (path / "config.yaml").is_file():
        if config is not None or env is not None:
            raise ConfigError(
                f"{name} is a run with its own settings; leave out --config and --env"
            )
        return _run_target(RunDirectory.open(path), step, overrides)
    if step is not None:
        raise ConfigError(f"{name} is not a run directory, so it has no step {step!r}")
    if path.is_dir() and (path / "checkpoints").is_dir():
        raise ConfigError(f"{name} looks like a run directory but has no config.yaml")
    return _model_target(name, config, env, overrides)


def _run_target(run: RunDirectory, step: str | None, overrides: Sequence[str]) -> Target:
    config = load_config(run.config_file, overrides)
    if step == BASE:
        return Target(config, config.policy.model, BASE, run.evaluations)
    checkpoint = _checkpoint(run.checkpoints, step)
    label = policy_at(checkpoint.step)
    return Target(config, str(checkpoint.policy), label, run.evaluations)


def policy_at(update: int) -> str:
    """Return what a run's policy after some updates is called in results."""
    return f"step-{update:06d}" if update else BASE


def _checkpoint(folder: Path, step: str | None) -> Checkpoint:
    from agentrl.learner.checkpoint import list_checkpoints, load_latest, read_checkpoint

    found = list_checkpoints(folder)
    if step is None:
        latest = load_latest(folder)
        if latest is None:
            raise CheckpointError(
                f"{folder} holds no checkpoint yet; wait for the first, or evaluate the initial "
                f"policy with --step {BASE}"
            )
        return latest
    if not step.isdigit():
        raise ConfigError(f"--step takes a checkpoint's number or {BASE!r}, not {step!r}")
    for path in found:
        if path.name.startswith(f"step-{int(step):06d}"):
            return read_checkpoint(path)
    names = ", ".join(path.name for path in found) or "none"
    raise CheckpointError(f"{folder} holds no checkpoint of step {step}; there are: {names}")


def _model_target(
    name: str, config: Path | None, env: str | None, overrides: Sequence[str]
) -> Target:
    from agentrl.learner.policy import resolve_model

    if config is None and env is None:
        raise ConfigError(
            f"{name!r} is no run directory; to evaluate a model say what it shall play, with "
            "--env NAME or --config FILE"
        )
    settings = load_config(config, [*([f"env={env}"] if env is not None else []), *overrides])
    place = resolve_model(name)
    label = Path(name).name if isinstance(place, Path) else name
    if isinstance(place, Path):
        label += f"-{weights_digest(place)}"
    return Target(settings, name, label, Path("runs") / "evaluations")


def weights_digest(folder: Path) -> str:
    """Return eight hex digits that depend on the content of a model directory's weights."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:8]
