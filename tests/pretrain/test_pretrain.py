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
from agentrl.config import build_section
from agentrl.errors import ConfigError
from agentrl.pretrain import command
from agentrl.pretrain.command import run_pretraining
from agentrl.pretrain.demonstrations import LEARNED, PLAYED, READ, Demonstrator, Supply
from agentrl.pretrain.recipe import Recipe, Shape, load_recipe
from agentrl.pretrain.tokenizer import ACTION, END, OBSERVATION, grow_tokenizer, train_tokenizer
from agentrl.pretrain.training import build_model, grow_model

SHAPE = {"hidden": 32, "layers": 1, "heads": 2, "intermediate": 32}
WORLD = {"env": "alfworld", "options": {"expert": "search", "max_turns": 8, "difficulty": [1, 2]}}
STAGE = {"worlds": [WORLD], "tokens": 6000, "vocabulary": 320, "batch_tokens": 512}
TEXTS = ["You are in a room. You see a mug 1, and a pen 2.", "go to cabinet 12", "take mug 1"] * 9
TOKENIZER = train_tokenizer(TEXTS, 320)


@pytest.fixture(autouse=True)
def few_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_POOL", 64)
    monkeypatch.setattr(command, "_TOKENIZER_EPISODES", 50)


def recipe(*stages: dict[str, Any], **changes: Any) -> Recipe:
    tree = {"shape": SHAPE, "stages": stages or (STAGE,), **changes}
    return build_section(Recipe, tree, "the test")


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
    demonstrator = Demonstrator(TOKENIZER, 2000)
    played = demonstrator.play(Supply(env), "train/3", np.random.default_rng(0))
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
    demonstrator = Demonstrator(TOKENIZER, 5000)
    kinds = np.concatenate(
        [
            demonstrator.play(
                Supply(env, noise=(0.5,)), f"train/{i}", np.random.default_rng(i)
            ).kinds
            for i in range(20)
        ]
    )
    moves = [np.sum(kinds == kind) for kind in (PLAYED, LEARNED)]
    assert 0.3 < moves[0] / sum(moves) < 0.7


def test_long_episodes_are_cut_after_a_turn() -> None:
    env = agentrl.make("alfworld", difficulty=6, expert="search")
    played = Demonstrator(TOKENIZER, 600).play(
        Supply(env, noise=(1.0,)), "train/0", np.random.default_rng(0)
    )
    assert 300 < len(played.ids) <= 600
    assert TOKENIZER.decode(played.ids[-1:]) == END


def test_pretraining_learns_and_leaves_a_model(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run_pretraining(tmp_path, recipe({**STAGE, "tokens": 20_000}))
    rows = [json.loads(line) for line in (tmp_path / "pretraining.jsonl").read_text().splitlines()]
    assert rows[0]["expert_success"] > 0.8
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.init_kwargs["agentrl_codec"] == "line"
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
    made = load_recipe(tmp_path / "recipe.yaml")
    assert made.stages[0].tokens == 20_000
    assert made.stages[0].worlds[0].options["difficulty"] == [1, 2]
    assert not (tmp_path / "pretraining.pt").exists()


def test_stopped_pretraining_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_POOL", 8)
    monkeypatch.setattr(command, "_SAVE_EVERY", 1)
    grown = {**STAGE, "vocabulary": 340, "context": 4096}
    run_pretraining(tmp_path / "whole", recipe(STAGE, grown))
    reports: list[float] = []

    def stop(out: Path, figures: dict[str, float], stage: Any) -> None:
        reports.append(figures["loss"])
        if out.name == "broken" and len(reports) % 2 == 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command, "_report", stop)
        with pytest.raises(KeyboardInterrupt):
            run_pretraining(tmp_path / "broken", recipe(STAGE, grown))
    assert (tmp_path / "broken" / "stage-0" / "config.json").exists()
    run_pretraining(tmp_path / "broken", recipe(STAGE, grown))
    for name in ("stage-0/model.safetensors", "model.safetensors", "tokenizer.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (
            tmp_path / "broken" / name
        ).read_bytes(), name


