from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).parent


def _load(name: str, file: str) -> None:
    spec = importlib.util.spec_from_file_location(name, _HERE / file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


_load("rollout_doubles", "doubles.py")


@pytest.fixture
def faulty() -> str:
    """The registry name of the environment that breaks on purpose."""
    return f"{_HERE / 'faulty.py'}:Faulty"
