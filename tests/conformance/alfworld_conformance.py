"""Is the native ALFWorld engine the original one, byte for byte?

    python tests/conformance/alfworld_conformance.py --results runs/alfworld_conformance.jsonl

First every official game that `AGENTRL_DATA` holds is won by its recorded walkthrough, each command
being admissible. Then games of all splits and task types are played side by side with TextWorld's
engine (extra `alfworld`), unpatched, with seeded random and adversarial actions: observation,
admissible commands in order, score and done must be identical. With `--results` a run that was
stopped goes on. Prints a table; the exit code is 1 when anything differs.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from alfworld_actions import KINDS, ActionSource

from agentrl.environments.alfworld import Engine
from agentrl.environments.alfworld.official import OFFICIAL_SPLITS, Official, official
from agentrl.environments.alfworld.original import Original, borrow, give_back
from agentrl.errors import TaskError


@dataclass(slots=True)
class Episode:
    """What playing one game side by side showed."""

    id: str
    task_type: str
    kinds: dict[str, int] = field(default_factory=dict)
    """Actions by kind."""
    understood: int = 0
    """Actions that did something."""
    won: bool = False
    seconds: float = 0.0
    differences: list[dict[str, Any]] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both parts; return the exit code."""
    options = _options(arguments)
    data = official(options.data)
    splits = [split for split in OFFICIAL_SPLITS if _is_here(data, split)]
    bad = walkthroughs(data, splits)
    chosen = choose(data, splits, options.games, options.seed)
    episodes = list(_side_by_side(chosen, options))
    _print_table(episodes)
    for episode in episodes:
        for difference in episode.differences[:3]:
            print(json.dumps({"game": episode.id, **difference}, ensure_ascii=True)[:2000])
    differing = sum(bool(episode.differences) for episode in episodes)
    print(f"\n{bad} walkthroughs and {differing} of {len(episodes)} games differ")
    return int(bool(bad or differing or len(episodes) < len(chosen)))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--games", type=int, default=400, help="games played side by side")
    parser.add_argument("--actions", type=int, default=40, help="actions in each game")
    parser.add_argument("--seed", type=int, default=0, help="chooses games and actions")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--data", help="folder with the official games, not AGENTRL_DATA")
    parser.add_argument("--results", type=Path, help="a file that grows by one line per game")
    return parser.parse_args(arguments)


def _is_here(data: Official, split: str) -> bool:
    try:
        return len(data.splits[split]) > 0
    except TaskError as error:
        print(f"left out: {error}")
        return False


def walkthroughs(data: Official, splits: Iterable[str]) -> int:
    """Win every game by its recorded walkthrough; return how many games do not agree."""
    bad = 0
    print(f"{'walkthroughs':<16}{'games':>8}{'commands':>10}{'won':>8}{'admissible':>12}")
    for split in splits:
        ids, commands, won, admissible = data.splits[split], 0, 0, 0
        for task in ids:
            engine = Engine(data.splits[split].game(task))
            walkthrough = data.splits[split].walkthrough(task)
            good = bool(walkthrough)
            for command in walkthrough:
                good = good and command in engine.admissible() and not engine.won
                engine.step(command)
            commands, won, admissible = (
                commands + len(walkthrough),
                won + engine.won,
                admissible + good,
            )
            bad += not (engine.won and good)
        print(f"{split:<16}{len(ids):>8}{commands:>10}{won:>8}{admissible:>12}", flush=True)
    return bad


def choose(data: Official, splits: Iterable[str], count: int, seed: int) -> list[str]:
    """Return games of every split and task type in turn."""
    strata: dict[tuple[str, str], list[str]] = defaultdict(list)
    for split in splits:
        for task in data.splits[split]:
            strata[split, task.split("/")[1].partition("-")[0]].append(task)
    for key, tasks in strata.items():
        random.Random(f"{seed}/{key}").shuffle(tasks)
    turns = zip(*(_padded(tasks) for _, tasks in sorted(strata.items())), strict=True)
    in_turn = (task for turn in turns for task in turn if task)
    return [task for task, _ in zip(in_turn, range(count), strict=False)]


def _padded(tasks: list[str]) -> list[str]:
    return tasks + [""] * (10_000 - len(tasks))


