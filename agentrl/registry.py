"""Registries of named components, filled from entry points.

Built-ins and plugins register alike, in `pyproject.toml`:

    [project.entry-points."agentrl.environments"]
    vault = "my_package.vault:Vault"
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache, lru_cache
from importlib.metadata import EntryPoint, entry_points
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

from agentrl.errors import AgentRLError, ConfigError, RegistryError, did_you_mean, explain

if TYPE_CHECKING:
    from agentrl.env import TextEnv

Kind = Literal["environments", "tools", "sandboxes", "credit", "rewards", "engines", "data"]


def names(kind: Kind) -> list[str]:
    """Return the registered names of a kind, sorted."""
    return sorted(points(kind))


def load(kind: Kind, name: str) -> Any:
    """Return the component registered under `name`, or the object at `file.py:Object`.

    Raises:
        RegistryError: Nothing is registered under the name, or it cannot be imported.
    """
    if ".py:" in name:
        return _from_file(name)
    found = points(kind).get(name)
    if found is None:
        raise RegistryError(f"unknown name {name!r} in {kind}; {did_you_mean(name, points(kind))}")
    if len(found) > 1:
        owners = " and ".join(f"{distribution(point)} ({point.value})" for point in found)
        raise RegistryError(f"{name!r} in {kind} is claimed by {owners}; uninstall one of them")
    return _from_point(kind, found[0])


def make(name: str, **options: Any) -> TextEnv:
    """Return an environment by name.

    Args:
        name: A registered name such as `alfworld`, or `file.py:Class`.
        options: Keyword arguments of the environment; `split="train"` is one that all have.

    Raises:
        RegistryError: No such environment.
        ConfigError: The environment has no such option.
    """
    from agentrl.env import TextEnv

    build = load("environments", name)
    if not callable(build):
        raise RegistryError(f"{name!r} is a {type(build).__name__}, not an environment class")
    check_options(name, build, options)
    env = build(**options)
    if not isinstance(env, TextEnv):
        raise RegistryError(
            f"{name!r} made a {type(env).__name__}, which is not an agentrl.TextEnv"
        )
    return env


def points(kind: Kind) -> dict[str, list[EntryPoint]]:
    """Return the entry points of a kind by name; more than one under a name is a conflict."""
    return _points(kind, tuple(sys.path))


def distribution(point: EntryPoint) -> str:
    """Return the name of the installed distribution that registers `point`."""
    return point.dist.name if point.dist is not None else "an unnamed distribution"


def option_names(build: Any) -> set[str] | None:
    """Return the keyword arguments that `build` takes, or None where it takes any."""
    known: set[str] = set()
    for function in _builders(build):
        kinds = {name: parameter.kind for name, parameter in signature(function).parameters.items()}
        known.update(
            name
            for name, kind in kinds.items()
            if kind in (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD) and name != "self"
        )
        if Parameter.VAR_KEYWORD not in kinds.values():
            return known
    return None


def check_options(name: str, build: Any, options: dict[str, Any]) -> None:
    """Raise `ConfigError` for an option that the environment `name` does not have."""
    known = option_names(build)
    unknown = sorted(set(options) - known) if known is not None else []
    if unknown and known is not None:
        hint = did_you_mean(unknown[0], known)
        raise ConfigError(f"environment {name!r} has no option {unknown[0]!r}; {hint}")
    try:
        signature(build).bind(**options)
    except TypeError as error:
        raise ConfigError(f"environment {name!r}: {error}") from None


def _builders(build: Any) -> list[Any]:
    """Return what sees the keyword arguments in turn: each `__init__` passes its rest upwards."""
    if not isinstance(build, type):
        return [build]
    return [vars(cls)["__init__"] for cls in build.__mro__[:-1] if "__init__" in vars(cls)]


# Keyed by the import path too, so that a plugin put on it later is seen.
@lru_cache(maxsize=32)
def _points(kind: Kind, _path: tuple[str, ...]) -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=f"agentrl.{kind}"):
        same_name = found.setdefault(point.name, [])
        if all(point.value != other.value for other in same_name):
            same_name.append(point)
    return found


def _from_point(kind: Kind, point: EntryPoint) -> Any:
    try:
        return point.load()
    except AgentRLError:
        raise
    except Exception as error:
        raise RegistryError(
            f"{point.name!r} in {kind} is broken: importing {point.value} of "
            f"{distribution(point)} failed with {explain(error)}; mend or uninstall it"
        ) from error


def _from_file(name: str) -> Any:
    path, _, attribute = name.rpartition(":")
    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise RegistryError(f"no file {path!r} (asked for {attribute!r} in it)")
    contents = vars(_module_of(file))
    if attribute not in contents:
        known = [n for n in contents if not n.startswith("_")]
        raise RegistryError(f"{path} has no {attribute!r}; {did_you_mean(attribute, known)}")
    return contents[attribute]


@cache
def _module_of(file: Path) -> Any:
    module_name = f"agentrl_user_{file.stem}_{crc32(bytes(file)):08x}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise RegistryError(f"{file} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except AgentRLError:
        raise
    except Exception as error:
        del sys.modules[module_name]
        raise RegistryError(f"importing {file} failed with {explain(error)}") from error
    return module
