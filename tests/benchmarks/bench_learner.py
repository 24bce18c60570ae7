"""Learner against TRL's GRPO step: one update on the same multi-turn batch and the same model.

    python tests/benchmarks/bench_learner.py [--threads 1] [--rounds 3] [--episodes 128]
    python tests/benchmarks/bench_learner.py --device cuda --size 1b --bf16 --checkpoint

What is timed, on both sides: forward, loss with entropies, backward over all micro-batches of one
update, gradient clipping and the AdamW step; on ours also packing, which TRL's padded tensors are
spared. Collecting the batch, loading and the first (warm-up) update are not. Rounds alternate
between the two processes; tokens per second count real tokens, never padding. On a busy machine the
ratio of processor times is the one to trust.

MFU, model FLOPs utilisation, is `Shape.update_flops` (see `llamas.py`) per second, as a share of
`--peak-tflops`: the same operations for both sides, needed ones only.

TRL gets what its trainer would build from such episodes: prompts padded on the left, completions
(all later turns) padded on the right to the longest of the batch, a tool mask over what the
environment said, `loss_type="dapo"` (the token mean), no KL, one iteration; `training_step` is
called for every micro-batch. Its micro-batch size is the fastest of those tried. If trl is not
importable, a virtual environment for it is made in the temporary folder.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from llamas import SHAPES, Shape, peak_teraflops, synchronise
from trl_step import Clock, TrlProcess

from agentrl.batch import Batch
from agentrl.config import LearnerConfig, PolicyConfig
from agentrl.learner.learner import Learner
from agentrl.learner.policy import load_policy
from agentrl.trajectory import Outcome, Trajectory, Turn

WORDS = 1024
MICRO_BATCHES = (4, 8, 16, 32)


def write_model(shape: Shape, directory: Path) -> None:
    """Write a random model with a word-level tokenizer."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    shape.build().save_pretrained(directory)
    words = {f"w{i}": i for i in range(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w2"))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="w1", pad_token="w0"
    ).save_pretrained(directory)


def build_batch(episodes: int, seed: int) -> Batch:
    """Return ragged episodes: 200 to 900 tokens, about 15 turns, a fifth of the tokens sampled."""
    rng = np.random.default_rng(seed)
    trajectories = []
    for i in range(episodes):
        turns = int(rng.integers(10, 21))
        total = int(rng.integers(200, 901))
        cuts = np.sort(rng.choice(np.arange(1, total // 4), turns - 1, replace=False))
        sizes = 4 * np.diff(np.concatenate([[0], cuts, [total // 4]]))
        played = []
        for k, size in enumerate(sizes):
            sampled = max(1, round(0.2 * size))
            played.append(
                Turn(
                    "",
                    "",
                    prompt_ids=rng.integers(2, WORDS, size - sampled).astype(np.int32),
                    response_ids=rng.integers(2, WORDS, sampled).astype(np.int32),
                    logprobs=np.zeros(sampled, np.float32),
                    starts_segment=k == 0,
                )
            )
        trajectories.append(Trajectory(str(i), str(i // 8), "t", played, Outcome.SUCCESS))
    return Batch.from_trajectories(trajectories)


def write_padded(batch: Batch, advantages: np.ndarray, file: Path) -> None:
    """Write the batch as TRL's trainer holds it."""
    bounds = batch.token_offsets[batch.turn_offsets]
    prompts, completions, masks = [], [], []
    for start, end in itertools.pairwise(bounds):
        first = start + int(np.argmax(batch.sampled[start:end]))
        prompts.append(batch.token_ids[start:first])
        completions.append(batch.token_ids[first:end])
        masks.append(batch.sampled[first:end])
    np.savez(
        file,
        prompt_ids=_pad(prompts, left=True),
        prompt_mask=_pad([np.ones_like(p) for p in prompts], left=True),
        completion_ids=_pad(completions),
        completion_mask=_pad([np.ones_like(c) for c in completions]),
        tool_mask=_pad(masks),
        advantages=advantages,
    )


def _pad(rows: list[np.ndarray], *, left: bool = False) -> np.ndarray:
    width = max(len(row) for row in rows)
    padded = np.zeros((len(rows), width), np.int64)
    for i, row in enumerate(rows):
        padded[i, width - len(row) :] = row if left else padded[i, width - len(row) :]
        if not left:
            padded[i, : len(row)] = row
    return padded


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=tuple(SHAPES), default="3m")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true", help="autocast over float32 weights")
    parser.add_argument("--checkpoint", action="store_true", help="recompute activations")
    parser.add_argument("--pack-tokens", type=int, default=8192)
    parser.add_argument("--peak-tflops", type=float, help="default: known for A100, H100, H200")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=128)
    parser.add_argument("--no-trl", action="store_true", help="measure our side alone")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        report = compare(Path(scratch), options)
    if options.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:28s} {value:,.4g}" if isinstance(value, float) else f"{name:28s} {value}")


def compare(scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of both sides, medians over alternating rounds."""
    shape = SHAPES[options.size]
    write_model(shape, scratch / "model")
    batch = build_batch(options.episodes, seed=0)
    per_trajectory = np.random.default_rng(1).normal(size=batch.num_trajectories)
    advantages = per_trajectory[batch.trajectory_of_turn()]
    write_padded(batch, per_trajectory, scratch / "batch.npz")
    learner = build_learner(scratch / "model", options)
    drawn = learner.signals(batch, ["old_logprob"])["old_logprob"].astype(np.float32)
    batch = dataclasses.replace(batch, logprobs=drawn)
    first = learner.update(batch, advantages)
    peer = None if options.no_trl else Peer(scratch, options)
    ours = []
    for _ in range(options.rounds):
        clock = Clock()
        learner.update(batch, advantages)
        synchronise(learner.policy.device)
        ours.append(clock.read())
        if peer is not None:
            peer.take_round()
    fast, fast_cpu = (statistics.median(column) for column in zip(*ours, strict=True))
    lengths = np.diff(batch.token_offsets[batch.turn_offsets])
    flops = shape.update_flops(lengths, int(batch.sampled.sum()))
    report = {
        **described(batch, learner, options),
        "agentrl forward tokens": int(first["forward_tokens"]),
        **paced("agentrl", batch.num_tokens, flops, fast, options),
        "agentrl gradient norm": first["grad_norm"],
    }
    if learner.policy.device.type == "cuda":
        device = learner.policy.device
        report["agentrl peak GiB"] = torch.cuda.max_memory_allocated(device) / 2**30
    if peer is not None:
        slow, slow_cpu = peer.close()
        report |= {"trl micro-batch": peer.size}
        report |= paced("trl", batch.num_tokens, flops, slow, options)
        report |= {"trl gradient norm": peer.grad_norm}
        report |= {"ratio": slow / fast, "ratio of processor time": slow_cpu / fast_cpu}
    return report


def build_learner(model: Path, options: argparse.Namespace) -> Learner:
    """Return our side."""
    config = LearnerConfig(
        learning_rate=1e-6,
        autocast=options.bf16,
        checkpoint_activations=options.checkpoint,
        pack_tokens=options.pack_tokens,
    )
    return Learner(
        load_policy(PolicyConfig(model=str(model), device=options.device)), config, seed=0
    )


class Peer:
    """TRL's side, with the micro-batch that is fastest."""

    def __init__(self, scratch: Path, options: argparse.Namespace) -> None:
        """Start it and try micro-batches."""
        self._trl = TrlProcess(scratch / "model", scratch / "batch.npz", options)
        self.grad_norm = self._trl.step(MICRO_BATCHES[0])["grad_norm"]
        by = "cpu_seconds" if options.device == "cpu" else "seconds"
        tried = {size: self._trl.step(size)[by] for size in MICRO_BATCHES}
        self.size = min(tried, key=lambda size: tried[size])
        self._rounds: list[tuple[float, float]] = []

    def take_round(self) -> None:
        """Take one update more."""
        answer = self._trl.step(self.size)
        self._rounds.append((answer["seconds"], answer["cpu_seconds"]))

    def close(self) -> tuple[float, float]:
        """End it; return the medians of wall-clock and processor seconds."""
        self._trl.close()
        wall, cpu = zip(*self._rounds, strict=True)
        return statistics.median(wall), statistics.median(cpu)


def described(batch: Batch, learner: Learner, options: argparse.Namespace) -> dict[str, Any]:
    """Return what was measured on what."""
    device = learner.policy.device
    weights = sum(parameter.numel() for parameter in learner.policy.model.parameters())
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "weights": f"{weights / 1e6:.1f}M",
        "precision": "bf16 autocast" if options.bf16 else "float32",
        "activations": "recomputed" if options.checkpoint else "kept",
        "threads": options.threads,
        "episodes": batch.num_trajectories,
        "turns": batch.num_turns,
        "tokens": batch.num_tokens,
        "sampled tokens": int(batch.sampled.sum()),
    }


def paced(
    side: str, tokens: int, flops: float, seconds: float, options: argparse.Namespace
) -> dict[str, float]:
    """Return the pace of one side."""
    peak = options.peak_tflops or peak_teraflops(torch.device(options.device))
    figures = {
        f"{side} seconds": seconds,
        f"{side} tokens/s": tokens / seconds,
        f"{side} TFLOP/s": flops / seconds / 1e12,
    }
    return figures | ({f"{side} MFU": flops / seconds / 1e12 / peak} if peak else {})


if __name__ == "__main__":
    main()
