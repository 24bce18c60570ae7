from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentrl.errors import ConfigError
from agentrl.options import read_options

CHECKS = Path(__file__).parent.parent / "check"
QUICK = ("--episodes", "2", "--fuzz", "60")


def test_a_sound_environment_exits_0(run) -> None:
    code, out, err = run("env", "check", f"{CHECKS}/good.py:Corridor", *QUICK)
    assert (code, err) == (0, "")
    assert "no problems" in out
    assert "oracle 100%" in out


def test_json_has_the_documented_figures(run) -> None:
    code, out, _ = run("env", "check", f"{CHECKS}/good.py:Vault", "--json", *QUICK)
    report = json.loads(out)
    assert code == 0
    assert report["problems"] == []
    assert report["steps_per_second"] > 0
    assert report["reset_seconds"] > 0
    assert report["bytes_per_environment"] > 0
    assert report["oracle_success"] is None
    assert 0 <= report["random_success"] <= 1


def test_problems_exit_1_and_say_why(run) -> None:
    code, out, _ = run("env", "check", f"{CHECKS}/broken.py:SharedIds", "--only", "splits")
    assert code == 1
    assert "share 1 ids" in out
    assert out.endswith("2 problems\n")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["nothing"], "unknown name 'nothing' in environments"),
        (["ALFWorl"], "did you mean 'alfworld'?"),
        (["alfworld", "--split", "tain"], "did you mean 'train'?"),
        (["alfworld", "--set", "dificulty=1"], "did you mean 'difficulty'?"),
        (["alfworld", "--set", "difficulty"], "not of the form key=value"),
        (["alfworld", "--set", "difficulty=[1"], "not valid YAML"),
        (["alfworld", "--only", "spede"], "did you mean 'speed'?"),
        (["missing.py:Thing"], "no file 'missing.py'"),
        ([f"{CHECKS}/good.py:Voult"], "did you mean 'Vault'?"),
        (["alfworld", "--fuzz", "0"], "at least 1"),
    ],
)
def test_wrong_use_exits_2_with_the_mend(run, words, text) -> None:
    code, out, err = run("env", "check", *words)
    assert (code, out) == (2, "")
    assert text in err
    assert err.count("\n") == 1


def test_options_are_yaml() -> None:
    assert read_options(["a=1", "b=[x, y]", "c=", "d=two words", "e=x=y"], "--set") == {
        "a": 1,
        "b": ["x", "y"],
        "c": None,
        "d": "two words",
        "e": "x=y",
    }
    with pytest.raises(ConfigError):
        read_options(["9a=1"], "--set")


def test_options_reach_the_environment(run) -> None:
    words = ("alfworld", "--set", "difficulty=1", "--only", "agents", "--json", *QUICK)
    code, out, _ = run("env", "check", *words)
    assert code == 0
    assert json.loads(out)["oracle_success"] == 1.0
