"""`agentrl eval --model URL` against a real vLLM server, whose tiny model babbles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentrl.cli import main


@pytest.fixture
def evaluate(served_vllm: Any, repository: Path, tmp_path: Path, monkeypatch, capsys) -> Any:
    """Run the command on four tasks, and return its code and what it printed."""
    monkeypatch.chdir(tmp_path)
    game = f"{repository / 'tests' / 'evaluation' / 'games.py'}:Game"

    def call(url: str, *words: str) -> tuple[int, str, str]:
        command = ["eval", "--model", url, "--env", game, "--tasks", "4", "--json", *words]
        code = main(command)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_a_real_endpoint_is_evaluated(served_vllm, evaluate) -> None:
    url = f"{served_vllm.url()}/v1"
    code, out, _ = evaluate(url, "dialogue.max_turn_tokens=5")
    assert code == 0
    report = json.loads(out)
    assert report["policy"].startswith("policy@127.0.0.1:")
    assert report["outcomes"] == {"truncated_turns": 4}
    assert report["missing"] == []
    # Three turns, never ended before the limit, as the server counts them.
    assert (report["turns"], report["tokens"]) == (3, 15)
    assert report["prompt_tokens"] > 3 * 10


def test_prompts_too_long_for_a_real_endpoint(served_vllm, evaluate) -> None:
    url = f"{served_vllm.url()}/v1"
    code, _, err = evaluate(url, f"dialogue.system={'w1 ' * served_vllm.CONTEXT}")
    assert code == 2
    assert "the first prompt of every attempt is too long" in err


def test_a_real_endpoint_without_v1(served_vllm, evaluate) -> None:
    code, _, err = evaluate(served_vllm.url())
    assert code == 2
    assert f"but at {served_vllm.url()}/v1: use that" in err