def _side_by_side(chosen: list[str], options: argparse.Namespace) -> Iterator[Episode]:
    """Play the games that the results file does not hold yet; yield all."""
    key = {"seed": options.seed, "actions": options.actions}
    done = _read(options.results, key) if options.results else {}
    yield from (done[task] for task in chosen if task in done)
    jobs = [
        (task, options.actions, options.seed, options.data) for task in chosen if task not in done
    ]
    with ExitStack() as stack:
        run: Callable[..., Iterable[Episode]] = map
        if options.workers > 1:
            pool = ProcessPoolExecutor(options.workers, mp_context=get_context("spawn"))
            run = stack.enter_context(pool).map
        for number, episode in enumerate(run(_play_job, jobs), start=1 + len(done)):
            if options.results:
                with options.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(key | asdict(episode)) + "\n")
            if episode.differences or number % 20 == 0:
                print(f"{number}/{len(chosen)} {episode.id}: {len(episode.differences)} differ")
                sys.stdout.flush()
            yield episode


def _read(file: Path, key: dict[str, int]) -> dict[str, Episode]:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        return {}
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if {name: row.pop(name) for name in key} == key:
            found[row["id"]] = Episode(**row)
    return found


def _play_job(job: tuple[str, int, int, str | None]) -> Episode:
    task, actions, seed, folder = job
    original = borrow()
    try:
        return play(official(folder), original, task, actions, seed)
    finally:
        give_back(original)


def play(data: Official, original: Original, task: str, actions: int, seed: int) -> Episode:
    """Play one game on both engines and note every difference."""
    split = data.splits[task.partition("/")[0]]
    start, game = time.perf_counter(), split.game(task)
    engine, episode = Engine(game), Episode(task, game.goal.task_type.value)
    introduction = original.reset(split.game_file(task))
    _compare(episode, "", (engine.introduction(), engine), (introduction, original))
    source, kinds = ActionSource(engine, f"{seed}/{task}"), Counter[str]()
    for _ in range(actions):
        kind, action = source.draw()
        kinds[kind] += 1
        episode.understood += engine.understand(action) is not None
        _compare(episode, action, (engine.step(action), engine), (original.step(action), original))
        episode.won |= engine.won
    episode.kinds, episode.seconds = dict(kinds), time.perf_counter() - start
    return episode


def _compare(
    episode: Episode, action: str, ours: tuple[str, Engine], theirs: tuple[str, Original]
) -> None:
    (observation, engine), (expected, original) = ours, theirs
    pairs = {
        "observation": (observation, expected),
        "admissible": (engine.admissible(), original.admissible),
        "score": (engine.score, original.score),
        "done": (engine.won, original.done),
        "won": (engine.won, original.won),
    }
    for what, (mine, other) in pairs.items():
        if mine != other:
            if isinstance(mine, list) and isinstance(other, list):
                mine, other = sorted({*mine} - {*other}), sorted({*other} - {*mine})
            episode.differences.append(
                {"action": action[:200], "what": what, "native": mine, "original": other}
            )


def _print_table(episodes: list[Episode]) -> None:
    groups: dict[tuple[str, str], list[Episode]] = defaultdict(list)
    for episode in episodes:
        groups[episode.id.partition("/")[0], episode.task_type].append(episode)
    columns = ("games", "steps", *KINDS, "did something", "won", "differences")
    print(f"\n{'split':<14}{'task type':<32}" + "".join(f"{c:>{len(c) + 2}}" for c in columns))
    rows = [(*key, group) for key, group in sorted(groups.items())]
    for split, task_type, group in [*rows, ("all", "", episodes)]:
        kinds = sum((Counter(episode.kinds) for episode in group), Counter[str]())
        values = (
            len(group),
            kinds.total(),
            *(kinds[kind] for kind in KINDS),
            sum(episode.understood for episode in group),
            sum(episode.won for episode in group),
            sum(len(episode.differences) for episode in group),
        )
        cells = "".join(f"{value:>{len(c) + 2}}" for c, value in zip(columns, values, strict=True))
        print(f"{split:<14}{task_type:<32}{cells}")
    seconds = sum(episode.seconds for episode in episodes)
    print(f"{seconds / 60:.0f} minutes of play, almost all of it the original engine's")


if __name__ == "__main__":
    sys.exit(main())
