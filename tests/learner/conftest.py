"""A random Llama small enough for unit tests, and ragged batches for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from agentrl.batch import Batch
from agentrl.config import PolicyConfig
from agentrl.learner.policy import Policy, load_policy
from agentrl.trajectory import Allowed, Outcome, Trajectory, Turn

VOCABULARY = 24


def build_model(directory: Path, *, layers: int = 2, seed: int = 0) -> Path:
    """Write a random Llama with a word-level tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    words = {f"w{i}": i for i in range(VOCABULARY)}
    backend = Tokenizer(models.WordLevel(words, unk_token="w0"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="w1").save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def make_model() -> Callable[..., Path]:
    return build_model


@pytest.fixture
def policy(model_dir: Path) -> Policy:
    return load_policy(PolicyConfig(model=str(model_dir)))


def random_turn(rng: np.random.Generator, *, starts: bool, restricted: bool) -> Turn:
    """Return a turn of random ids; restricted ones were drawn from sets of 1 to 5 ids."""
    response = int(rng.integers(1, 5))
    ids = rng.integers(0, VOCABULARY, response).astype(np.int32)
    allowed = None
    if restricted:
        sets = [
            rng.permutation(
                np.append(
                    rng.choice(np.delete(np.arange(VOCABULARY), i), rng.integers(0, 5), False), i
                )
            )
            for i in ids
        ]
        allowed = Allowed(
            np.concatenate(sets).astype(np.int32), np.array([len(s) for s in sets], np.int32)
        )
    return Turn(
        "seen",
        "done",
        reward=float(rng.integers(0, 2)),
        prompt_ids=rng.integers(0, VOCABULARY, int(rng.integers(1, 9))).astype(np.int32),
        response_ids=ids,
        logprobs=-rng.random(response).astype(np.float32),
        allowed=allowed,
        starts_segment=starts,
    )


def random_batch(
    trajectories: int = 6,
    *,
    seed: int = 0,
    restricted: bool = False,
    windowed: bool = False,
    turns: tuple[int, int] = (1, 6),
) -> Batch:
    """Return random trajectories of 1 to 5 turns, two to a group."""
    rng = np.random.default_rng(seed)
    episodes = []
    for i in range(trajectories):
        played = [
            random_turn(rng, starts=k == 0 or windowed, restricted=restricted)
            for k in range(int(rng.integers(*turns)))
        ]
        episodes.append(Trajectory(f"t{i}", f"g{i // 2}", "task", played, Outcome.SUCCESS))
    return Batch.from_trajectories(episodes)


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    return random_batch


@pytest.fixture
def two_trajectories() -> Batch:
    """3 and 1 sampled tokens, in turns of prompt 1."""

    def turn(sampled: int) -> Turn:
        return Turn(
            "",
            "",
            prompt_ids=np.zeros(1, np.int32),
            response_ids=np.ones(sampled, np.int32),
            logprobs=np.zeros(sampled, np.float32),
        )

    return Batch.from_trajectories(
        [
            Trajectory("a", "g", "t", [turn(2), turn(1)], Outcome.SUCCESS),
            Trajectory("b", "g", "t", [turn(1)], Outcome.FAILURE),
        ]
    )
