"""Lists of named components, as configurations hold them: `[grpo, {salt: {history: 1}}]`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from agentrl.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from agentrl.registry import Kind

NOUNS = {"credit": ("credit", "credit method"), "rewards": ("reward", "reward transform")}
"""What an entry and a component of a kind are called."""


def read_entries(kind: Kind, entries: Any, protocol: type) -> list[Any]:
    """Return the components that a list names, in order.

    Args:
        kind: Where names are registered.
        entries: One entry or a list of them: a name, `file.py:Class`, `{name: {parameter:
            value}}`, or a component.
        protocol: What a component is.

    Raises:
        RegistryError: No component of that name.
        ConfigError: An entry of another form, or a wrong parameter.
    """
    one = isinstance(entries, str | Mapping) or not isinstance(entries, Sequence)
    listed = [entries] if one else entries
    return [component for entry in listed for component in _read(kind, entry, protocol)]


def written(components: Sequence[Any]) -> str:
    """Return a list of components as one would write it: names, and the parameters that were set.

    The text is YAML that `read_entries` reads back, as long as parameters are plain values.
    """
    return "[" + ", ".join(_written(component) for component in components) + "]"


def _read(kind: Kind, entry: Any, protocol: type) -> list[Any]:
    if isinstance(entry, str):
        return [_build(kind, entry, {})]
    if isinstance(entry, Mapping):
        return [_build(kind, name, parameters or {}) for name, parameters in entry.items()]
    if isinstance(entry, protocol) and not isinstance(entry, type):
        return [entry]
    short, noun = NOUNS[kind]
    raise ConfigError(
        f"a {short} entry is a name, {{name: {{parameter: value}}}} or a {noun.split()[-1]}, "
        f"not {entry!r}"
    )


def _build(kind: Kind, name: str, parameters: Mapping[str, Any]) -> Any:
    from agentrl import registry  # brings Gymnasium in, which credit alone does not need

    build: Any = registry.load(kind, name)
    noun = NOUNS[kind][1]
    if not isinstance(parameters, Mapping):
        raise ConfigError(f"{noun} {name!r} takes {{parameter: value}}, not {parameters!r}")
    if not (isinstance(build, type) and dataclasses.is_dataclass(build)):
        return build(**parameters)
    known = [field.name for field in dataclasses.fields(build) if field.init]
    for parameter in parameters:
        if parameter not in known:
            hint = did_you_mean(str(parameter), known)
            raise ConfigError(f"{noun} {name!r} has no parameter {parameter!r}; {hint}")
    try:
        return msgspec.convert(dict(parameters), build)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{noun} {name!r}: {error}") from None


def _written(component: Any) -> str:
    name = str(component.name)
    if not dataclasses.is_dataclass(component):
        return name
    changed = {
        field.name: getattr(component, field.name)
        for field in dataclasses.fields(component)
        if field.init and field.compare and getattr(component, field.name) != _default(field)
    }
    if not changed:
        return name
    parameters = ", ".join(f"{key}: {_plain(value)}" for key, value in changed.items())
    return f"{{{name}: {{{parameters}}}}}"


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _plain(value: Any) -> str:
    """Return a value as flow-style YAML."""
    import yaml

    try:
        text = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    except yaml.YAMLError:
        return repr(value)
    return text.strip().removesuffix("...").strip()
