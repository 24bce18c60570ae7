"""The packages that the distribution asks for: the core's, and each extra's."""

from __future__ import annotations

import re
from importlib import metadata

DISTRIBUTION = "agentrl-framework"
_REQUIREMENT = re.compile(r"""^([\w.-]+).*?(?:;.*extra\s*==\s*["']([\w-]+)["'])?\s*$""")
_FIRST = ("train", "lora", "parquet")
"""Extras to name first where several bring the same package."""


def requirements() -> tuple[list[str], dict[str, list[str]]]:
    """Return the core's packages and, for each extra, its packages.

    Both are empty where agentrl is not installed but only on the import path.
    """
    core: list[str] = []
    extras: dict[str, list[str]] = {}
    for requirement in _installed_requirements():
        found = _REQUIREMENT.match(requirement)
        assert found is not None
        name, extra = found.groups()
        packages = core if extra is None else extras.setdefault(extra, [])
        if name != DISTRIBUTION:
            packages.append(name)
    return core, extras


def extra_with(module: str) -> str | None:
    """Return the extra that brings a module, or None."""
    package = module.partition(".")[0].replace("_", "-")
    extras = requirements()[1]
    order = [*_FIRST, *sorted(extras)]
    return next((extra for extra in order if package in extras.get(extra, ())), None)


def install_command(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def _installed_requirements() -> list[str]:
    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
