"""`agentrl eval` and `agentrl compare` on a real run directory with a real, if random, policy."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agentrl.cli import main
from agentrl.cli.eval import interval
from agentrl.config import build_config
from agentrl.errors import ConfigError
from agentrl.evaluation.statistics import Estimate
from agentrl.options import read_options
from agentrl.run import RunDirectory

pytest.importorskip("torch")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random policy over the words of the game."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from agentrl.pretrain.tokenizer import train_tokenizer

    folder = tmp_path_factory.mktemp("model")
    tokenizer = train_tokenizer(["Task test/0, draw 123.", "win lose What?"] * 50, 300)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=512,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def template(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with two checkpoints."""
    from agentrl.learner.checkpoint import save_checkpoint
    from agentrl.learner.learner import Learner
    from agentrl.learner.policy import load_policy

    games = Path(__file__).parent / "games.py"
    config = build_config(
        {
            "env": f"{games}:Game",
            "policy": str(model),
            "dialogue": {"max_turn_tokens": 3},
            "evaluation": {"tasks": 6, "attempts": 2},
        },
        source="test",
    )
    run = RunDirectory.create(tmp_path_factory.mktemp("runs") / "run", config)
    learner = Learner(load_policy(config.policy), config.learner, seed=0)
    for step in (5, 10):
        save_checkpoint(run.checkpoints, step, learner)
    return run.path


@pytest.fixture
def run(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "run"))


def test_evaluating_a_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(run), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["policy"] == "step-000010"
    assert (report["tasks"], report["attempts"], report["scored"]) == (6, 2, 12)
    assert report["success"]["low"] <= report["success"]["value"] <= report["success"]["high"]
    assert sum(report["outcomes"].values()) == 12
    results = Path(report["results"])
    assert results.parent == run / "evaluations"
    assert len(results.read_text().splitlines()) == 13
    assert len(list((run / "evaluations").glob("panel-test-*.json"))) == 1
    assert main(["eval", str(run)]) == 0
    shown = capsys.readouterr().out
    assert "0 attempts in" in shown
    assert "split test, held out" in shown
    assert "12 more from an earlier evaluation" in shown
    for word in ("success", "score", "pass@2", "95% interval", "turns", str(results)):
        assert word in shown


def test_every_setting_has_its_say(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--split", "train", "--tasks", "3", "--attempts", "1", "--step", "5", "--seed", "9"]
    words += ["--env-options", "prize=2.5", "--env-options", "broken=[train/1]"]
    assert main(["eval", str(run), *words, "sampling.temperature=0", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["split"], report["policy"], report["tasks"]) == ("train", "step-000005", 3)
    assert report["options"] == {"prize": 2.5, "broken": ["train/1"]}
    assert report["sampling"]["temperature"] == 0
    assert report["seed"] == 9
    assert report["held_out"] is False
    assert [m["task"] for m in report["missing"]] == ["train/1"]
    assert main(["eval", str(run), *words, "sampling.temperature=0"]) == 0
    shown = capsys.readouterr().out
    assert "MISSING: 1 attempt, first train/1" in shown
    assert "never scored, played again or missing: env_error" in shown


def test_the_initial_policy_and_a_bare_model(
    run: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: object
) -> None:
    assert main(["eval", str(run), "--step", "base"]) == 0
    assert [p.name[:10] for p in (run / "evaluations").glob("*.jsonl")] == ["test-base-"]
    monkeypatch.chdir(tmp_path)
    words = ["--config", str(run / "config.yaml"), "--tasks", "2"]
    assert main(["eval", "--model", str(model), *words]) == 0
    (results,) = (tmp_path / "runs/evaluations").glob(f"test-{model.name}-*.jsonl")
    assert len(results.read_text().splitlines()) == 5


def test_comparing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(run)]) == 0
    assert main(["eval", str(run), "--step", "base"]) == 0
    capsys.readouterr()
    assert main(["compare", f"{run}@base", str(run), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["a"]["policy"] == "base"
    assert report["b"]["policy"] == "step-000010"
    assert report["tasks"] == 6
    # The same weights with the same seeds play the same games.
    assert report["success_difference"]["value"] == 0
    assert report["success_difference"]["low"] < 0 < report["success_difference"]["high"]
    assert main(["compare", f"{run}@base", str(run)]) == 0
    shown = capsys.readouterr().out
    for word in ("6 common tasks", "B - A", "detectable", "No difference in success is shown"):
        assert word in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--step", "7"], "no checkpoint of step 7; there are: step-000005, step-000010"),
        (["--step", "last"], "a checkpoint's number or 'base'"),
        (["--split", "tset"], "unknown split 'tset'"),
        (["--env-options", "prizes=1"], "prizes"),
        (["--env-options", "prize"], "--env-options 'prize' is not of the form key=value"),
        (["--env", "alfworld"], "leave out --config and --env"),
        (["--tasks", "0"], "--tasks"),
        (["dialog.format=plain"], "did you mean 'dialogue'"),
    ],
)
def test_mistakes_are_one_line_and_code_2(
    run: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["eval", str(run), *words]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.startswith("error: ")
    assert shown.count("\n") == 1


def test_targets_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "half/checkpoints").mkdir(parents=True)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text("{}")
    none = str(tmp_path / "none")
    cases = [
        (["--model", "tiny"], "say what tiny shall play, with --env NAME or --config FILE"),
        ([none], f"evaluated with: agentrl eval --model {none} --env NAME"),
        ([none, "--env", "alfworld"], "is no run directory"),
        ([str(tmp_path / "half")], "has no config.yaml"),
        (["--model", "tiny", "--env", "alfworld", "--step", "3"], "the model tiny has no steps"),
        (["--model", none, "--env", "alfworld"], "no model directory"),
        (["--model", str(tmp_path / "run"), "--env", "alfworld"], "is a run, not a model"),
        (["--env", "alfworld"], "either a run or a model"),
        ([none, "--model", "tiny", "--env", "alfworld"], "either a run or a model"),
        (["seed=1"], "either a run or a model"),
    ]
    for words, message in cases:
        assert main(["eval", *words]) == 2
        shown = capsys.readouterr().err
        assert message in shown
        assert shown.count("\n") == 1
    assert main(["compare", str(tmp_path / "none"), str(tmp_path)]) == 2
    assert "neither a run directory nor a results file" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["no-such-model-of-ours", "accounts/ours/models/none"])
