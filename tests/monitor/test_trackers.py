from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from agentrl.config import Config, build_config
from agentrl.errors import MissingExtraError
from agentrl.monitor.trackers import open_trackers


def settings(**monitor: Any) -> Config:
    return build_config({"monitor": monitor}, "test")


def test_tensorboard_gets_every_figure(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (tracker,) = open_trackers(settings(), tmp_path)
    tracker.log(1, {"success": 0.25})
    tracker.log(2, {"success": 0.5})
    tracker.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("success")] == [(1, 0.25), (2, 0.5)]


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_a_missing_package_is_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=rf"agentrl-framework\[{name}\]"):
        open_trackers(settings(tensorboard=False, trackers=[name]), tmp_path)


class Recorder(types.ModuleType):
    """Stands in for a tracker's package, which would open connections; records the calls."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Recorder:
            self.calls.append(name)
            return self

        return call


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("wandb", ["init", "log", "finish"]),
        ("mlflow", ["set_experiment", "start_run", "log_dict", "log_metrics", "end_run"]),
        ("trackio", ["init", "log", "finish"]),
    ],
)
def test_trackers_start_log_and_end(
    name: str, calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Recorder(name)
    monkeypatch.setitem(sys.modules, name, package)
    (tracker,) = open_trackers(settings(tensorboard=False, trackers=[name]), tmp_path)
    tracker.log(1, {"success": 1.0})
    tracker.close()
    assert package.calls == calls
