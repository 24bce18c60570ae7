"""Registries of named components, filled from entry points.

Built-ins and plugins register alike, in `pyproject.toml`:

    [project.entry-points."agentrl.environments"]
    vault = "my_package.vault:Vault"
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from agentrl.env import TextEnv
from agentrl.errors import ConfigError, RegistryError, did_you_mean

Kind = Literal["environments", "tools", "sandboxes", "credit", "engines"]


def names(kind: Kind) -> list[str]:
    """Return the registered names of a kind, sorted."""
    return sorted(_points(kind))


def load(kind: Kind, name: str) -> Any:
    """Return the component registered under `name`, or the object at `file.py:Object`.

    Raises:
        RegistryError: Nothing is registered under the name, or it cannot be imported.
    """
    if ".py:" in name:
        return _from_file(name)
    points = _points(kind)
    if name not in points:
        raise RegistryError(f"unknown name {name!r} in {kind}; {did_you_mean(name, points)}")
    return points[name].load()


def make(name: str, **options: Any) -> TextEnv:
    """Return an environment by name.

    Args:
        name: A registered name such as `alfworld`, or `file.py:Class`.
        options: Keyword arguments of the environment; `split="train"` is one that all have.

    Raises:
        RegistryError: No such environment.
        ConfigError: The environment has no such option.
    """
    build = load("environments", name)
    try:
        env = build(**options)
    except TypeError as error:
        raise ConfigError(f"environment {name!r} does not take these options: {error}") from None
    if not isinstance(env, TextEnv):
        raise RegistryError(
            f"{name!r} made a {type(env).__name__}, which is not an agentrl.TextEnv"
        )
    return env


@cache
def _points(kind: Kind) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"agentrl.{kind}")}


@cache
def _from_file(name: str) -> Any:
    path, _, attribute = name.rpartition(":")
    file = Path(path).resolve()
    if not file.is_file():
        raise RegistryError(f"no file {path!r} (asked for {attribute!r} in it)")
    module_name = f"agentrl_user_{file.stem}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise RegistryError(f"{path!r} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    if not hasattr(module, attribute):
        known = [n for n in vars(module) if not n.startswith("_")]
        raise RegistryError(f"{path} has no {attribute!r}; {did_you_mean(attribute, known)}")
    return getattr(module, attribute)
