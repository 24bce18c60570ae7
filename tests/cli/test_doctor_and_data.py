from __future__ import annotations

import json
from importlib import metadata

import pytest

from agentrl.cli import doctor as doctor_module
from agentrl.data import CATALOGUE, data_root, require_data_root
from agentrl.errors import DataError


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    (tmp_path / "alfworld").mkdir()
    (tmp_path / "alfworld" / "domain.pddl").write_text("(define)")
    monkeypatch.setenv("AGENTRL_DATA", str(tmp_path))
    return tmp_path


def test_doctor_json(run, data_folder) -> None:
    code, out, _ = run("doctor", "--json")
    report = json.loads(out)
    assert code == 0
    assert report["packages"]["gymnasium"] == metadata.version("gymnasium")
    assert report["data"]["folder"] == str(data_folder)
    assert report["data"]["present"] == ["alfworld/domain.pddl"]
    assert report["torch"]["devices"]
    assert report["cores"] >= 1
    assert report["import_seconds"] > 0
    extras = {extra["name"]: extra for extra in report["extras"]}
    assert extras["train"]["missing"] == []
    assert extras["wandb"]["install"] == "pip install 'agentrl-framework[wandb]'"


def test_doctor_for_people(run, monkeypatch) -> None:
    monkeypatch.delenv("AGENTRL_DATA", raising=False)
    code, out, _ = run("doctor")
    assert code == 0
    assert "AGENTRL_DATA is not set" in out
    assert "all is well" in out


def test_doctor_tells_what_is_missing(run, monkeypatch) -> None:
    real = doctor_module._version
    monkeypatch.setattr(
        doctor_module, "_version", lambda name: None if name in ("peft", "rich") else real(name)
    )
    code, out, _ = run("doctor")
    assert code == 1
    assert "missing: peft" in out
    assert "problem: the package rich is missing" in out


def test_doctor_tells_a_folder_that_is_none(run, monkeypatch) -> None:
    monkeypatch.setenv("AGENTRL_DATA", "/no/such/folder")
    code, out, _ = run("doctor", "--json")
    assert code == 1
    assert json.loads(out)["problems"] == [
        "AGENTRL_DATA names '/no/such/folder', which is no folder"
    ]


def test_doctor_without_an_installation(run, monkeypatch) -> None:
    def missing(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    code, out, _ = run("doctor", "--json")
    assert code == 1
    assert "pip install -e ." in json.loads(out)["problems"][0]


def test_doctor_without_torch(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    assert doctor_module._torch() is None


def test_data_list(run, data_folder) -> None:
    code, out, _ = run("data", "list")
    assert code == 0
    assert all(data_set.name in out for data_set in CATALOGUE)
    assert "missing" in out
    _, out, _ = run("data", "list", "--json")
    sizes = {row["name"]: row["bytes"] for row in json.loads(out)["sets"]}
    assert sizes["alfworld/domain.pddl"] == 8
    assert sizes["alfworld/train.jsonl.xz"] is None


def test_data_list_without_a_folder(run, monkeypatch) -> None:
    monkeypatch.delenv("AGENTRL_DATA", raising=False)
    code, out, _ = run("data", "list")
    assert code == 0
    assert "AGENTRL_DATA is not set" in out


def test_data_path(run, data_folder, monkeypatch) -> None:
    assert run("data", "path") == (0, f"{data_folder}\n", "")
    monkeypatch.setenv("AGENTRL_DATA", str(data_folder / "none"))
    code, _, err = run("data", "path")
    assert code == 2
    assert "not a folder" in err


def test_data_root(monkeypatch) -> None:
    monkeypatch.delenv("AGENTRL_DATA", raising=False)
    assert data_root() is None
    with pytest.raises(DataError, match="AGENTRL_DATA is not set"):
        require_data_root()
