"""Cost of every registered credit method, its growth with the batch, and GiGPO beside a loop.

    python tests/benchmarks/bench_credit.py [--scales 1,10,100] [--rounds 7] [--methods salt,gigpo]

One unit is 16 groups of 16 trajectories of 50 turns: walks between 60 situations, 6 tokens read and
6 sampled in each turn. Larger batches have more groups. Times are of one core's processor, medians
over rounds, fewer at large scales; the strings of a batch are new objects in each round, as they
are after a rollout, so that nothing is gained from hashes kept from an earlier call. The host's
values and the signals are given. The slope is that of log time over log turns: 1 is linear.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import gc
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from agentrl import registry
from agentrl.batch import Batch, Floats
from agentrl.credit import assign, parse, to_tokens
from agentrl.credit.gigpo import Gigpo
from agentrl.credit.graph_value import GraphValue
from agentrl.credit.salt import Salt, merge_rate
from agentrl.errors import AgentRLError

GROUPS, TRAJECTORIES, TURNS = 16, 16, 50
PLACES, ACTIONS = 60, 8
READ, SAMPLED = 6, 6
LIMIT = 0.020
VARIANTS: dict[str, Any] = {
    "salt, per trajectory": Salt(unique_per_trajectory=True),
    "salt, normalised": Salt(matcher="normalised"),
    "graph_value, graphgpo": GraphValue(mode="graphgpo"),
    "gigpo, mean_norm": Gigpo(normaliser="mean_norm"),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scales", default="1,10,100", help="multiples of one unit")
    parser.add_argument("--rounds", type=int, default=7, help="at scale 1")
    parser.add_argument(
        "--methods", default="", help="only these; all that are registered if empty"
    )
    options = parser.parse_args()
    scales = [int(scale) for scale in options.scales.split(",")]
    methods = chosen(options.methods.split(",") if options.methods else [])
    times: dict[str, list[float]] = {name: [] for name in methods}
    for scale in scales:
        batch = build(scale, seed=scale)
        rounds = max(1, options.rounds - 3 * round(math.log10(scale)))
        print(f"{batch.num_groups} groups, {batch.num_turns:,} turns, {batch.num_tokens:,} tokens")
        if scale == scales[0]:
            print(f"  SALT merges {merge_rate(batch):.0%} of the turns")
        measure(methods, times, batch, rounds)
        if scale == 1:
            against_loop(batch, rounds)
        del batch
        gc.collect()
    report(times, scales)


def chosen(names: list[str]) -> dict[str, Any]:
    """Return the methods to measure, by what to call them."""
    methods: dict[str, Any] = {}
    for name in names or sorted(registry.points("credit")):
        try:
            chain = parse(["grpo", name]) if stage_of(name) != "outcome" else parse([name])
        except AgentRLError as error:
            print(f"{name} left out: {error}")
            continue
        methods[name] = chain[-1]
    return methods | {name: m for name, m in VARIANTS.items() if not names or m.name in names}


def stage_of(name: str) -> str:
    """Return the stage of a registered method."""
    stage: str = registry.load("credit", name).stage
    return stage


def build(scale: int, seed: int) -> Batch:
    """Return walks that start in one situation and prefer some actions, in `scale` units."""
    rng = np.random.default_rng(seed)
    groups = GROUPS * scale
    count = groups * TRAJECTORIES
    leads = rng.integers(0, PLACES, (groups, PLACES, ACTIONS))
    place, action = np.zeros((count, TURNS + 1), np.int64), np.zeros((count, TURNS), np.int64)
    group = np.repeat(np.arange(groups), TRAJECTORIES)
    for turn in range(TURNS):
        action[:, turn] = np.minimum(rng.geometric(0.45, count) - 1, ACTIONS - 1)
        place[:, turn + 1] = leads[group, place[:, turn], action[:, turn]]
    solved = rng.random(count) < rng.random(groups)[group]
    turns, per_turn = count * TURNS, READ + SAMPLED
    rewards = np.zeros((count, TURNS))
    rewards[:, -1] = solved
    starts = np.zeros((count, TURNS), np.bool_)
    starts[:, 0] = True
    seen = [
        [view(g, p) for p in row] for g, row in zip(group.tolist(), place.tolist(), strict=True)
    ]
    return Batch(
        token_ids=np.zeros(turns * per_turn, np.int32),
        sampled=np.tile(np.repeat([False, True], [READ, SAMPLED]), turns),
        logprobs=np.full(turns * per_turn, -0.5, np.float32),
        allowed_ids=np.empty(0, np.int32),
        allowed_counts=np.zeros(turns * per_turn, np.int32),
        token_offsets=np.arange(turns + 1) * per_turn,
        rewards=rewards.ravel(),
        policy_versions=np.zeros(turns, np.int64),
        starts_segment=starts.ravel(),
        valid=np.ones(turns, np.bool_),
        cut_short=np.zeros(turns, np.bool_),
        observations=[text for row in seen for text in row[:-1]],
        next_observations=[text for row in seen for text in row[1:]],
        actions=[f"go to place {a}" for a in action.ravel().tolist()],
        state_keys=[f"situation {p}" for p in place[:, :-1].ravel().tolist()],
        agents=["agent"] * turns,
        turn_offsets=np.arange(count + 1) * TURNS,
        success=solved,
        truncated=~solved,
        returns=solved.astype(np.float64),
        ids=[f"{i}" for i in range(count)],
        task_ids=[f"{g}" for g in group.tolist()],
        answers=["42"] * count,
        final_state_keys=[f"situation {p}" for p in place[:, -1].tolist()],
        trajectory_offsets=np.arange(groups + 1) * TRAJECTORIES,
        groups=[f"{g}" for g in range(groups)],
    )


def view(group: int, place: int) -> str:
    """Return an observation of about 120 characters."""
    return (
        f"You are in room {place} of house {group}. There are {place % 7} shelves here, a table "
        f"and a door to the north. On the table lies item {place}."
    )


def fresh(batch: Batch) -> Batch:
    """Return the batch with new string objects, equal to the old ones."""
    known: dict[int, str] = {}

    def renewed(texts: list[Any]) -> list[Any]:
        return [known.setdefault(id(text), text.encode().decode()) for text in texts]

    return replace(
        batch,
        observations=renewed(batch.observations),
        next_observations=renewed(batch.next_observations),
        actions=[text.encode().decode() for text in batch.actions],
        state_keys=[(text or "").encode().decode() for text in batch.state_keys],
    )


def signals_of(batch: Batch) -> dict[str, Any]:
    """Return all signals, random."""
    rng = np.random.default_rng(0)
    return {
        "entropy": rng.random(batch.num_tokens, np.float32) * batch.sampled,
        "answer_logprob": -rng.random((batch.num_turns, 2)),
        "prm_log_ratio": rng.normal(size=batch.num_turns),
        "ref_logprob": -rng.random(batch.num_tokens, np.float32),
        "value": rng.random(batch.num_tokens, np.float32),
    }


def measure(
    methods: dict[str, Any], times: dict[str, list[float]], batch: Batch, rounds: int
) -> None:
    """Add each method's median time on the batch; methods take turns."""
    signals, host = signals_of(batch), assign(batch, "grpo")
    at_tokens = to_tokens(batch, host)
    taken: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, method in methods.items():
            given = at_tokens if method.level == "token" else host
            renewed = fresh(batch)
            before = None if method.stage == "outcome" else given
            taken[name].append(timed(lambda m=method, r=renewed, b=before: m(r, b, signals)))
    for name, seconds in taken.items():
        times[name].append(statistics.median(seconds))
        print(f"  {name:24}{1e3 * times[name][-1]:10.2f} ms", flush=True)


