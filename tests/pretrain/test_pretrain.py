from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import agentrl
from agentrl.errors import ConfigError
from agentrl.pretrain import command
from agentrl.pretrain.command import run_pretraining
from agentrl.pretrain.demonstrations import LEARNED, PLAYED, READ, Demonstrator
from agentrl.pretrain.tokenizer import ACTION, END, OBSERVATION, train_tokenizer

SMALL = ["tokens=6000", "hidden=32", "layers=1", "heads=2", "intermediate=32", "batch_tokens=512"]
TEXTS = ["You are in a room. You see a mug 1, and a pen 2.", "go to cabinet 12", "take mug 1"] * 9
TOKENIZER = train_tokenizer(TEXTS, 320)


@pytest.fixture(autouse=True)
def few_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_POOL", 64)
    monkeypatch.setattr(command, "_TOKENIZER_EPISODES", 50)


def pretrain(out: Path, *, recipe: list[str] = SMALL, **changes: Any) -> None:
    arguments: dict[str, Any] = {
        "env": "alfworld",
        "options": ["expert=search", "max_turns=8"],
        "variants": "difficulty=[1, 2]",
        "vocabulary": 320,
        "seed": 0,
        "threads": 0,
    }
    run_pretraining(out, recipe=recipe, **{**arguments, **changes})


@given(st.text())
def test_every_text_survives_the_tokenizer(text: str) -> None:
    ids = TOKENIZER.backend_tokenizer.encode(text, add_special_tokens=False).ids
    clean = text.encode("utf-8", "replace").decode()
    if not any(special in text for special in (OBSERVATION, ACTION, END, "<|pad|>")):
        assert TOKENIZER.decode(ids) == clean


def test_an_item_of_a_listing_costs_three_tokens() -> None:
    assert TOKENIZER.tokenize(", and a pen 2") == [",ĠandĠa", "Ġpen", "Ġ2"]


def test_a_demonstration_is_the_sequence_the_policy_will_read() -> None:
    env = agentrl.make("alfworld", difficulty=2, expert="search")
    demonstrator = Demonstrator(TOKENIZER, (0.0,), 2000)
    played = demonstrator.play(env, "train/3", np.random.default_rng(0))
    assert played.success
    text = TOKENIZER.decode(played.ids)
    turns = text.split(OBSERVATION)[1:]
    assert "Your task is to:" in turns[0]
    assert all(turn.count(ACTION) == 1 and turn.endswith(END) for turn in turns)
    actions = TOKENIZER.decode(played.ids[played.kinds == LEARNED]).split(END)
    assert [turn.split(ACTION)[1].removesuffix(END) for turn in turns] == actions[:-1]
    assert set(played.kinds) == {READ, LEARNED}


def test_random_moves_are_played_but_not_learned() -> None:
    env = agentrl.make("alfworld", difficulty=4, expert="search", max_turns=30)
    demonstrator = Demonstrator(TOKENIZER, (0.5,), 5000)
    kinds = np.concatenate(
        [demonstrator.play(env, f"train/{i}", np.random.default_rng(i)).kinds for i in range(20)]
    )
    moves = [np.sum(kinds == kind) for kind in (PLAYED, LEARNED)]
    assert 0.3 < moves[0] / sum(moves) < 0.7


def test_long_episodes_are_cut_after_a_turn() -> None:
    env = agentrl.make("alfworld", difficulty=6, expert="search")
    played = Demonstrator(TOKENIZER, (1.0,), 600).play(env, "train/0", np.random.default_rng(0))
    assert 300 < len(played.ids) <= 600
    assert TOKENIZER.decode(played.ids[-1:]) == END


def test_pretraining_learns_and_leaves_a_model(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    pretrain(tmp_path, recipe=[*SMALL, "tokens=20000"])
    rows = [json.loads(line) for line in (tmp_path / "pretraining.jsonl").read_text().splitlines()]
    assert rows[0]["expert_success"] > 0.8
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.init_kwargs["agentrl_codec"] == "line"
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    assert recipe["tokens"] == 20000
    assert recipe["difficulty"] == [1, 2]
    assert not (tmp_path / "pretraining.pt").exists()


def test_stopped_pretraining_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_POOL", 8)
    monkeypatch.setattr(command, "_SAVE_EVERY", 1)
    pretrain(tmp_path / "whole")
    reports: list[float] = []

    def stop(out: Path, figures: dict[str, float], recipe: Any) -> None:
        reports.append(figures["loss"])
        if len(reports) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command, "_report", stop)
        with pytest.raises(KeyboardInterrupt):
            pretrain(tmp_path / "broken")
    pretrain(tmp_path / "broken")
    whole, broken = ((tmp_path / n / "model.safetensors").read_bytes() for n in ("whole", "broken"))
    assert whole == broken


def test_wrong_settings_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'tokens'"):
        pretrain(tmp_path, recipe=["token=3"])
    with pytest.raises(ConfigError, match="expert=search"):
        pretrain(tmp_path, options=[])
    with pytest.raises(ConfigError, match="key=value"):
        pretrain(tmp_path, options=["expert"])
    with pytest.raises(ConfigError, match="not valid YAML"):
        pretrain(tmp_path, recipe=["noise=[0.1"])