def test_a_grown_tokenizer_keeps_what_it_had() -> None:
    texts = ["a serendipitous shampoo [SEP] $3 [SEP] shampoo bottles"] * 5
    grown = grow_tokenizer(TOKENIZER, texts, 360)
    assert 320 < len(grown) <= 360
    assert dict(TOKENIZER.get_vocab().items() & grown.get_vocab().items()) == TOKENIZER.get_vocab()
    assert grown.tokenize(" shampoo [SEP]") == ["Ġshampoo", "Ġ[SEP]"]
    for text in TEXTS:
        assert grown.encode(text) == TOKENIZER.encode(text)
    for text in texts:
        assert grown.decode(grown.encode(text)) == text
        assert len(grown.encode(text)) < len(TOKENIZER.encode(text))


def test_growing_merges_what_training_would() -> None:
    """From a tokenizer of bytes alone, growing is training."""
    texts = [" hug pug pun bun hugs hug pug hug"] * 10
    size = 260 + 6
    grown = grow_tokenizer(train_tokenizer([""], 260), texts, size)
    trained = train_tokenizer(texts, size)
    assert len(grown) == len(trained) == size
    assert [len(grown.encode(text)) for text in texts] == [
        len(trained.encode(text)) for text in texts
    ]


def test_a_grown_model_reads_new_ids_as_the_mean_of_their_parts() -> None:
    model = build_model(Shape(**SHAPE), TOKENIZER, 0)
    before = model.get_input_embeddings().weight.detach().clone()
    old = len(TOKENIZER)
    assert len(before) == old
    grown = grow_tokenizer(TOKENIZER, ["zyx zyx"], old + 1)
    grow_model(model, grown, 4096)
    after = model.get_input_embeddings().weight.detach()
    assert torch.equal(after[:old], before)
    (left, right) = TOKENIZER.convert_tokens_to_ids(list(grown.convert_ids_to_tokens(old)))
    assert torch.equal(after[old], (before[left] + before[right]) / 2)
    assert model.config.max_position_embeddings == 4096
    logits = model(torch.tensor([grown.encode("zyx")])).logits
    assert logits.shape[-1] == old + 1


def test_worlds_are_played_by_their_shares() -> None:
    envs = [agentrl.make("alfworld", expert="search", max_turns=turns) for turns in (1, 2)]
    supplies = [Supply(envs[0], share=1.0), Supply(envs[1], share=9.0)]
    demonstrator = Demonstrator(TOKENIZER, 5000)
    played = demonstrator.pool(supplies, 200, seed=0)
    end = TOKENIZER.convert_tokens_to_ids(END)
    short = sum(int(np.sum(episode.ids == end)) == 1 for episode in played)
    assert 8 <= short <= 40


def test_a_world_can_be_kept_to_its_first_tasks() -> None:
    env = agentrl.make("alfworld", expert="search", difficulty=1, max_turns=1)
    demonstrator = Demonstrator(TOKENIZER, 5000)
    played = demonstrator.pool([Supply(env, tasks=3)], 40, seed=0)
    rooms = {TOKENIZER.decode(episode.ids).partition(ACTION)[0] for episode in played}
    assert len(rooms) == 3


def test_wrong_recipes_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("stages: [{worlds: [{env: alfworld}], tokens: 5, vocabulary: 300}]")
    with pytest.raises(ConfigError, match="expert: search"):
        run_pretraining(tmp_path / "out", load_recipe(file))
    file.write_text("stages: [{worlds: [{env: alfworld}], token: 5}]")
    with pytest.raises(ConfigError, match="did you mean 'tokens'"):
        load_recipe(file)
    file.write_text("stages: [{worlds: [{env: alfworld}], tokens: 5}]")
    with pytest.raises(ConfigError, match="vocabulary"):
        load_recipe(file)
    with pytest.raises(ConfigError, match="cannot read"):
        load_recipe(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(("name", "vocabulary"), [("tiny", 843), ("tiny-qa", 3072)])
def test_the_recipes_of_shipped_policies_can_be_read(name: str, vocabulary: int) -> None:
    assert load_recipe(Path(name)).stages[0].vocabulary == vocabulary