def timed(call: Callable[[], object]) -> float:
    """Return the processor time of a call, in seconds."""
    gc.collect()
    start = time.process_time()
    call()
    return time.process_time() - start


def against_loop(batch: Batch, rounds: int) -> None:
    """Print GiGPO's time beside that of the same formula as loops over steps."""
    host = assign(batch, "grpo")
    ways: dict[str, Callable[[Batch], Floats]] = {
        "GiGPO": lambda b: Gigpo()(b, host, {}),
        "statistics of each step's situation": lambda b: gigpo_loop(b, host, once=False),
        "statistics of each situation once": lambda b: gigpo_loop(b, host, once=True),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            renewed = fresh(batch)
            taken[name].append(timed(lambda w=way, r=renewed: w(r)))
    values = [way(batch) for way in ways.values()]
    np.testing.assert_allclose(values[1], values[0], atol=1e-9)
    np.testing.assert_allclose(values[2], values[0], atol=1e-9)
    fast, *slow = (statistics.median(seconds) for seconds in taken.values())
    print(f"  GiGPO {1e3 * fast:.2f} ms; as a loop over steps, in ms and as a ratio:")
    for name, seconds in zip(list(ways)[1:], slow, strict=True):
        print(f"    {name:38}{1e3 * seconds:8.1f}{seconds / fast:8.1f}x")


def gigpo_loop(batch: Batch, host: Floats, *, once: bool) -> Floats:
    """GiGPO as one writes it step by step.

    Args:
        batch: Whole groups of trajectories.
        host: The episode advantages, shape [turns].
        once: Whether mean and deviation of a situation are kept for its other steps.
    """
    gamma, eps = 0.95, 1e-6
    group_of, offsets = batch.group_of_trajectory(), batch.turn_offsets
    returns = np.zeros(batch.num_turns)
    groups: dict[tuple[int, str | None], list[float]] = {}
    for i in range(batch.num_trajectories):
        to_go = 0.0
        for turn in reversed(range(offsets[i], offsets[i + 1])):
            to_go = batch.rewards[turn] + gamma * to_go
            returns[turn] = to_go
            groups.setdefault((group_of[i], batch.state_keys[turn]), []).append(to_go)
    found: dict[tuple[int, str | None], tuple[Any, Any]] = {}
    values = np.zeros(batch.num_turns)
    for i in range(batch.num_trajectories):
        for turn in range(offsets[i], offsets[i + 1]):
            key = group_of[i], batch.state_keys[turn]
            if not once or key not in found:
                members = np.array(groups[key])
                alone = len(members) == 1
                found[key] = members.mean(), 1.0 if alone else members.std(ddof=1)
            mean, std = found[key]
            values[turn] = host[turn] + (returns[turn] - mean) / (std + eps)
    return values


def report(times: dict[str, list[float]], scales: list[int]) -> None:
    """Print a row for each method: milliseconds at each scale, and the slope."""
    print(
        f"\n{'milliseconds':24}" + "".join(f"{f'{scale}x':>10}" for scale in scales) + "     slope"
    )
    for name, seconds in times.items():
        row = "".join(f"{1e3 * value:10.2f}" for value in seconds)
        slope = ""
        if len(scales) > 1:
            ratio = math.log(max(seconds[-1], 1e-9) / max(seconds[0], 1e-9))
            slope = f"{ratio / math.log(scales[-1] / scales[0]):10.2f}"
        over = "  over the limit" if scales[0] == 1 and seconds[0] > LIMIT else ""
        print(f"{name:24}{row}{slope}{over}")


if __name__ == "__main__":
    main()
