from __future__ import annotations

from pathlib import Path

import pytest

from agentrl.environments.webshop import leak
from agentrl.environments.webshop.leak import usual_leak
from agentrl.environments.webshop.tasks import original_goals, webshop_tasks
from agentrl.tasks import TaskSet


def test_the_usual_split_leaks_products_and_goals(official_folder: Path) -> None:
    goals, _ = original_goals(official_folder)
    found = usual_leak(goals.product_numbers().tolist())
    assert found.goals == 6910
    assert found.held_out_with_product_in_training == pytest.approx(0.962, abs=5e-4)
    assert found.products_in_training == pytest.approx(0.870, abs=5e-4)
    assert found.held_out_in_one_worker == pytest.approx(0.928, abs=5e-4)
    assert found.held_out_in_any_worker == 1.0


def test_the_leak_is_in_the_tasks_themselves(official_folder: Path) -> None:
    def shared(tasks: TaskSet, held_out: str) -> float:
        trained = {tasks.get(one).data.goal.asin for one in tasks.ids("train")}
        asked = [tasks.get(one).data.goal.asin for one in tasks.ids(held_out)]
        return sum(asin in trained for asin in asked) / len(asked)

    usual = webshop_tasks(official_folder, protocol="verl_agent")
    assert shared(usual, "valid") == pytest.approx(0.962, abs=5e-4)
    assert shared(webshop_tasks(official_folder), "test") == 0.0


def test_hand_worked_shares() -> None:
    # Four goals of two products; the first is held out and has a twin, then one that has none.
    assert usual_leak([0, 0, 1, 1], 1).held_out_with_product_in_training == 1.0
    assert usual_leak([2, 0, 1, 1], 1).held_out_with_product_in_training == 0.0
    assert usual_leak([0, 2, 0, 1], 2).held_out_with_product_in_training == 0.5
    alone = usual_leak([0, 0, 1, 1], 2, training=1, validation=1)
    assert 0.0 <= alone.held_out_in_one_worker == alone.held_out_in_any_worker <= 1.0


def test_it_prints_the_shares(
    official_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["leak", str(official_folder)])
    leak.main()
    assert "verl_agent: Leak(goals=6910" in capsys.readouterr().out
