"""agentrl's side: collector, dialogue, scripted engine and batch building."""

from __future__ import annotations

import argparse
import asyncio
import random

from game import Game, clock, replies, report
from transformers import AutoTokenizer

import agentrl
from agentrl.batch import Batch
from agentrl.config import DialogueConfig, RolloutConfig
from agentrl.dialogue.factory import build_dialogue
from agentrl.engines.scripted import ScriptedEngine
from agentrl.rollout.collector import Collector, GroupRequest

_REPLIES = replies()


class Porter(agentrl.TextEnv):
    """The game as a text environment; its expert is the scripted policy."""

    tasks = agentrl.TaskSet.seeded(train=1_000_000)

    def __init__(self, turns: int) -> None:
        super().__init__(max_turns=None)
        self.max_turns = None
        self.game = Game(turns)
        self.random = random.Random(0)

    def on_reset(self, task, rng):
        return self.game.reset(int(task.id[6:]))

    def on_step(self, action):
        text, reward, done = self.game.step(action)
        return self.success(text, reward) if done else self.observe(text, reward)

    def expert_action(self):
        return self.random.choice(_REPLIES)


async def play(arguments: argparse.Namespace) -> None:
    tokenizer = AutoTokenizer.from_pretrained(arguments.tokenizer)
    dialogues = build_dialogue(tokenizer, DialogueConfig(system=""), 100_000)
    engine = ScriptedEngine("oracle", codec=dialogues.codec)
    config = RolloutConfig(concurrency=arguments.concurrency)
    async with Collector(lambda: Porter(arguments.turns), dialogues, engine, config) as collector:
        for first in (arguments.seed * 10_000, arguments.seed * 10_000 + 5_000):
            groups = arguments.episodes // arguments.group
            requests = [
                GroupRequest(f"g{i}", f"train/{i}", size=arguments.group, seed=1)
                for i in range(first, first + groups)
            ]
            start = clock()
            collected = await collector.collect(requests)
            batch = Batch.from_trajectories(collected.trajectories)
            seconds = clock() - start
    assert batch.num_turns == groups * arguments.group * arguments.turns
    assert collected.stats.invalid_turns == 0
    report(batch.num_turns, seconds, tokens=batch.num_tokens)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--episodes", type=int, required=True)
    parser.add_argument("--turns", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--group", type=int, default=1)
    asyncio.run(play(parser.parse_args()))
