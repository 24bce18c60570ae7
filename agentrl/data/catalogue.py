"""The data sources that are declared under the entry point group `agentrl.data`."""

from __future__ import annotations

from agentrl import registry
from agentrl.data.declaration import DataSource
from agentrl.errors import RegistryError


def source_names() -> list[str]:
    """Return the names of the declared data sources, sorted."""
    return registry.names("data")


def source(name: str) -> DataSource:
    """Return a data source by name.

    Raises:
        RegistryError: No such source is declared, or its declaration is broken.
    """
    found = registry.load("data", name)
    if not isinstance(found, DataSource):
        kind = type(found).__name__
        raise RegistryError(f"{name!r} in data is a {kind}, not an agentrl.data.DataSource")
    return found
