"""What a user can get wrong: one clear line with the mend, exit code 2, nothing lost."""

from __future__ import annotations

import lzma
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentrl.cli import main
from agentrl.config import build_config
from agentrl.learner.checkpoint import list_checkpoints, read_checkpoint


@pytest.fixture
def config_file(tree: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**tree, "updates": 2}))
    return path


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that must end with one line on stderr and code 2; return the line."""
    assert main(list(words)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1
    assert errors[0] == lines[-1]
    return errors[0]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("env=alfwrld", "did you mean 'alfworld'"),
        ("env.split=trian", "did you mean 'train'"),
        ("env.split=test", "held out"),
        ("env.options.colour=red", "colour"),
        ("env=nowhere.py:Game", "no file 'nowhere.py'"),
        ("learner.learning_rte=1", "did you mean 'learning_rate'"),
        ("learner.learning_rate=fast", "learner.learning_rate"),
        ("credit=[grppo]", "did you mean 'grpo'"),
        ("credit=[whiten]", "must begin with an outcome estimator"),
        ("engine=vlm", "engines"),
        ("policy=./no/such/model", "no model directory"),
        ("dialogue.format=choise", "dialogue.format"),
        ("rollout.group_size", "section.key=value"),
    ],
)
def test_wrong_settings(
    override: str,
    expected: str,
    config_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    assert expected in refused(capsys, "train", str(config_file), override, "--run", str(run))
    assert not run.exists()


def test_a_directory_that_holds_a_run_is_refused_before_anything_is_built(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    starter, told = tmp_path / "python", tmp_path / "started"
    starter.write_text(f"#!/bin/sh\necho started | tee {told}\n")
    starter.chmod(0o755)
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("{}")
    (run / "vllm.log").write_text("of the run that is here\n")
    server = ["engine=vllm", f"engine.options.python={starter}", "policy=tiny"]
    line = refused(capsys, "train", str(config_file), *server, "--run", str(run))
    assert "already holds a run" in line
    assert f"agentrl resume {run}" in line
    assert not told.exists()
    assert (run / "vllm.log").read_text() == "of the run that is here\n"


def test_no_such_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'quickstart'" in refused(capsys, "train", "quikstart")


def test_a_tokenizer_without_chat_template(
    model_dir: Path, config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = shutil.copytree(model_dir, tmp_path / "bare")
    settings = (bare / "tokenizer_config.json").read_text()
    (bare / "tokenizer_config.json").write_text(settings.replace("agentrl_codec", "other"))
    line = refused(
        capsys, "train", str(config_file), f"policy={bare}", "--run", str(tmp_path / "run")
    )
    assert "chat template" in line


def test_a_prompt_longer_than_the_context(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = "engine.options.context_length=5"
    line = refused(capsys, "train", str(config_file), short, "--run", str(tmp_path / "run"))
    assert "too long for the context" in line


def test_a_damaged_game_file(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.jsonl.xz").write_bytes(lzma.compress(b'{"id": "a/b", "goal"')[:-5])
    words = [f"env.options={{source: official, data: {tmp_path}}}", "env=alfworld"]
    line = refused(capsys, "train", str(config_file), *words, "--run", str(tmp_path / "run"))
    assert "train.jsonl.xz" in line


def test_corrupt_checkpoints(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["train", str(config_file), "--run", str(run)]) == 0
    for path in list_checkpoints(run / "checkpoints"):
        (path / "learner.pt").write_bytes(b"rubbish")
    assert "learner.pt" in refused(capsys, "resume", str(run))
    assert "learner.pt" in refused(capsys, "eval", str(run))


def test_a_full_disk_costs_no_checkpoint(tree: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    config_file = tmp_path / "config.yaml"
    config_file.write_text(yaml.safe_dump({**tree, "updates": 1}))
    assert main(["train", str(config_file), "--run", str(run)]) == 0
    config = build_config({**tree, "updates": 2}, "test")
    (run / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    finished = subprocess.run(
        [sys.executable, "-m", "agentrl", "resume", str(run)],
        capture_output=True,
        text=True,
        # No file may grow beyond 40 kB; the weights are larger. A real ENOSPC needs a small disk.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)),
    )
    assert finished.returncode == 2
    assert "Traceback" not in finished.stderr
    assert finished.stderr.strip().splitlines()[-1].startswith("error: ")
    (kept,) = list_checkpoints(run / "checkpoints")
    assert read_checkpoint(kept).step == 1
