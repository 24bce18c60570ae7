"""A plain loop over a gem-llm environment, plus tokenisation; no batching, no record keeping.

`new`: each observation is encoded once and appended (the least that any loop must do).
`chat`: the growing chat is encoded again in each turn (what the usual chat-template loop does).
Replies come as ids, as an engine gives them, and are decoded for the environment in both.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import gem
from game import Game, clock, replies, report
from gem.core import Env
from tokenizers import Tokenizer


class Porter(Env):
    def __init__(self, turns: int = 10, **_: Any) -> None:
        self.game = Game(turns)

    def reset(self, seed: int | None = None) -> tuple[str, dict[str, Any]]:
        # Env.reset seeds Python's and numpy's global generators; the game needs neither.
        return self.game.reset(seed or 0), {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        text, reward, done = self.game.step(action)
        return text, reward, done, False, {}


def play(env: Env, tokenizer: Tokenizer, answers: list[list[int]], seed: int, grows: bool) -> int:
    """Play one episode and return its number of turns."""
    choose = random.Random(seed).choice
    observation, _ = env.reset(seed=seed)
    ids: list[int] = []
    chat = ""
    turns, done = 0, False
    while not done:
        message = f"<|im_start|>user\n{observation}<|im_end|>\n<|im_start|>assistant\n"
        if grows:
            chat += message
            ids = tokenizer.encode(chat, add_special_tokens=False).ids
        else:
            ids += tokenizer.encode(message, add_special_tokens=False).ids
        sampled = choose(answers)
        ids += sampled
        action = tokenizer.decode(sampled, skip_special_tokens=True)
        if grows:
            chat += f"{action}<|im_end|>\n"
        observation, _, terminated, truncated, _ = env.step(action)
        done = terminated or truncated
        turns += 1
    return turns


def main(arguments: argparse.Namespace) -> None:
    gem.register("bench:porter", Porter)
    env = gem.make("bench:porter", turns=arguments.turns)
    tokenizer = Tokenizer.from_file(str(Path(arguments.tokenizer) / "tokenizer.json"))
    end = tokenizer.token_to_id("<|im_end|>")
    answers = [[*tokenizer.encode(text).ids, end] for text in replies()]
    for first in (arguments.seed * 10_000, arguments.seed * 10_000 + 5_000):
        start = clock()
        turns = sum(
            play(env, tokenizer, answers, seed, arguments.variant == "chat")
            for seed in range(first, first + arguments.episodes)
        )
        seconds = clock() - start
    report(turns, seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--episodes", type=int, required=True)
    parser.add_argument("--turns", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--variant", choices=["new", "chat"], required=True)
    main(parser.parse_args())
