from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from agentrl.pretrain.tokenizer import train_tokenizer

GOOD = Path(__file__).parent.parent / "check" / "good.py"
CORRIDOR = f"{GOOD}:Corridor"


@pytest.fixture
def says(run, monkeypatch):
    """Return a function that plays with these lines on stdin."""

    def call(name: str, lines: str, *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        return run("play", name, *words)

    return call


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("model")
    train_tokenizer(["You are at 0 of 6, the door is at 3."], 300).save_pretrained(folder)
    return str(folder)


def test_an_episode_to_success(says) -> None:
    code, out, _ = says(CORRIDOR, "forward\nopen\n", "--set", "length=2", "--task", "train/1")
    assert code == 0
    assert "task train/1." in out
    assert "> forward\n" in out
    assert out.endswith("success after 2 turns, reward 1\n")


def test_questions_cost_no_turn(says) -> None:
    code, out, _ = says(CORRIDOR, "?\n!\n:help\n", "--set", "length=2")
    assert code == 0
    assert "#1 lamp" in out
    assert "  forward\n" in out
    assert "the actions you can take" in out
    assert out.endswith("stopped after 0 turns, reward 0\n")


def test_an_action_by_number_and_invalid_ones(says) -> None:
    _, out, _ = says(CORRIDOR, "#1\ndance\n:quit\nnever read\n")
    assert "Click." in out
    assert "(not understood)" in out
    assert "never read" not in out
    assert "stopped after 2 turns" in out


def test_truncation_is_told(says) -> None:
    _, out, _ = says(CORRIDOR, "lamp\n" * 9, "--set", "max_turns=3")
    assert out.endswith("truncated after 3 turns, reward 0\n")


def test_an_environment_without_lists_or_expert(says) -> None:
    _, out, _ = says(f"{GOOD}:Vault", "?\n!\n500\n")
    assert "lists no actions" in out
    assert "there is no expert" in out
    assert "Higher." in out or "Lower." in out


def test_react_format_reads_as_a_model_is_read(says) -> None:
    lines = "forward\nThought: I walk.\\nAction: lamp\n#1\n"
    _, out, _ = says(CORRIDOR, lines, "--format", "react")
    assert "(not an action in this format)" in out
    assert "Your answer had no action" in out
    assert out.count("Click.") == 2


def test_choice_format_shows_the_list(says) -> None:
    _, out, _ = says(CORRIDOR, "1\n", "--format", "choice")
    assert "Actions:\n1. lamp" in out
    assert "Click." in out


def test_prompts_are_shown_token_for_token(says, model) -> None:
    words = ("--show-prompt", "--model", model, "--set", "length=2", "--task", "train/1")
    _, out, _ = says(CORRIDOR, "lamp\n", *words)
    first = "<|observation|>You are at 0 of 2, the door is at 1.<|action|>"
    assert f" tokens\n{first}\n" in out
    assert f"{first}lamp<|end|><|observation|>Click.<|action|>" in out


def test_asking_for_a_prompt_without_a_model_goes_on(says, tmp_path) -> None:
    _, out, _ = says(CORRIDOR, ":prompt\nlamp\n", "--model", str(tmp_path / "none"))
    assert "no prompt can be shown" in out
    assert "Click." in out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--format", "raect"), "did you mean 'react'?"),
        (("--task", "train/x"), "unknown task 'train/x'"),
        (("--split", "tets"), "did you mean 'test'?"),
        (("--show-prompt", "--model", "./nowhere"), "no model directory"),
    ],
)
def test_wrong_use_exits_2(says, words, text) -> None:
    code, _, err = says(CORRIDOR, "", *words)
    assert code == 2
    assert text in err
