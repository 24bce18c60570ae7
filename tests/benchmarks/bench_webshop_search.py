"""WebShop's search: speed, pruned against exhaustive, and the memory of 64 workers.

    AGENTRL_DATA=... python tests/benchmarks/bench_webshop_search.py [PRODUCTS]

The small catalogue is the real one. A large one is made from it by repetition with variation, on
the level of analysed terms: a copy of a product keeps a part of its terms; the others are drawn
from all terms as often as they occur in the real catalogue, so that document frequencies grow as
they would, and three in a hundred are made up, so that the vocabulary grows too.
"""

from __future__ import annotations

import json
import lzma
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from agentrl.environments.webshop import ranking
from agentrl.environments.webshop.analysis import analyse
from agentrl.environments.webshop.index import Index
from agentrl.environments.webshop.index_build import IndexBuilder
from agentrl.environments.webshop.shop import document_text, open_shop

PRODUCTS = 1_181_436
WORKERS = 64
SHORT = ("dress", "black dress", "usb c charger", "women shoes size 8", "gluten free snack", "red")


def real_documents(folder: Path) -> list[list[str]]:
    return [analyse(document_text(product)) for product in open_shop(folder).products]


def varied(real: Sequence[Sequence[str]], count: int) -> Iterator[tuple[str, list[str]]]:
    """Yield names and terms of the documents of a large catalogue."""
    rng = np.random.default_rng(0)
    terms = np.array([term for document in real for term in document], dtype=object)
    documents = [np.array(document, dtype=object) for document in real]
    for number in range(count):
        document = documents[number % len(real)].copy()
        fate = rng.random(len(document))
        change = np.flatnonzero(fate > rng.uniform(0.1, 0.8))
        document[change] = terms[rng.integers(0, len(terms), len(change))]
        for place in np.flatnonzero(fate > 0.97):
            document[place] = f"x{int(rng.zipf(1.1)) % 10_000_000:x}"
        yield f"B{number * 2_654_435_761 % 10**9:09d}", document.tolist()


def build(real: Sequence[Sequence[str]], count: int, folder: Path) -> Index:
    builder, made = IndexBuilder(folder), 0.0
    start = time.perf_counter()
    for name, terms in varied(real, count):
        begin = time.perf_counter()
        builder.add_terms(name, terms)
        made += time.perf_counter() - begin
    begin = time.perf_counter()
    builder.finish()
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    print(
        f"{count:,} products, analysed: added in {made:.0f} s, finished in {end - begin:.0f} s "
        f"(with making them up {end - start:.0f} s); peak {peak:.0f} MB; files {size:.0f} MB"
    )
    return Index(folder)


def milliseconds(call: Callable[[str], object], queries: Sequence[str]) -> list[float]:
    """Return the processor time of each query, the better of two."""
    taken = []
    for query in queries:
        tries = []
        for _ in range(2):
            begin = time.process_time()
            call(query)
            tries.append((time.process_time() - begin) * 1e3)
        taken.append(min(tries))
    return sorted(taken)


def report(title: str, taken: Sequence[float]) -> None:
    p99 = taken[min(len(taken) - 1, int(len(taken) * 0.99))]
    print(f"  {title:<42} p50 {statistics.median(taken):6.2f} ms   p99 {p99:6.2f} ms")


def measure(index: Index, queries: Sequence[str]) -> None:
    milliseconds(index.search, queries)
    report(f"{len(queries)} queries of the gold rankings", milliseconds(index.search, queries))
    report("short queries", milliseconds(index.search, SHORT * 5))


def against_exhaustive(index: Index, queries: Sequence[str]) -> None:
    """Compare results and time, query by query in turn."""
    pruned: list[float] = []
    full: list[float] = []
    limit = ranking.FEW
    for query in queries:
        results = []
        for few, taken in ((limit, pruned), (10**12, full)):
            ranking.FEW = few
            begin = time.perf_counter()
            results.append(index.scores(query))
            taken.append(time.perf_counter() - begin)
        assert results[0] == results[1], query
    ranking.FEW = limit
    ratio = statistics.median(f / p for f, p in zip(full, pruned, strict=True))
    print(f"  {len(queries)} results equal those of scoring all; {ratio:.1f} times faster (median)")


def proportional_memory() -> float:
    """Return this process's share of the memory it uses, in MB."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _work(folder: Path, queries: Sequence[str], barrier, results) -> None:  # type: ignore[no-untyped-def]
    index = Index(folder)
    for query in queries:
        index.search(query)
    barrier.wait()
    results.put(proportional_memory())
    barrier.wait()


def memory(folder: Path, queries: Sequence[str], method: str) -> None:
    """Print the proportional memory of one worker and of 64 that all search."""
    context = multiprocessing.get_context(method)
    totals = []
    for count in (1, WORKERS):
        barrier, results = context.Barrier(count), context.Queue()
        arguments = (folder, queries, barrier, results)
        workers = [context.Process(target=_work, args=arguments) for _ in range(count)]
        for worker in workers:
            worker.start()
        totals.append(sum(results.get() for _ in workers))
        for worker in workers:
            worker.join()
    one, many = totals
    print(
        f"  {method}: 1 process {one:.0f} MB, {WORKERS} processes {many:.0f} MB, ratio "
        f"{many / one:.2f}; {(many - one) / (WORKERS - 1):.1f} MB for each further one"
    )


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else PRODUCTS
    folder = Path(os.environ["AGENTRL_DATA"]) / "webshop_small"
    with lzma.open(folder / "lucene_bm25_top50_gold.tsv.xz", "rt", encoding="utf-8") as gold:
        queries = [line.partition("\t")[0] for line in gold]
    goals = json.loads((folder / "items_ins_v2_1000.json").read_text()).values()
    texts = [goal["instruction"] for goal in goals if goal.get("instruction")]
    texts = [f"{text}, and price lower than 50.00 dollars" for text in texts]
    print("small catalogue")
    measure(open_shop(folder).index, queries)
    report("whole instructions", milliseconds(open_shop(folder).index.search, texts))
    with tempfile.TemporaryDirectory() as place:
        target = Path(place) / "index"
        index = build(real_documents(folder), count, target)
        measure(index, queries)
        report("whole instructions", milliseconds(index.search, texts))
        against_exhaustive(index, queries[::20])
        print("memory, every process searching")
        for method in ("fork", "forkserver"):
            memory(target, queries[::100], method)


if __name__ == "__main__":
    main()