def test_a_model_that_is_nowhere_may_be_behind_an_endpoint(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    assert main(["eval", "--model", name, "--env", "alfworld", "--tasks", "1"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert shown.endswith("; a model behind an endpoint needs engine=openai or OPENAI_BASE_URL\n")
    assert shown.count("\n") == 1
    assert main(["eval", "--model", f"./{name}", "--env", "alfworld"]) == 2
    assert "endpoint" not in capsys.readouterr().err


def test_a_run_without_checkpoints_and_a_changed_task(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", str(run), "--tasks", "2"]) == 0
    (panel,) = (run / "evaluations").glob("panel-*.json")
    changed = json.loads(panel.read_text())
    changed["fingerprints"]["test/1"] = "0" * 16
    panel.write_text(json.dumps(changed))
    assert main(["eval", str(run), "--tasks", "2"]) == 2
    assert "1 of the 2 tasks" in capsys.readouterr().err
    shutil.rmtree(run / "checkpoints")
    assert main(["eval", str(run)]) == 2
    assert "--step base" in capsys.readouterr().err


def test_ctrl_c_keeps_what_was_played_and_the_same_command_goes_on(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [sys.executable, "-m", "agentrl", "eval", str(run), "--attempts", "400"]
    words += ["rollout.concurrency=2", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    pattern = "test-step-*.jsonl"
    while process.poll() is None:
        found = list((run / "evaluations").glob(pattern))
        if found and found[0].read_bytes().count(b"\n") > 20:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 130, told
    assert "attempts are kept; the same command goes on" in told
    (results,) = (run / "evaluations").glob(pattern)
    kept = results.read_text().splitlines()
    assert 20 < len(kept) < 2401
    capsys.readouterr()
    assert main(["eval", str(run), "--attempts", "8", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["scored"] == 48
    assert report["resumed"] > 0
    assert results.read_text().splitlines()[: len(kept)] == kept


def test_options_and_intervals() -> None:
    assert read_options(["a=1", "b=[x, y]", "c=", "d=e=f"], "--set") == {
        "a": 1,
        "b": ["x", "y"],
        "c": None,
        "d": "e=f",
    }
    for wrong in ("a", "=1", "a b=1", "a=[1"):
        with pytest.raises(ConfigError):
            read_options([wrong], "--set")
    assert interval(Estimate(0.5, 0.25, 0.75)) == "0.250 to 0.750"
    assert "unknown" in interval(Estimate(0.5, float("nan"), float("nan")))


def test_the_modules_of_the_commands_are_light() -> None:
    code = (
        "import sys, agentrl.cli.eval, agentrl.cli.compare, agentrl.evaluation.compare; "
        "print([m for m in ('torch', 'transformers', 'scipy') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_an_override_too_long_for_a_file_name(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "--model", "no/such/model", "--env", "alfworld"]
    assert main([*words, f"dialogue.system={'be brief ' * 100}"]) == 2
    assert "no model directory" in capsys.readouterr().err
