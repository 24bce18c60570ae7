"""Turns per second through observe, prompt and receive, without an engine.

python tests/benchmarks/bench_dialogue.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from agentrl.config import DialogueConfig
from agentrl.dialogue import ConversationFactory, build_dialogue
from agentrl.engines.base import Completion

TURNS, EPISODES, ROUNDS = 20, 200, 5
ACTIONS = [f"{verb} desk {number}" for verb in ("go to", "open", "close") for number in range(10)]
OBSERVATIONS = [
    f"You arrive at desk {number}. On the desk {number}, you see a pen 2, and a mug 1."
    for number in range(10)
]


def line_tokenizer() -> Any:
    """Return a small byte-level tokenizer with the line codec's marks."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(OBSERVATIONS + ACTIONS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|end|>",
        additional_special_tokens=["<|observation|>", "<|action|>"],
        agentrl_codec="line",
    )


def chat_tokenizer() -> Any:
    """Return the same tokenizer with a ChatML template."""
    tokenizer = line_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.init_kwargs.pop("agentrl_codec")
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return tokenizer


def play(build: ConversationFactory, info: dict[str, Any]) -> None:
    """Play one episode with ready-made completions."""
    codec = build.codec
    completions = []
    for action in ACTIONS[:TURNS]:
        ids = np.append(codec.encode(action), np.int32(codec.eos))
        completions.append(Completion(ids, np.zeros(len(ids), np.float32), "stop", 0))
    dialogue = build()
    for turn in range(TURNS):
        dialogue.observe(OBSERVATIONS[turn % 10], info)
        assert dialogue.prompt() is not None
        assert dialogue.receive(completions[turn]).valid


def turns_per_second(build: ConversationFactory, info: dict[str, Any]) -> float:
    """Return the turns per second of a batch of episodes."""
    started = time.perf_counter()
    for _ in range(EPISODES):
        play(build, info)
    return TURNS * EPISODES / (time.perf_counter() - started)


def main() -> None:
    """Print the median of interleaved rounds for each kind of dialogue."""
    line, chat = line_tokenizer(), chat_tokenizer()
    listed = {"admissible_actions": ACTIONS}

    def case(tokenizer: Any, info: dict[str, Any], **options: Any) -> Callable[[], float]:
        build = build_dialogue(tokenizer, DialogueConfig(**options), 32_768)
        return lambda: turns_per_second(build, info)

    cases = {
        "line, plain": case(line, {}),
        "line, window of 3": case(line, {}, memory="window"),
        "line, choice of 30, restricted": case(line, listed, format="choice", restrict=True),
        "chat, plain": case(chat, {}),
        "chat, choice of 30, listed": case(chat, listed, format="choice"),
    }
    figures: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, measure in cases.items():
            figures[name].append(measure())
    for name, values in figures.items():
        print(f"{name:32} {statistics.median(values):10,.0f} turns/s")


if __name__ == "__main__":
    main()
