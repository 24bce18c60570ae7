from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import agentrl
from agentrl.errors import ConfigError


def test_train_and_evaluate_from_python(tree: dict[str, Any], tmp_path: Path) -> None:
    run = agentrl.train(run=tmp_path / "run", **{**tree, "updates": 2})
    assert [row["update"] for row in run.metrics()] == [1, 2]
    assert run.config.updates == 2
    before = run.evaluate(step="base", tasks=4)
    after = agentrl.load_run(tmp_path / "run").evaluate(tasks=4, attempts=2)
    assert (before.scored, after.scored) == (4, 8)
    assert 0 <= before.success.low <= before.success.value <= before.success.high <= 1
    assert after.conditions.split == "test"


def test_a_run_that_is_there_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("{}")
    with pytest.raises(ConfigError, match="already holds a run"):
        agentrl.train(run=tmp_path, policy="./no/such/model")


def test_wrong_words_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'updates'"):
        agentrl.train(run=tmp_path / "run", update=3)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="not a run directory"):
        agentrl.load_run(tmp_path)
