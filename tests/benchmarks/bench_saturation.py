"""Whether multi-turn collection keeps a vLLM server as busy as anything could.

    python tests/benchmarks/bench_saturation.py [--model models/smollm2] [--rounds 2] [--quick]

One real server, started by the engine; generated games of ALFWorld, full memory, so that prompts
grow with the turns. Four phases take turns, each with an empty prefix cache:

    collection   the collector with the vLLM engine: environment, dialogue, checks, HTTP
    raw          the server alone. What collection asked is asked again, encoded before the clock
                 starts: the same prompts and settings, as many tokens as it got (forced), with
                 log-probabilities, which training needs. As many episodes at a time, the turns of
                 an episode one after the other; the next request goes out as soon as the answer
                 before is in, which nobody reads. No client whose prompts hold the answers to
                 earlier ones can be faster.
    lock-step    the same collector, engine, episodes and seeds, but all step together: no episode
                 gets its completion before all have theirs, and the next batch begins when the last
                 of this one has ended. Those that have ended are asked on, for answers that nobody
                 uses: the common design, where a step is one call for the whole batch (verl-agent's
                 multi-turn loop is one). Here such a request is the episode's last one again, whose
                 prompt the server has in its cache.
    idle         lock-step that spares the server what nobody uses: those that have ended wait.

Tokens are those that episodes hold, so what a lock-step samples for ended ones is not counted.

Episodes are uneven in two ways. Completions end where the model ends them. And three episodes in
four are solved, as by the shipped policy after the quickstart, in as many turns as that policy
takes for the games that it solves (`SOLVED`); the others go on to a limit of 30 turns. SmolLM2
itself solves nothing: all its episodes would be equally long, which no barrier minds.

Client and server share the machine's cores: what the client computes the server lacks. So the
client's processor seconds are printed too. And so is how many requests were in flight on average:
what a barrier costs is the pace that the server loses when fewer are. That differs by hardware. A
CPU that computes all it can loses nothing; on a GPU that reads its weights for each step, however
many requests share them, a turn takes as long with few. A line of each round says what the barrier
costs there, counted in turns of the episodes played.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import random
import statistics
import time
import urllib.request
from collections import deque
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import gymnasium
import msgspec

from agentrl.config import DialogueConfig, RolloutConfig
from agentrl.dialogue.factory import ConversationFactory, build_dialogue
from agentrl.engines.base import Completion, Engine, Request
from agentrl.engines.vllm.engine import VllmEngine
from agentrl.engines.vllm.wire import Answer, sampling_body
from agentrl.registry import make
from agentrl.rollout.collector import Collector, GroupRequest

MODEL = Path("models/smollm2")
SOLVED = (7, 7, 8, 8, 10, 13, 15, 18, 20)
"""Turns of solved games: the deciles of 39 that the shipped policy solved within 20 turns."""
MAX_TURNS = 30
GROUP = 8
"""Episodes that play the same game, and so begin with the same prompt."""
PHASES = ("collection", "raw", "lock-step", "idle")

Chain = list[tuple[Request, Completion]]
"""What an episode asked and got, turn by turn."""
T = TypeVar("T")


class Uneven(gymnasium.Wrapper[str, str, str, str]):
    """A game that is over after a number of turns that its seed draws."""

    def __init__(self) -> None:
        super().__init__(make("alfworld", difficulty=6, max_turns=MAX_TURNS))
        self._left = MAX_TURNS

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        rng = random.Random(seed)
        self._left = rng.choice(SOLVED) if rng.random() < 0.75 else MAX_TURNS
        return self.env.reset(seed=seed, options=options)

    def step(self, action: str) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._left -= 1
        return observation, reward, terminated, truncated or self._left == 0, info


class Recording:
    """An engine that keeps what each episode asked and got."""

    def __init__(self, engine: Engine) -> None:
        self.chains: dict[str, Chain] = {}
        self.seconds = 0.0
        """How long all requests took together."""
        self._engine = engine

    async def generate(self, request: Request) -> Completion:
        completion = await self.ask(request)
        self.chains.setdefault(request.session, []).append((request, completion))
        return completion

    async def ask(self, request: Request) -> Completion:
        """Return a completion that no episode holds."""
        start = time.perf_counter()
        completion = await self._engine.generate(request)
        self.seconds += time.perf_counter() - start
        return completion

    async def release(self, session: str) -> None:
        await self._engine.release(session)


class LockStep(Recording):
    """An engine that answers nobody before it can answer all episodes that go on."""

    def __init__(self, engine: Engine, episodes: int, idle: bool) -> None:
        super().__init__(engine)
        self._episodes = episodes
        self._idle = idle
        self._ended: list[Request] = []
        self._asked: list[tuple[Request, asyncio.Future[Completion]]] = []
        self._answering: asyncio.Task[None] | None = None

    async def generate(self, request: Request) -> Completion:
        answer: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._asked.append((request, answer))
        self._begin_if_complete()
        return await answer

    async def release(self, session: str) -> None:
        await super().release(session)
        self._episodes -= 1
        if not self._idle:
            self._ended.append(self.chains[session][-1][0])
        self._begin_if_complete()

    def _begin_if_complete(self) -> None:
        if self._asked and len(self._asked) == self._episodes:
            asked, self._asked = self._asked, []
            self._answering = asyncio.create_task(self._answer(asked))

    async def _answer(self, asked: list[tuple[Request, asyncio.Future[Completion]]]) -> None:
        calls = [super(LockStep, self).generate(request) for request, _ in asked]
        calls += [self.ask(request) for request in self._ended]
        try:
            completions = await asyncio.gather(*calls)
        except Exception as error:
            for _, answer in asked:
                answer.set_exception(error)
            return
        for (_, answer), completion in zip(asked, completions, strict=False):
            answer.set_result(completion)


@dataclass(frozen=True, slots=True)
class Bench:
    """The server and what is played on it."""

    engine: VllmEngine
    dialogues: ConversationFactory
    requests: Sequence[GroupRequest]
    slots: int

    async def collect(self) -> tuple[dict[str, Chain], float]:
        """Play all episodes as a run does; return also how long all requests took together."""
        recording = Recording(self.engine)
        await self._play(recording, self.requests)
        return recording.chains, recording.seconds

    async def lock_step(self, *, idle: bool) -> tuple[dict[str, Chain], float]:
        """Play them in batches, turn by turn; return the same."""
        chains: dict[str, Chain] = {}
        seconds = 0.0
        for start in range(0, len(self.requests), self.slots):
            batch = self.requests[start : start + self.slots]
            engine = LockStep(self.engine, len(batch), idle)
            await self._play(engine, batch)
            chains |= engine.chains
            seconds += engine.seconds
        return chains, seconds

    async def raw(self, chains: Sequence[Sequence[bytes]]) -> tuple[list[list[bytes]], float]:
        """Send all messages of all chains; return the answers, and how long all took together."""
        address = urlsplit(self.engine.urls[0])
        answers: list[list[bytes]] = [[] for _ in chains]
        waiting = deque(zip(chains, answers, strict=True))
        seconds = 0.0

        async def slot() -> None:
            nonlocal seconds
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            while waiting:
                chain, into = waiting.popleft()
                start = time.perf_counter()
                for message in chain:
                    writer.write(message)
                    head = await reader.readuntil(b"\r\n\r\n")
                    assert b" 200 " in head.partition(b"\r\n")[0], head
                    size = int(head.lower().partition(b"content-length:")[2].split()[0])
                    into.append(await reader.readexactly(size))
                seconds += time.perf_counter() - start
            writer.close()

        await asyncio.gather(*(slot() for _ in range(self.slots)))
        return answers, seconds

    async def _play(self, engine: Any, requests: Sequence[GroupRequest]) -> None:
        config = RolloutConfig(concurrency=self.slots, retries=0, episode_seconds=None)
        async with Collector(Uneven, self.dialogues, engine, config) as collector:
            collected = await collector.collect(requests)
        assert not collected.lost, collected.lost[0].error


def encode(url: str, chain: Chain) -> list[bytes]:
    """Return an episode's requests as they go over the wire, each for as many tokens as it got."""
    messages = []
    for request, got in chain:
        body = sampling_body("policy", request.prompt_ids.tolist(), request.sampling)
        content = msgspec.json.encode(body | {"max_tokens": got.tokens, "stop_token_ids": []})
        head = (
            f"POST /v1/completions HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        messages.append(head.encode() + content)
    return messages


def agreement(chains: Sequence[Chain], answers: Sequence[Sequence[bytes]]) -> float:
    """Return the share of answers with the ids that collection got, which its next prompt holds.

    Where they differ, as rounding depends on what is computed together, the server reads ids again
    that it would have had in its cache.
    """
    decoder = msgspec.json.Decoder(Answer)
    same = []
    for chain, messages in zip(chains, answers, strict=True):
        for (_, got), message in zip(chain, messages, strict=True):
            ids = decoder.decode(message).choices[0].token_ids or []
            assert len(ids) == got.tokens, "the raw phase sampled another number of tokens"
            same.append(ids == got.token_ids.tolist())
    return statistics.mean(same)


@dataclass(frozen=True, slots=True)
class Measured:
    """One phase of one round."""

    tokens: int
    seconds: float
    processor: float
    """Seconds of the client alone."""
    in_flight: float
    """Requests on average."""

    @property
    def pace(self) -> float:
        """Sampled tokens per second."""
        return self.tokens / self.seconds


async def timed(url: str, work: Awaitable[tuple[T, float]]) -> tuple[T, float, float, float]:
    """Return what some work returns, its seconds, the client's processor's and those in flight."""
    forget = urllib.request.Request(f"{url}/reset_prefix_cache", method="POST")
    urllib.request.urlopen(forget).close()
    start, processor = time.perf_counter(), time.process_time()
    result, requests = await work
    seconds = time.perf_counter() - start
    return result, seconds, time.process_time() - processor, requests / seconds


async def play_round(bench: Bench) -> dict[str, Measured]:
    """Return the figures of all phases."""
    url = bench.engine.urls[0]
    played, *spent = await timed(url, bench.collect())
    found = {"collection": Measured(tokens_of(played), *spent)}
    chains = [played[f"{request.group}/0"] for request in bench.requests]
    messages = [encode(url, chain) for chain in chains]
    answers, *spent = await timed(url, bench.raw(messages))
    found["raw"] = Measured(tokens_of(played), *spent)
    for name in ("lock-step", "idle"):
        stepped, *spent = await timed(url, bench.lock_step(idle=name == "idle"))
        found[name] = Measured(tokens_of(stepped), *spent)
    text = ", ".join(f"{name} {phase.pace:.0f} tokens/s" for name, phase in found.items())
    print(f"{text}; raw sampled the same in {agreement(chains, answers):.0%}", flush=True)
    show_turns(chains, bench.slots)
    return found


def turns_taken(lengths: Sequence[int], slots: int) -> tuple[int, int]:
    """Return how many turns pass where a turn takes as long however many episodes play.

    Args:
        lengths: Turns of the episodes, in the order in which they begin.
        slots: Episodes that play at a time.

    Returns:
        With the collector, where an episode begins as soon as one ends; and with the barrier, where
        a batch takes as long as its longest episode.
    """
    free = [0] * slots
    for length in lengths:
        heapq.heapreplace(free, free[0] + length)
    batches = [lengths[start : start + slots] for start in range(0, len(lengths), slots)]
    return max(free), sum(max(batch) for batch in batches)


def tokens_of(chains: Mapping[str, Chain]) -> int:
    """Return how many tokens were sampled."""
    return sum(got.tokens for chain in chains.values() for _, got in chain)


def games(episodes: int) -> list[GroupRequest]:
    """Return episodes of generated games; each has a seed, and so a length, of its own."""
    tasks = make("alfworld", difficulty=6).tasks.ids("train")
    return [
        GroupRequest(f"{i // GROUP:03d}-{i % GROUP}", tasks[i // GROUP], seed=i)
        for i in range(episodes)
    ]


def show_turns(chains: Sequence[Chain], slots: int) -> None:
    """Print what the barrier costs in turns."""
    collector, barrier = turns_taken([len(chain) for chain in chains], slots)
    print(
        f"turns, however many play at a time: collection {collector}, lock-step {barrier}: "
        f"{barrier / collector:.2f} times",
        flush=True,
    )


async def play(bench: Bench, rounds: int) -> list[dict[str, Measured]]:
    """Warm up with all slots, for which kernels are compiled; return the figures of all rounds."""
    first = bench.requests[: bench.slots]
    try:
        await Bench(bench.engine, bench.dialogues, first, bench.slots).collect()
        return [await play_round(bench) for _ in range(rounds)]
    finally:
        await bench.engine.close()


def show(rounds: Sequence[Mapping[str, Measured]]) -> None:
    """Print paces and ratios."""
    print(f"\n| {'phase':<24} | tokens | seconds | client's processor | in flight | tokens/s |")
    print(f"| {'-' * 24} | -----: | ------: | -----------------: | --------: | -------: |")
    for name in PHASES:
        column = [found[name] for found in rounds]
        tokens, seconds, processor, in_flight, pace = (
            statistics.median(getattr(phase, key) for phase in column)
            for key in ("tokens", "seconds", "processor", "in_flight", "pace")
        )
        print(f"| {name:<24} | {tokens:>6.0f} | {seconds:>7.1f} | {processor:>16.1f} s |", end="")
        print(f" {in_flight:>9.1f} | {pace:>8.0f} |")
    print(f"\n| {'ratio of tokens/s':<24} | lowest | median | highest |")
    print(f"| {'-' * 24} | -----: | -----: | ------: |")
    for other in PHASES[1:]:
        ratios = sorted(found["collection"].pace / found[other].pace for found in rounds)
        middle = statistics.median(ratios)
        print(f"| {'collection / ' + other:<24} | {ratios[0]:>6.2f} | {middle:>6.2f} |", end="")
        print(f" {ratios[-1]:>7.2f} |")


def main() -> None:
    """Start the server, play and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, default=MODEL, help="a model directory")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--episodes", type=int, default=128)
    parser.add_argument("--slots", type=int, default=64, help="episodes in flight")
    parser.add_argument("--tokens", type=int, default=16, help="most per turn")
    parser.add_argument("--dtype", default="float32", help="of the served weights")
    parser.add_argument("--quick", action="store_true", help="one small round")
    options = parser.parse_args()
    if options.model == MODEL and not MODEL.is_dir():
        print(f"skipped: there is no {MODEL}; the README says how to make it")
        return
    if options.quick:
        options.rounds, options.episodes, options.tokens = 1, 2 * options.slots, 8
    engine = VllmEngine(
        options.model,
        max_batch=options.slots,
        context_length=2048,
        dtype=options.dtype,
        environment={"VLLM_CPU_KVCACHE_SPACE": "4"},
    )
    dialogue = DialogueConfig(format="plain", max_turn_tokens=options.tokens)
    dialogues = build_dialogue(options.model, dialogue, engine.context_length)
    bench = Bench(engine, dialogues, games(options.episodes), options.slots)
    show(asyncio.run(play(bench, options.rounds)))


if __name__ == "__main__":
    main()
