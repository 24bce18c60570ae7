"""The embedded engine against transformers' own `generate`, in one run.

    python tests/benchmarks/bench_engine.py [--threads 1] [--episodes 64] [--rounds 3]
    python tests/benchmarks/bench_engine.py --device cuda --size 135m --bf16

On a machine that others use too, `--clock cpu` counts processor seconds instead of time.

Multi-turn: concurrent episodes, each turn a new observation and a sampled response of the same
length for all, so that `generate` wastes nothing on waiting for the slowest. `generate` gets all
histories left-padded into one batch and encodes them anew each turn, as trainers without
per-episode caches do. Single turn: one cold batch of prompts of equal length, no padding anywhere
and no cache to reuse. `generate` is not asked for log-probabilities; ours returns them.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from llamas import SHAPES, synchronise
from transformers import GenerationConfig, LlamaForCausalLM

from agentrl.engines.base import Completion, Request, Sampling
from agentrl.engines.transformers import TransformersEngine

Ids = npt.NDArray[np.int32]
WORDS = 1024


def observations(episodes: int, turns: int, seed: int) -> list[list[Ids]]:
    """Return each episode's observations: a long first one, then 20 to 60 ids."""
    rng = np.random.default_rng(seed)
    return [
        [
            rng.integers(0, WORDS, int(rng.integers(*((120, 181) if t == 0 else (20, 61))))).astype(
                np.int32
            )
            for t in range(turns)
        ]
        for _ in range(episodes)
    ]


async def _play(
    engine: TransformersEngine, session: str, texts: list[Ids], tokens: int, seed: int
) -> tuple[Ids, list[Completion]]:
    history = np.empty(0, np.int32)
    answers = []
    for turn, text in enumerate(texts):
        history = np.concatenate([history, text])
        sampling = Sampling(max_tokens=tokens, seed=1000 * seed + turn)
        answers.append(await engine.generate(Request(history, sampling, session=session)))
        history = np.concatenate([history, answers[-1].token_ids])
    await engine.release(session)
    return history, answers


def play_ours(
    engine: TransformersEngine, episodes: list[list[Ids]], tokens: int
) -> list[tuple[Ids, list[Completion]]]:
    """Play all episodes at once through the engine, without caches of earlier runs."""

    async def everything() -> list[tuple[Ids, list[Completion]]]:
        await engine.load_weights(0, {})
        games = [_play(engine, str(i), texts, tokens, i) for i, texts in enumerate(episodes)]
        return await asyncio.gather(*games)

    return asyncio.run(everything())


def play_generate(model: LlamaForCausalLM, episodes: list[list[Ids]], tokens: int) -> None:
    """Play all episodes in lockstep through `generate`, re-encoding the whole histories."""
    settings = GenerationConfig(
        max_new_tokens=tokens, min_new_tokens=tokens, do_sample=True, top_k=0, pad_token_id=0
    )
    histories = [np.empty(0, np.int32) for _ in episodes]
    for turn in range(len(episodes[0])):
        histories = [np.concatenate([h, e[turn]]) for h, e in zip(histories, episodes, strict=True)]
        width = max(map(len, histories))
        ids = torch.zeros(len(histories), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, history in enumerate(histories):
            ids[row, width - len(history) :] = torch.from_numpy(history.astype(np.int64))
            mask[row, width - len(history) :] = 1
        with torch.inference_mode():
            output = model.generate(
                ids.to(model.device),
                attention_mask=mask.to(model.device),
                generation_config=settings,
            )
        sampled = output[:, width:].cpu().numpy().astype(np.int32)
        histories = [np.concatenate([h, s]) for h, s in zip(histories, sampled, strict=True)]


@torch.inference_mode()
def largest_gap(model: LlamaForCausalLM, games: list[tuple[Ids, list[Completion]]]) -> float:
    """Return the largest difference to the log-probs of a plain teacher-forced forward."""
    worst = 0.0
    for history, answers in games:
        ids = torch.from_numpy(history.astype(np.int64)).to(model.device)
        logprobs = model(ids[None]).logits[0, :-1].float().log_softmax(-1)
        plain = logprobs.gather(1, ids[1:, None])[:, 0].cpu().numpy()
        got = np.concatenate([answer.logprobs for answer in answers])
        sampled = np.concatenate([answer.token_ids for answer in answers])
        places = _sampled_places(history, answers)
        assert np.array_equal(history[places], sampled)
        worst = max(worst, float(np.abs(plain[places - 1] - got).max()))
    return worst


def _sampled_places(history: Ids, answers: list[Completion]) -> npt.NDArray[np.int64]:
    places: list[int] = []
    cursor = 0
    for answer in answers:
        size = len(answer.token_ids)
        while not np.array_equal(history[cursor : cursor + size], answer.token_ids):
            cursor += 1
        places.extend(range(cursor, cursor + size))
        cursor += size
    return np.array(places)


def alternate(rounds: int, clock: Callable[[], float], *runs: Callable[[], object]) -> list[float]:
    """Return the median seconds of each run, measured in turns."""
    times: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    for _ in range(rounds):
        for run, kept in zip(runs, times, strict=True):
            start = clock()
            run()
            kept.append(clock() - start)
    return [statistics.median(kept) for kept in times]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", choices=tuple(SHAPES), default="3m")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true", help="weights in bfloat16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--episodes", type=int, default=64)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    options = parser.parse_args()
    device = torch.device(options.device)

    def clock() -> float:
        synchronise(device)
        return time.perf_counter() if options.clock == "wall" else time.process_time()

    torch.set_num_threads(options.threads)
    kind = torch.bfloat16 if options.bf16 else torch.float32
    model = SHAPES[options.size].build().to(device, kind).eval()
    engine = TransformersEngine(model)
    count, tokens = options.episodes, options.tokens
    weights = sum(p.numel() for p in model.parameters())
    print(f"Llama of {weights / 1e6:.1f}M parameters on {device}, {count} episodes, ", end="")
    print(f"{options.threads} threads")

    episodes = observations(count, options.turns, seed=1)
    gap = largest_gap(model, play_ours(engine, episodes, tokens))
    print(f"largest difference in log-probability to a teacher-forced forward: {gap:.1e}")

    ours, theirs = alternate(
        options.rounds,
        clock,
        lambda: play_ours(engine, episodes, tokens),
        lambda: play_generate(model, episodes, tokens),
    )
    sampled = count * options.turns * tokens
    print(f"multi-turn, {options.turns} turns of {tokens} tokens:")
    print(f"  ours {sampled / ours:.0f} tokens/s, generate {sampled / theirs:.0f} tokens/s")
    print(f"  ratio {theirs / ours:.2f}")

    rng = np.random.default_rng(2)
    single = [[rng.integers(0, WORDS, 300).astype(np.int32)] for _ in range(count)]
    ours, theirs, first = alternate(
        options.rounds,
        clock,
        lambda: play_ours(engine, single, 32),
        lambda: play_generate(model, single, 32),
        lambda: play_ours(engine, single, 1),
    )
    print("single turn, cold, 300 prompt ids, 32 tokens:")
    print(f"  ours {count * 32 / ours:.0f} tokens/s, generate {count * 32 / theirs:.0f} tokens/s")
    print(f"  ratio {theirs / ours:.2f}")
    print(f"  ours: prefill {count * 300 / first:.0f} tokens/s", end=", ")
    print(f"decode {count * 31 / max(ours - first, 1e-9):.0f} tokens/s")


if __name__ == "__main__":
    main()
