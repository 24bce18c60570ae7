from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from agentrl.config import Config, build_config
from agentrl.pretrain.tokenizer import train_tokenizer

DOORS = f"{Path(__file__).parent / 'doors.py'}:Doors"
TEXTS = [
    "Three doors.",
    "The next doors.",
    "A wall.",
    "Outside.",
    "No such door.",
    "red green blue",
]


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of 20 thousand weights with a line tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("policy")
    tokenizer = train_tokenizer(TEXTS * 4, 300)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        intermediate_size=64,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def tree(model_dir: Path) -> dict[str, Any]:
    """The configuration of a run that takes a fraction of a second per update."""
    return {
        "updates": 4,
        "checkpoint_every": 1,
        "env": {"name": DOORS},
        "policy": {"model": str(model_dir)},
        "dialogue": {"format": "choice", "restrict": True, "max_turn_tokens": 8},
        "rollout": {"tasks": 4, "group_size": 4},
        "learner": {"learning_rate": 0.01},
        "evaluation": {"tasks": 8},
        "monitor": {"tensorboard": False},
    }


@pytest.fixture
def config(tree: dict[str, Any]) -> Config:
    return build_config(tree, "test")
