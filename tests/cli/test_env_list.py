from __future__ import annotations

import json


def test_built_ins_are_listed(run) -> None:
    code, out, _ = run("env", "list")
    assert code == 0
    assert "alfworld" in out
    assert "train*=10,000,000" in out


def test_json(run) -> None:
    _, out, _ = run("env", "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert rows["alfworld"]["gymnasium_id"] == "agentrl/alfworld-v0"
    assert rows["alfworld"]["training"] == ["train"]
    assert rows["alfworld"]["problem"] is None


def test_a_plugin_is_listed_and_a_broken_one_told(run, plugin, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(plugin))
    code, out, _ = run("env", "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert rows["door"]["distribution"] == "door-plugin"
    assert rows["door"]["splits"] == {"train": 10, "test": 5}
    assert rows["door"]["summary"] == "Open the door."
    assert "No module named 'no_such_package_at_all'" in rows["shattered"]["problem"]
    assert rows["alfworld"]["problem"] is None
