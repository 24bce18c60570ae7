"""From YAML and dotted overrides to a configuration, and back.

Unknown keys are rejected with a suggestion.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import ValidationError

from agentrl.config.section import Section
from agentrl.config.tree import Config
from agentrl.errors import ConfigError, did_you_mean

S = TypeVar("S", bound=Section)


def load_config(path: Path | None, overrides: Sequence[str] = ()) -> Config:
    """Return the configuration of a YAML file with dotted overrides applied.

    Args:
        path: A YAML file, or the name of a shipped one such as `quickstart`; None starts from
            the defaults.
        overrides: `section.key=value` with the value in YAML; `env=NAME` is short for `env.name`.

    Raises:
        ConfigError: The file cannot be read, or a key or value is wrong.
    """
    tree = read_yaml(find_config(path)) if path is not None else {}
    for override in overrides:
        _apply(tree, override)
    return build_config(tree, source=str(path) if path is not None else "the overrides")


def find_config(path: Path) -> Path:
    """Return the file that a path or the name of a shipped configuration stands for.

    Raises:
        ConfigError: There is no such file.
    """
    if path.exists() or len(path.parts) > 1:
        return path
    shipped = {file.stem: file for file in _SHIPPED.glob("*.yaml")}
    if path.stem in shipped and path.suffix in ("", ".yaml"):
        return shipped[path.stem]
    raise ConfigError(
        f"no configuration {str(path)!r}: neither a file nor one that is shipped; "
        f"{did_you_mean(path.stem, shipped)}"
    )


def build_config(tree: Mapping[str, Any], source: str) -> Config:
    """Return a validated configuration, or raise `ConfigError` with one line per problem."""
    tree = {k: {_SHORT[k]: v} if k in _SHORT and isinstance(v, str) else v for k, v in tree.items()}
    return build_section(Config, tree, source)


def build_section(kind: type[S], tree: Mapping[str, Any], source: str) -> S:
    """Return a validated section, or raise `ConfigError` with one line for all problems."""
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        problems = "; ".join(_explain(kind, item) for item in error.errors())
        raise ConfigError(f"{source}: {problems}") from None


def dump_config(config: Config) -> str:
    """Return the configuration as YAML that `load_config` reads back."""
    return str(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


_SHIPPED = Path(__file__).resolve().parents[1] / "configs"
_SHORT = {"env": "name", "policy": "model", "engine": "name", "schedule": "kind"}


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key written twice is an error, not the loss of the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key.value, str)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is written twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping a YAML file holds, or raise `ConfigError` in one line."""
    try:
        tree = yaml.load(path.read_bytes(), _Loader)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if tree is not None and not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold a mapping of sections, not a {type(tree).__name__}")
    return tree or {}


def _apply(tree: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"override {override!r} is not of the form section.key=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"the value of override {override!r} is not valid YAML") from None
    *parents, last = key.split(".")
    if not parents and last in _SHORT and isinstance(value, str):
        parents, last = [last], _SHORT[last]
    for name in parents:
        child = tree.setdefault(name, {})
        if name in _SHORT and isinstance(child, str):
            child = tree[name] = {_SHORT[name]: child}
        if not isinstance(child, dict):
            raise ConfigError(f"override {override!r}: {name!r} is a value, not a section")
        tree = child
    tree[last] = value


def _explain(kind: type[Section], problem: Mapping[str, Any]) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    if problem["type"] != "extra_forbidden":
        return f"{key}: {problem['msg']} (got {reprlib.repr(problem['input'])})"
    section: Any = kind
    for name in location[:-1]:
        if not name.isdigit():
            section = _section_in(section.model_fields[name].annotation)
    return f"unknown key {key!r}; {did_you_mean(location[-1], section.model_fields)}"


def _section_in(annotation: Any) -> Any:
    """Return the section that `Section | None` or `tuple[Section, ...]` is made of."""
    parts = [part for part in get_args(annotation) if part not in (type(None), ...)]
    return _section_in(parts[0]) if parts else annotation
