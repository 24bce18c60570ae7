"""What can be evaluated: a run at one of its checkpoints, its initial policy, or a model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentrl import registry
from agentrl.config import Config, load_config
from agentrl.errors import CheckpointError, ConfigError
from agentrl.run import RunDirectory

if TYPE_CHECKING:
    from agentrl.learner.checkpoint import Checkpoint

BASE = "base"
"""Names the policy that a run began with."""

_SHIPPED = Path(__file__).resolve().parents[1] / "assets"


@dataclass(frozen=True, slots=True)
class Target:
    """A policy to evaluate, with the settings that go with it."""

    config: Config
    model: str
    """`tiny`, a model directory or a Hugging Face name; for an endpoint, its name there."""
    policy: str
    """Names the weights in results."""
    folder: Path
    """Where results go."""
    endpoint: dict[str, Any] = field(default_factory=dict)
    """Options of an endpoint that change results, where they are not the default."""


def find_run(name: str | Path, *, step: str | None = None, overrides: Sequence[str] = ()) -> Target:
    """Return a run's policy.

    Args:
        name: The run directory.
        step: The checkpoint's number, or `base`; None: the latest.
        overrides: `section.key=value` on top of the run's settings.

    Raises:
        ConfigError: There is no run.
        CheckpointError: It has no such checkpoint, or that is damaged.
    """
    path = Path(name).expanduser()
    if not (path / "config.yaml").is_file():
        if (path / "checkpoints").is_dir():
            raise ConfigError(f"{name} looks like a run directory but has no config.yaml")
        raise ConfigError(
            f"{str(name)!r} is no run directory; a model is evaluated with: agentrl eval "
            f"--model {name} --env NAME"
        )
    run = RunDirectory.open(path)
    config = load_config(run.config_file, overrides)
    if step == BASE:
        return Target(config, config.policy.model, BASE, run.evaluations)
    checkpoint = _checkpoint(run.checkpoints, step)
    label = policy_at(checkpoint.step)
    return Target(config, str(checkpoint.policy), label, run.evaluations)


def find_model(
    name: str,
    *,
    config: Path | None = None,
    env: str | None = None,
    overrides: Sequence[str] = (),
) -> Target:
    """Return a model of one's own, or one behind an endpoint.

    Args:
        name: `tiny`, a model directory, a Hugging Face name or an endpoint's URL; with
            `engine=openai` the name of a model at an endpoint. So it is, too, where the
            environment variable `OPENAI_BASE_URL` is set and there is no such directory.
        config: The YAML file with environment, dialogue, sampling and engine.
        env: The environment, instead of the one in `config`.
        overrides: `section.key=value` on top of both.

    Raises:
        ConfigError: Not enough is said, or the endpoint has no such model.
        ModelError: There is no such model directory.
        EngineFault: Nothing answers at the endpoint.
    """
    if (Path(name).expanduser() / "config.yaml").is_file():
        raise ConfigError(f"{name} is a run, not a model; evaluate it with: agentrl eval {name}")
    if config is None and env is None:
        raise ConfigError(f"say what {name} shall play, with --env NAME or --config FILE")
    settings = load_config(config, [*([f"env={env}"] if env is not None else []), *overrides])
    if _is_endpoint(name, settings):
        from agentrl.evaluation.endpoint import endpoint_target

        return endpoint_target(name, settings)
    from agentrl.learner.policy import resolve_model

    place = resolve_model(name)
    label = Path(name).name if isinstance(place, Path) else name
    if isinstance(place, Path):
        label += f"-{weights_digest(place)}"
    return Target(settings, name, label, results_folder())


def results_folder() -> Path:
    """Return where the results of models go that belong to no run."""
    return Path("runs") / "evaluations"


def policy_at(update: int) -> str:
    """Return what a run's policy after some updates is called in results."""
    return f"step-{update:06d}" if update else BASE


def weights_digest(folder: Path) -> str:
    """Return eight hex digits that depend on the content of a model directory's weights."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:8]


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


def _is_endpoint(name: str, config: Config) -> bool:
    """Return whether a model is behind an endpoint and not here."""
    if name.startswith(("http://", "https://")):
        return True
    if "name" in config.engine.model_fields_set:
        return bool(getattr(registry.load("engines", config.engine.name), "speaks_text", False))
    is_here = Path(name).expanduser().is_dir() or (_SHIPPED / name).is_dir()
    return not is_here and bool(os.environ.get("OPENAI_BASE_URL"))
