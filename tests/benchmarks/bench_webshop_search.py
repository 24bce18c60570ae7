"""WebShop's shop at any size: what building it takes, and how fast search, listings and store are.

    AGENTRL_DATA=... python tests/benchmarks/bench_webshop_search.py [--products N | --full]

The small catalogue is the real one. The large one is made from it by repetition with variation (see
`webshop_catalogue.py`), written as files of the original's format, and built from these end to end
in a process of its own. `--keep FOLDER` keeps what is made for the next run; the full size needs
7 GB there. Times are processor times.
"""

from __future__ import annotations

import argparse
import json
import lzma
import multiprocessing
import os
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from webshop_catalogue import FULL, write_catalogue

from agentrl.environments.webshop import ranking
from agentrl.environments.webshop.files import data_folder
from agentrl.environments.webshop.index import Index
from agentrl.environments.webshop.shop import Shop, open_shop

SHORT = ("dress", "black dress", "usb c charger", "women shoes size 8", "gluten free snack", "red")


def read_queries(folder: Path) -> dict[str, list[str]]:
    """Return the queries of the recorded rankings, whole instructions, and short queries."""
    with lzma.open(folder / "lucene_bm25_top50_gold.tsv.xz", "rt", encoding="utf-8") as gold:
        recorded = [line.partition("\t")[0] for line in gold]
    labels = json.loads((folder / "items_ins_v2_1000.json").read_text(encoding="utf-8")).values()
    texts = [label["instruction"] for label in labels if label.get("instruction")]
    whole = [f"{text}, and price lower than 50.00 dollars" for text in texts]
    return {"recorded queries": recorded, "whole instructions": whole, "short": list(SHORT)}


def make(real: Path, place: Path, count: int) -> Path:
    """Return the folder of a large catalogue, whose shop is built already."""
    catalogue = place / f"catalogue-{count}"
    if not catalogue.is_dir():
        begin = time.perf_counter()
        write_catalogue(real, catalogue, count)
        size = size_of(catalogue.iterdir())
        print(f"{count:,} products written in {time.perf_counter() - begin:.0f} s, {size:.0f} MB")
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    worker = context.Process(target=_build, args=(catalogue, results))
    worker.start()
    wall, processor, peak = results.get()
    worker.join()
    print(f"opened in {wall:.0f} s, {processor:.0f} s of processor time, peak {peak:.0f} MB")
    entry = place / "webshop" / open_shop(catalogue).digest
    sizes = {part.name: size_of(part.iterdir()) for part in sorted(entry.iterdir())}
    print("on disk: " + ", ".join(f"{name} {size:.0f} MB" for name, size in sizes.items()))
    return catalogue


def _build(catalogue: Path, results: Any) -> None:
    begin = time.perf_counter()
    open_shop(catalogue)
    wall = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    results.put((wall, time.process_time(), peak))


def size_of(files: Iterable[Path]) -> float:
    return sum(file.stat().st_size for file in files) / 1e6


def milliseconds(call: Callable[[Any], object], arguments: Sequence[Any]) -> list[float]:
    """Return the processor time of each call, the better of two, ascending."""
    taken = []
    for argument in arguments:
        tries = []
        for _ in range(2):
            begin = time.process_time()
            call(argument)
            tries.append((time.process_time() - begin) * 1e3)
        taken.append(min(tries))
    return sorted(taken)


def report(title: str, call: Callable[[Any], object], arguments: Sequence[Any]) -> None:
    for argument in arguments:
        call(argument)
    taken = milliseconds(call, arguments)
    p99 = taken[min(len(taken) - 1, int(len(taken) * 0.99))]
    middle = statistics.median(taken)
    print(f"  {title:<30} p50 {middle:8.3f} ms   p99 {p99:8.3f} ms   most {taken[-1]:8.3f} ms")


def measure_search(index: Index, queries: dict[str, list[str]]) -> None:
    for title, some in queries.items():
        report(f"{len(some)} {title}", index.search, some)


def measure_the_rest(shop: Shop) -> None:
    """Measure reading products and lists."""
    rng = random.Random(0)
    numbers = [rng.randrange(len(shop.products)) for _ in range(500)]
    report("a product by number", shop.products.__getitem__, numbers)
    asins = [shop.products[number].asin for number in numbers]
    report("a product by ASIN", shop.products.by_asin, asins)
    wanted = sorted({shop.products[number].query for number in numbers})
    report("a list by query", lambda query: shop.listings.find("<q>", query), wanted)


def against_exhaustive(index: Index, queries: Sequence[str]) -> None:
    """Compare results and time with scoring all documents that match, query by query in turn."""
    fast: list[float] = []
    full: list[float] = []
    limit = ranking.FEW
    for query in queries:
        results = []
        for few, taken in ((limit, fast), (10**12, full)) * 2:
            ranking.FEW = few
            begin = time.process_time()
            results.append(index.scores(query))
            taken.append(time.process_time() - begin)
        assert all(result == results[0] for result in results), query
    ranking.FEW = limit
    ratio = statistics.median(f / p for f, p in zip(full, fast, strict=True))
    print(f"  {len(queries)} results equal those of scoring all; {ratio:.1f} times faster (median)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--products", type=int, default=100_000, help="size of the large catalogue")
    parser.add_argument("--full", action="store_true", help=f"as large as the original: {FULL:,}")
    parser.add_argument("--keep", type=Path, help="keep what is made in this folder")
    options = parser.parse_args()
    real = data_folder("small")
    queries = read_queries(real)
    print("the small catalogue")
    measure_search(open_shop(real).index, queries)
    print("a large catalogue")
    with tempfile.TemporaryDirectory() as temporary:
        place = options.keep or Path(temporary)
        os.environ["AGENTRL_CACHE"] = str(place)
        shop = open_shop(make(real, place, FULL if options.full else options.products))
        measure_search(shop.index, queries)
        measure_the_rest(shop)
        against_exhaustive(shop.index, queries["recorded queries"][::20])


if __name__ == "__main__":
    main()
