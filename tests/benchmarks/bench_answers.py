"""Packed scoring of the reference answer beside one plain forward pass and beside naive scoring.

    python tests/benchmarks/bench_answers.py [--trajectories 8] [--turns 20,50] [--rounds 5]

A Llama of 3.3M parameters and episodes of 20 to 50 turns: 20 to 60 tokens read and 4 to 12 sampled
in each, an answer of 3 tokens behind an opener of 2. One core's time, without gradients, the ways
in turn, medians over rounds, naive scoring measured once:

    forward     the decoder over each trajectory, no logits: the least that anything costs
    log-probs   the same with logits at all sampled tokens: the pass that training takes anyway
    packed      the belief in the answer before every turn, as the learner measures it
    naive       a forward pass per turn over its prefix and the answer, like lengths together

Packed and naive scores must agree.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from agentrl.answers import AnswerBlock, Prefixes, prefixes_of
from agentrl.batch import Batch
from agentrl.config import LearnerConfig
from agentrl.learner.answers import AnswerScorer
from agentrl.learner.logprobs import score, score_hidden
from agentrl.learner.packing import cut_rows, decision_tokens, pack
from agentrl.learner.policy import Policy
from agentrl.trajectory import Outcome, Trajectory, Turn

VOCABULARY = 2800
OPENER, ANSWER = np.array([5, 6], np.int32), np.array([7, 8, 9], np.int32)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trajectories", type=int, default=8)
    parser.add_argument("--turns", default="20,50")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pack-tokens", type=int, default=8192)
    options = parser.parse_args()
    least, most = map(int, options.turns.split(","))
    policy = build_policy()
    batch = build_batch(options.trajectories, least, most)
    config = LearnerConfig(pack_tokens=options.pack_tokens)
    scorer = AnswerScorer(policy, config, write)
    prefixes = prefixes_of(batch, write, context_length=None)
    ways: dict[str, Callable[[], Any]] = {
        "forward": lambda: forward(policy, batch, config),
        "log-probs": lambda: logprobs(policy, batch, config),
        "packed": lambda: scorer.score(batch, prefixes),
    }
    print(
        f"{batch.num_trajectories} trajectories, {batch.num_turns} turns, {batch.num_tokens:,} "
        f"tokens, {sum(p.numel() for p in policy.model.parameters()):,} parameters"
    )
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(options.rounds + 1):
        for name, way in ways.items():
            seconds = timed(way)[0]
            if number:
                taken[name].append(seconds)
    figures = {name: statistics.median(seconds) for name, seconds in taken.items()}
    figures["naive"], plain = timed(lambda: naive(policy, batch, prefixes, config))
    np.testing.assert_allclose(scorer.score(batch, prefixes), plain, atol=1e-5)
    print("way           ms    of one forward   of one log-prob pass")
    for name, seconds in figures.items():
        ratios = (seconds / figures[base] for base in ("forward", "log-probs"))
        print(f"{name:10}{1e3 * seconds:8.0f}" + "".join(f"{ratio:16.2f}x" for ratio in ratios))


def build_policy() -> Policy:
    """Return a Llama of random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=640,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )
    return Policy(LlamaForCausalLM(config).eval(), None, "random")


def build_batch(trajectories: int, least: int, most: int) -> Batch:
    """Return trajectories of random ids, all of which have an answer."""
    rng = np.random.default_rng(0)

    def ids(low: int, high: int) -> Any:
        return rng.integers(10, VOCABULARY, int(rng.integers(low, high + 1))).astype(np.int32)

    episodes = []
    for number in range(trajectories):
        turns = [
            Turn("", "", prompt_ids=ids(20, 60), response_ids=ids(4, 12), starts_segment=k == 0)
            for k in range(int(rng.integers(least, most + 1)))
        ]
        episodes.append(Trajectory(str(number), "g", "t", turns, Outcome.SUCCESS, answer="x"))
    return Batch.from_trajectories(episodes)


def write(answer: str) -> AnswerBlock:
    """Return the block of any answer."""
    del answer
    return AnswerBlock(OPENER, ANSWER)


def timed(way: Callable[[], Any]) -> tuple[float, Any]:
    """Return the processor's seconds for a call, and its result."""
    start = time.process_time()
    with torch.no_grad():
        result = way()
    return time.process_time() - start, result


def forward(policy: Policy, batch: Batch, config: LearnerConfig) -> None:
    """Run the decoder over all trajectories."""
    for rows in pack(batch, decision_tokens(batch), pack_tokens=config.pack_tokens):
        policy.model.get_decoder()(input_ids=torch.from_numpy(rows.ids), use_cache=False)


def logprobs(policy: Policy, batch: Batch, config: LearnerConfig) -> None:
    """Measure all sampled tokens."""
    for rows in pack(batch, decision_tokens(batch), pack_tokens=config.pack_tokens):
        score(policy.model, rows, temperature=1.0, entropy=False)


def naive(policy: Policy, batch: Batch, prefixes: Prefixes, config: LearnerConfig) -> Any:
    """Return each prefix's score, from rows of one prefix and one answer."""
    size = len(OPENER) + len(ANSWER)
    lengths = prefixes.lengths + size - 1
    scores = np.zeros(len(prefixes))
    order = np.argsort(-lengths, kind="stable")
    for chosen in cut_rows(order, lengths, config.pack_tokens):
        width = int(lengths[chosen].max())
        ids = np.zeros((len(chosen), width), np.int64)
        for row, index in zip(ids, chosen.tolist(), strict=True):
            start, length = int(prefixes.starts[index]), int(prefixes.lengths[index])
            row[:length] = batch.token_ids[start : start + length]
            row[length : length + size - 1] = [*OPENER, *ANSWER[:-1]]
        hidden = policy.model.get_decoder()(input_ids=torch.from_numpy(ids), use_cache=False)
        last = lengths[chosen][:, None] - len(ANSWER) + np.arange(len(ANSWER))
        rows = torch.arange(len(chosen))[:, None]
        wanted = hidden.last_hidden_state[rows, torch.from_numpy(last)].flatten(0, 1)
        targets = torch.from_numpy(np.tile(ANSWER, len(chosen)).astype(np.int64))
        found = score_hidden(policy.model, wanted, targets).view(len(chosen), -1)
        scores[chosen] = found.double().mean(1).numpy()
    return scores


if __name__ == "__main__":
    main()
