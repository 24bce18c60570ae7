"""What full-vocabulary entropies add to a pass that measures log-probabilities.

    python tests/benchmarks/bench_entropy.py [--hidden 128,256,512,1024] [--tokens 512] [--rounds 5]

A Llama of random weights with Qwen's vocabulary of 151,936 reads rows of tokens and scores each of
them, without gradients, once with entropies and once without: in turn, medians of one core's time.
The entropy's own cost is one product of weights and logits per token, whatever the model; that of
the pass grows with the width of the model, so the share shrinks. Peaks are of a process each: the
most resident memory, less what it had before the pass.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agentrl.learner.logprobs import MAX_READ_LOGITS, score
from agentrl.learner.packing import Pack

VOCABULARY = 151_936
WIDTH = 256
LAYERS = 2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", default="128,256,512,1024")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peak", choices=("plain", "entropy"), help="print one peak and end")
    options = parser.parse_args()
    sizes = [int(size) for size in options.hidden.split(",")]
    if options.peak:
        print(json.dumps(peak(sizes[0], options.tokens, options.peak == "entropy")))
        return
    print(
        f"{options.tokens} tokens, vocabulary {VOCABULARY:,}, {LAYERS} layers; at most "
        f"{MAX_READ_LOGITS * 4 / 2**20:.0f} MiB of logits at a time"
    )
    print("hidden size   plain ms   with entropy    ratio   peak MiB   with entropy   more")
    for hidden in sizes:
        report(hidden, options)


def report(hidden: int, options: argparse.Namespace) -> None:
    """Print a row for one width of the model."""
    model, rows = build(hidden, options.device), pack_of(options.tokens)
    taken: dict[bool, list[float]] = {False: [], True: []}
    for number in range(options.rounds + 1):
        for entropy in (False, True):
            seconds = timed(model, rows, entropy)
            if number:
                taken[entropy].append(seconds)
    plain, full = (1e3 * statistics.median(taken[entropy]) for entropy in (False, True))
    row = f"{hidden:11}{plain:11.0f}{full:15.0f}{full / plain:9.3f}"
    if options.device == "cpu":
        peaks = [ask_peak(hidden, options.tokens, mode) for mode in ("plain", "entropy")]
        row += f"{peaks[0]:11.0f}{peaks[1]:15.0f}{peaks[1] - peaks[0]:7.0f}"
    print(row, flush=True)


def build(hidden: int, device: str) -> Any:
    """Return a Llama of random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=LAYERS,
        num_attention_heads=max(1, hidden // 64),
        num_key_value_heads=max(1, hidden // 64),
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).to(device).eval()


def pack_of(tokens: int) -> Pack:
    """Return rows of random ids of which every one is scored."""
    rng = np.random.default_rng(0)
    rows = max(1, tokens // WIDTH)
    width = tokens // rows
    ids = rng.integers(0, VOCABULARY, (rows, width))
    count = rows * width
    return Pack(
        ids,
        np.arange(count),
        np.arange(count),
        rng.integers(0, VOCABULARY, count),
        np.zeros((count, 0), np.int64),
        np.zeros(count, np.int64),
    )


@torch.no_grad()
def timed(model: Any, rows: Pack, entropy: bool) -> float:
    """Return the seconds of one pass."""
    clock = time.process_time if model.device.type == "cpu" else time.perf_counter
    start = clock()
    scores = score(model, rows, temperature=1.0, entropy=entropy)
    scores.logprobs.sum().item()
    return clock() - start


def peak(hidden: int, tokens: int, entropy: bool) -> float:
    """Return by how many MiB the peak of a pass lies above what the process held before."""
    model, rows = build(hidden, "cpu"), pack_of(tokens)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    timed(model, rows, entropy)
    return resident("VmHWM") - before


def resident(kind: str) -> float:
    """Return what Linux says of this process's memory, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(kind))


def ask_peak(hidden: int, tokens: int, mode: str) -> float:
    """Return `peak` of a process of its own."""
    command = [sys.executable, __file__, "--peak", mode, "--hidden", str(hidden)]
    done = subprocess.run(
        [*command, "--tokens", str(tokens)], check=True, capture_output=True, text=True
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
