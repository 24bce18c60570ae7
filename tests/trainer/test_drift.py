"""A run whose engine and learner are too far apart stops, loses nothing, and can go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from agentrl.cli import main
from agentrl.monitor.metrics import read_metrics
from agentrl.run import RunDirectory
from agentrl.storage.ledger import balance


def change(run: RunDirectory, **sections: Any) -> None:
    tree = yaml.safe_load(run.config_file.read_text())
    run.config_file.write_text(yaml.safe_dump(tree | sections))


def test_a_run_stops_before_it_learns_and_goes_on_when_mended(
    tree: dict[str, Any], tmp_path: Path, capsys
) -> None:
    file = tmp_path / "tree.yaml"
    file.write_text(yaml.safe_dump({**tree, "updates": 1}))
    assert main(["train", str(file), "--run", str(tmp_path / "run")]) == 0
    run = RunDirectory.open(tmp_path / "run")
    # Float32 on both sides still differs in the last digits.
    change(run, updates=3, drift={"max_gap_mean": 1e-12})
    assert main(["resume", str(run.path)]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: update 2 was stopped before it learned: ")
    assert "drift.max_gap_mean" in last
    assert last.endswith(f"agentrl resume {run.path}")
    read = json.loads(run.drift_file.read_text())
    assert read["update"] == 2
    assert read["drift/gap_mean"] > 1e-12
    assert [row["update"] for row in read_metrics(run.metrics_file)] == [1]
    change(run, updates=3, drift={})
    assert main(["resume", str(run.path)]) == 0
    assert [row["update"] for row in read_metrics(run.metrics_file)] == [1, 2, 3]
    found = balance(run.ledger_file)
    assert found.is_even
    assert found.fates["trained"] == 3 * 16
    # What update 2 was refused is played again by the process that goes on.
    assert found.fates["dropped"] == 16
