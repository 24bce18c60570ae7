"""Writes docs/configuration.md from the configuration tree, so that the two cannot drift.

    python docs/configuration_page.py

`make docs` runs it, and a test compares the page with the tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from agentrl.config import Config, CreditEntry, Section

PAGE = Path(__file__).with_name("configuration.md")

HEAD = """\
<!-- Written by docs/configuration_page.py: change agentrl/config/ and run it again. -->
# Configuration

A run is described by one tree of settings. It is read from a YAML file, changed by overrides on
the command line, checked as a whole, and written in full to `config.yaml` in the
[run directory](run-directory.md).

```console
$ agentrl train configs/quickstart.yaml seed=1 learner.learning_rate=3e-5
$ agentrl train env=vault.py:Vault credit=[grpo] env.options.max_turns=12
```

- An override is `section.key=value`; the value is YAML, so `[a, b]`, `{a: 1}`, `null` and `true`
  mean what they mean in a file.
- `env=NAME`, `policy=MODEL`, `engine=NAME` and `schedule=KIND` are short for `env.name`,
  `policy.model`, `engine.name` and `schedule.kind`, in files too.
- An unknown key is an error that names the nearest known one; so is a key written twice.
- What is not set has the default below.

The same in Python: `agentrl.config.load_config(path, overrides)` returns the tree,
`dump_config(config)` turns it back into YAML.
"""


def page() -> str:
    """Return the whole page."""
    top = [item for item in Config.model_fields.items() if _section(item[1].annotation) is None]
    parts = [HEAD, "\n## The run itself\n", *_table(top)]
    for section, path in _sections().items():
        parts += [f"\n## `{path}`\n", f"{section.__doc__}\n", *_table(_own(section))]
    return "\n".join(parts).rstrip() + "\n"


def _sections(root: type[Section] = Config, prefix: str = "") -> dict[type[Section], str]:
    """Return all sections in order, each with the first path it stands at."""
    found: dict[type[Section], str] = {}
    for name, field in root.model_fields.items():
        kind = _section(field.annotation)
        if kind is not None and kind not in found:
            found[kind] = prefix + name
            found |= {
                k: v for k, v in _sections(kind, f"{prefix}{name}.").items() if k not in found
            }
    return found


def _own(section: type[Section]) -> Iterator[tuple[str, FieldInfo]]:
    """Yield the keys of a section; of sections in it, only those that may be left out."""
    for name, field in section.model_fields.items():
        if field.annotation is not _section(field.annotation):
            yield name, field


def _table(fields: Any) -> Iterator[str]:
    yield "| key | value | default | |"
    yield "|---|---|---|---|"
    for name, field in fields:
        text = (field.description or "").replace("\n", " ").replace("|", "\\|")
        text = text.replace("<", "&lt;").replace("None:", "`null`:")
        yield f"| `{name}` | {_kind(field)} | {_default(field)} | {text} |"


def _section(kind: Any) -> type[Section] | None:
    """Return the section that an annotation is, or is if it is not None."""
    for part in (kind, *get_args(kind)):
        if isinstance(part, type) and issubclass(part, Section):
            return part
    return None


def _kind(field: FieldInfo) -> str:
    bounds = {"Ge": "≥", "Gt": ">", "Le": "≤", "Lt": "<"}
    limits = [
        f"{bounds[type(limit).__name__]} {getattr(limit, type(limit).__name__.lower()):g}"
        for limit in field.metadata
        if type(limit).__name__ in bounds
    ]
    return ", ".join([_type(field.annotation), *limits])


def _type(kind: Any) -> str:
    """Return a type in words."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind == CreditEntry:
        return "name or `{name: {parameter: value}}`"
    if origin is Literal:
        return " \\| ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        return f"list of {_type(arguments[0])}" if Ellipsis in arguments else "two numbers"
    if origin is dict:
        return "mapping"
    if origin in (Union, UnionType):
        named = [_type(argument) for argument in arguments if argument is not type(None)]
        return " or ".join(named + ["`null`"] * (type(None) in arguments))
    if isinstance(kind, type) and issubclass(kind, Section):
        path = _sections()[kind]
        return f"as [`{path}`](#{path.replace('.', '')})"
    names = {int: "whole number", float: "number", bool: "`true` \\| `false`", str: "text"}
    return names.get(kind, str(kind))


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    value = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    return f"`{text.removesuffix('...').strip()}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
