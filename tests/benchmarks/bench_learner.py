"""Learner against TRL's GRPO step: one update on the same multi-turn batch and the same model.

    python tests/benchmarks/bench_learner.py [--threads 1] [--rounds 3] [--episodes 128]

What is timed, on both sides: forward, loss with entropies, backward over all micro-batches of one
update, gradient clipping and the AdamW step; on ours also packing, which TRL's padded tensors are
spared. Collecting the batch, loading and the first (warm-up) update are not. Rounds alternate
between the two processes; tokens per second count real tokens, never padding. On a busy machine the
ratio of processor times is the one to trust.

TRL gets what its trainer would build from such episodes: prompts padded on the left, completions
(all later turns) padded on the right to the longest of the batch, a tool mask over what the
environment said, `loss_type="dapo"` (the token mean), no KL, one iteration; `training_step` is
called for every micro-batch. Its micro-batch size is the fastest of those tried. If trl is not
importable, a virtual environment for it is made in the temporary folder.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np

TRL = "trl==1.16.*"
VOCABULARY = 1024
MICRO_BATCHES = (4, 8, 16, 32)


def build_model(directory: Path) -> None:
    """Write a Llama of 3.3M parameters with a word-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=640,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=1,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    words = {f"w{i}": i for i in range(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w2"))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="w1", pad_token="w0"
    ).save_pretrained(directory)


def build_batch(episodes: int, seed: int) -> Any:
    """Return ragged episodes: 200 to 900 tokens, about 15 turns, a fifth of the tokens sampled."""
    from agentrl.batch import Batch
    from agentrl.trajectory import Outcome, Trajectory, Turn

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
                    prompt_ids=rng.integers(2, VOCABULARY, size - sampled).astype(np.int32),
                    response_ids=rng.integers(2, VOCABULARY, sampled).astype(np.int32),
                    logprobs=np.zeros(sampled, np.float32),
                    starts_segment=k == 0,
                )
            )
        trajectories.append(Trajectory(str(i), str(i // 8), "t", played, Outcome.SUCCESS))
    return Batch.from_trajectories(trajectories)


def write_padded(batch: Any, advantages: np.ndarray, file: Path) -> None:
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


def trl_python() -> str:
    """Return a Python that has TRL, making a virtual environment for it if need be."""
    try:
        import trl

        if trl.__version__.startswith("1.16."):
            return sys.executable
    except ImportError:
        pass
    folder = Path(tempfile.gettempdir()) / "agentrl-bench-trl"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        import transformers

        print(f"installing {TRL} into {folder} …", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "-q"]
        subprocess.run([*pip, "torch==2.13.*"], check=True, stderr=subprocess.DEVNULL)
        subprocess.run(
            [*pip, TRL, f"transformers=={transformers.__version__}"],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        (folder / "ready").touch()
    return str(python)


def serve_trl(model: str, file: str, threads: int) -> None:
    """Run one TRL update per line on standard input; answer with its seconds and gradient norm."""
    import torch

    torch.set_num_threads(threads)
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    arrays = {name: torch.from_numpy(value) for name, value in np.load(file).items()}
    arrays["advantages"] = arrays["advantages"].float()
    count = len(arrays["prompt_ids"])
    with tempfile.TemporaryDirectory() as scratch:
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            train_dataset=Dataset.from_list([{"prompt": "w3"}]),
            args=GRPOConfig(
                output_dir=scratch,
                per_device_train_batch_size=8,
                gradient_accumulation_steps=1,
                num_generations=8,
                loss_type="dapo",
                beta=0.0,
                learning_rate=1e-6,
                weight_decay=0.01,
                max_completion_length=arrays["completion_ids"].shape[1],
                use_cpu=not torch.cuda.is_available(),
                bf16=False,
                gradient_checkpointing=False,
                report_to=[],
                disable_tqdm=True,
                logging_strategy="no",
            ),
        )
        trainer.create_optimizer()
        # The batch is there already: nothing is to be generated.
        trainer._prepare_inputs = lambda inputs: inputs
        trainer.model.train()
        items = (arrays["completion_mask"] * arrays["tool_mask"]).sum()
        print("ready", flush=True)
        for line in sys.stdin:
            size = int(line)
            steps = -(-count // size)
            trainer.current_gradient_accumulation_steps = steps
            trainer.args.steps_per_generation = steps
            trainer.args.gradient_accumulation_steps = steps
            parts = [
                {name: value[i : i + size] for name, value in arrays.items()}
                | {"num_items_in_batch": items}
                for i in range(0, count, size)
            ]
            started = Clock()
            for part in parts:
                trainer.training_step(trainer.model, part, None)
            norm = torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), 1.0)
            trainer.optimizer.step()
            trainer.model.zero_grad()
            wall, cpu = started.read()
            answer = {"seconds": wall, "cpu_seconds": cpu, "grad_norm": float(norm)}
            print(json.dumps(answer), flush=True)


class Clock:
    """Wall-clock and processor time since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Return both in seconds."""
        return time.perf_counter() - self._wall, time.process_time() - self._cpu


class TrlProcess:
    """TRL in a process of its own."""

    def __init__(self, model: Path, file: Path, threads: int) -> None:
        """Start it and wait until it is ready."""
        command = [trl_python(), __file__, "--serve-trl", str(model), str(file)]
        self.process = subprocess.Popen(
            [*command, "--threads", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("BENCH_VERBOSE") else subprocess.DEVNULL,
            text=True,
        )
        self._answer("ready")

    def step(self, size: int) -> dict[str, float]:
        """Return seconds and gradient norm of one update."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{size}\n")
        self.process.stdin.flush()
        return dict(json.loads(self._answer("{")))

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def _answer(self, start: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(start):
                return line
        raise SystemExit("TRL ended early; BENCH_VERBOSE=1 shows why")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=128)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve-trl", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_trl:
        serve_trl(*options.serve_trl, options.threads)
        return
    with tempfile.TemporaryDirectory() as scratch:
        report = compare(Path(scratch), options)
    if options.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:28s} {value:,.4g}" if isinstance(value, float) else f"{name:28s} {value}")


def compare(scratch: Path, options: argparse.Namespace) -> dict[str, float | int]:
    """Return the figures of both sides, medians over alternating rounds."""
    import dataclasses

    import torch

    torch.set_num_threads(options.threads)
    from agentrl.config import LearnerConfig, PolicyConfig
    from agentrl.learner.learner import Learner
    from agentrl.learner.policy import load_policy

    build_model(scratch / "model")
    batch = build_batch(options.episodes, seed=0)
    rng = np.random.default_rng(1)
    per_trajectory = rng.normal(size=batch.num_trajectories)
    advantages = per_trajectory[batch.trajectory_of_turn()]
    write_padded(batch, per_trajectory, scratch / "batch.npz")

    policy = load_policy(PolicyConfig(model=str(scratch / "model")))
    learner = Learner(policy, LearnerConfig(learning_rate=1e-6), seed=0)
    drawn = learner.signals(batch, ["old_logprob"])["old_logprob"].astype(np.float32)
    batch = dataclasses.replace(batch, logprobs=drawn)
    first = learner.update(batch, advantages)

    trl = TrlProcess(scratch / "model", scratch / "batch.npz", options.threads)
    tried = {size: trl.step(size) for size in MICRO_BATCHES}
    # The first of them was the warm-up too: it gets a second chance.
    reference_norm = tried[MICRO_BATCHES[0]]["grad_norm"]
    tried[MICRO_BATCHES[0]] = trl.step(MICRO_BATCHES[0])
    best = min(tried, key=lambda size: tried[size]["cpu_seconds"])
    ours, theirs = [], []
    for _ in range(options.rounds):
        clock = Clock()
        learner.update(batch, advantages)
        ours.append(clock.read())
        answer = trl.step(best)
        theirs.append((answer["seconds"], answer["cpu_seconds"]))
    trl.close()
    fast, fast_cpu = (statistics.median(column) for column in zip(*ours, strict=True))
    slow, slow_cpu = (statistics.median(column) for column in zip(*theirs, strict=True))
    return {
        "episodes": batch.num_trajectories,
        "turns": batch.num_turns,
        "tokens": batch.num_tokens,
        "sampled tokens": int(batch.sampled.sum()),
        "threads": options.threads,
        "agentrl forward tokens": int(first["forward_tokens"]),
        "agentrl seconds": fast,
        "agentrl tokens/s": batch.num_tokens / fast,
        "trl micro-batch": best,
        "trl seconds": slow,
        "trl tokens/s": batch.num_tokens / slow,
        "ratio": slow / fast,
        "ratio of processor time": slow_cpu / fast_cpu,
        "agentrl gradient norm": first["grad_norm"],
        "trl gradient norm": reference_norm,
    }


if __name__ == "__main__":
    main()
