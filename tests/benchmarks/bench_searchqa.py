"""How fast search QA is: making questions, turns, and searching a corpus.

    AGENTRL_DATA=... python tests/benchmarks/bench_searchqa.py

Without the data only the generated questions are measured. Compared are: an index found in the
cache against one built anew, and bm25s against the small library in pure Python on the same
passages. Times are processor times, medians over rounds that take turns (A B A B ...).
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agentrl.data import data_root
from agentrl.environments.searchqa import LEVELS, SearchQA, generate
from agentrl.environments.searchqa.index import Bm25Library
from agentrl.environments.searchqa.library import SmallLibrary

ROUNDS = 5


def milliseconds(play: Callable[[], object]) -> float:
    """Return the processor time of a call."""
    begin = time.process_time()
    play()
    return (time.process_time() - begin) * 1000


def in_turns(*plays: Callable[[], object]) -> list[float]:
    """Return the median time of each call."""
    times = [[milliseconds(play) for play in plays] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def bench_generated() -> None:
    """Measure questions and turns of each level."""
    print("generated: a new question, a reset, a turn with all of info (ms)")
    for hops, level in LEVELS.items():
        seeds = iter(range(10**9))
        env = SearchQA(difficulty=hops, expert="search", split="test")
        new = in_turns(
            lambda level=level, seeds=seeds: [generate(level, next(seeds)) for _ in range(100)]
        )
        first = in_turns(lambda env=env: [play(env, f"test/{n}") for n in range(100)])
        turns = sum(play(env, f"test/{n}") for n in range(100))
        print(f"  {hops} hops: {new[0] / 100:.2f}, {reset(env):.3f}, {first[0] / turns:.3f}")


def reset(env: SearchQA) -> float:
    """Return the time of a reset to a question at hand."""
    return in_turns(lambda: [env.reset(options={"task": "test/0"}) for _ in range(100)])[0] / 100


def play(env: SearchQA, task: str) -> int:
    """Play an episode by its expert; return its turns."""
    _, info = env.reset(options={"task": task})
    turns = 0
    while "expert_action" in info:
        *_, info = env.step(info["expert_action"])
        turns += 1
    return turns


def bench_corpus(folder: Path) -> None:
    """Measure the joint corpus of the real sets."""
    env = SearchQA(source="hotpotqa", corpus="all", data=folder)
    ids = [task for split in env.tasks.splits for task in env.tasks.ids(split)]
    questions = [env.tasks.get(task).data.text for task in ids]
    library = env.tasks.get(ids[0]).data.library
    assert isinstance(library, Bm25Library)
    print(f"{len(library.passages):,} passages, {len(questions)} questions")
    kept, built = in_turns(lambda: Bm25Library(library.passages), lambda: rebuild(library))
    print(f"  index kept {kept:.0f} ms, built {built:.0f} ms, ratio {built / kept:.1f}")
    plain = SmallLibrary(library.passages)
    plain.search("warm up", 3)
    fast, slow = in_turns(
        lambda: [library._search(text, 3) for text in questions],
        lambda: [plain.search(text, 3) for text in questions],
    )
    count = len(questions)
    fast, slow = fast / count, slow / count
    print(f"  query bm25s {fast:.2f} ms, Python {slow:.2f} ms, ratio {slow / fast:.1f}")
    for results in (3, 5, 10):
        print(
            f"  support recall of the bare question at {results}: {recall(env, ids, results):.3f}"
        )


def rebuild(library: Bm25Library) -> Bm25Library:
    """Return the library with an index built from nothing."""
    cache = os.environ["AGENTRL_CACHE"]
    with tempfile.TemporaryDirectory() as empty:
        os.environ["AGENTRL_CACHE"] = empty
        try:
            return Bm25Library(library.passages)
        finally:
            os.environ["AGENTRL_CACHE"] = cache


def recall(env: SearchQA, ids: Sequence[str], results: int) -> float:
    """Return the mean share of supporting passages that the question itself finds."""
    shares = []
    for task in ids:
        question = env.tasks.get(task).data
        found = question.library.search(question.text, results)
        titles = {question.library.passages[number].title for number in found}
        shares.append(sum(one in titles for one in question.supporting) / len(question.supporting))
    return statistics.mean(shares)


def main() -> None:
    """Measure all that can be measured here."""
    bench_generated()
    folder = data_root() / "searchqa"
    if not (folder / "hotpotqa_corpus.jsonl.xz").is_file():
        print("no real questions here: AGENTRL_DATA names no folder with them")
        return
    with tempfile.TemporaryDirectory() as cache:
        os.environ["AGENTRL_CACHE"] = cache
        bench_corpus(folder)


if __name__ == "__main__":
    main()
