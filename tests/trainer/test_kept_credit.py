"""What training keeps beside its episodes is what it learned from, and can be computed again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentrl.cli import main
from agentrl.config import build_config
from agentrl.credit import read_credit
from agentrl.parts import build_parts
from agentrl.run import RunDirectory
from agentrl.trainer import train


def trained(tree: dict[str, Any], folder: Path) -> RunDirectory:
    config = build_config(tree, "test")
    parts = build_parts(config)
    run = RunDirectory.create(folder, config)
    train(config, run, parts)
    return run


def test_kept_credit_equals_what_is_computed_again(
    tree: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree |= {"updates": 2, "credit": ["grpo", "salt", "empg"]}
    tree["rewards"] = [{"invalid_action": {"penalty": 0.25}}]
    run = trained(tree, tmp_path / "run")
    capsys.readouterr()
    for update in (1, 2):
        kept = {row.id: row for row in read_credit(run.credit_file(update))}
        words = ["--update", str(update), "--credit", "grpo,salt", "--json"]
        assert main(["credit", str(run.path), *words]) == 0
        again = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert sorted(kept) == sorted(row["id"] for row in again)
        for row in again:
            noted = kept[row["id"]]
            assert [records[:2] for records in noted.why] == row["why"]
            assert [records[2]["value"] for records in noted.why] == noted.advantages
            assert all(records[2]["because"]["entropy"] > 0 for records in noted.why)


def test_nothing_is_kept_without_trajectories(tree: dict[str, Any], tmp_path: Path) -> None:
    tree |= {"updates": 1}
    tree["monitor"]["keep_trajectories"] = False
    run = trained(tree, tmp_path / "run")
    assert list(run.credit.iterdir()) == []
    assert main(["credit", str(run.path)]) == 2
