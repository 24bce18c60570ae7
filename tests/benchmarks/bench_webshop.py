"""Speed and memory of the native shop, beside the original's way of rendering and parsing pages.

All times are processor time, so that other programs on the machine do not count.

The native environment plays recorded routes of the searching expert and of random walks, with
everything a trainer asks for (observation, available actions, state key), once with nothing in
memory and then again. The original renders each page as HTML and parses it with BeautifulSoup, once
for the controls and once for the text: that path alone, without search and reward, is measured on
the same pages where BeautifulSoup is installed (`pip install beautifulsoup4`).

    python tests/benchmarks/bench_webshop.py
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from agentrl.environments.webshop import WebShop
from agentrl.environments.webshop.render_html import render_html
from agentrl.environments.webshop.session import Situation
from agentrl.environments.webshop.shelf import Shelf

ROUNDS = 5
Route = tuple[str, list[str]]
"""A task and the actions played in it."""


def main() -> None:
    """Measure both and print the ratios."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--episodes", type=int, default=200, help="of each kind")
    arguments.add_argument("--data", default=None, help="folder of the catalogue")
    options = arguments.parse_args()
    experts = draw_routes(options.data, options.episodes, expert=True)
    walks = draw_routes(options.data, options.episodes, expert=False)
    resets = measure_resets(options.data, [*experts, *walks])
    print(f"reset                p50 {resets[0]:.3f} ms, p99 {resets[1]:.3f} ms")
    native = {}
    for mode in ("text", "text_rich", "html"):
        for name, routes in (("expert", experts), ("random", walks), ("both", experts + walks)):
            cold, warm = measure_steps(options.data, mode, routes)
            native[mode, name] = cold
            print(f"steps, {mode:9} {name:7} {1 / cold:9,.0f} per second, again {1 / warm:9,.0f}")
    measure_search(options.data, experts)
    measure_memory(options.data, experts)
    measure_original_way(options.data, experts + walks, native["text", "both"])


def draw_routes(data: str | None, number: int, *, expert: bool) -> list[Route]:
    """Return episodes of the searching expert, or of clicking at random."""
    env = WebShop(data=data, mode="text", expert="search" if expert else None)
    rng, routes = np.random.default_rng(0), []
    stride = max(1, env.tasks.size("train") // number)
    for position in range(0, number * stride, stride):
        task = env.tasks.ids("train")[position]
        _, info = env.reset(options={"task": task})
        actions, is_over = list[str](), False
        while not is_over:
            choices = info["admissible_actions"]
            pick = choices[int(rng.integers(len(choices)))] if choices else ""
            actions.append(info["expert_action"] if expert else pick)
            _, _, terminated, truncated, info = env.step(actions[-1])
            is_over = terminated or truncated
        routes.append((task, actions))
    return routes


def empty(env: WebShop) -> None:
    """Forget all searches and pages."""
    env.shelf = Shelf(env.shelf.shop)


def play(env: WebShop, routes: list[Route]) -> float:
    """Return the time spent in steps, in seconds."""
    spent = 0.0
    for task, actions in routes:
        env.reset(options={"task": task})
        start = time.process_time()
        for action in actions:
            env.step(action)
        spent += time.process_time() - start
    return spent


def measure_steps(data: str | None, mode: str, routes: list[Route]) -> tuple[float, float]:
    """Return seconds for a step: with nothing in memory, and when all was seen before."""
    env = WebShop(data=data, mode=mode)  # type: ignore[arg-type]  # the three modes
    steps = sum(len(actions) for _, actions in routes)
    cold, warm = [], []
    for _ in range(ROUNDS):
        empty(env)
        cold.append(play(env, routes) / steps)
        warm.append(play(env, routes) / steps)
    return statistics.median(cold), statistics.median(warm)


def measure_resets(data: str | None, routes: list[Route]) -> tuple[float, float]:
    """Return median and 99th percentile of a reset's time in ms."""
    env = WebShop(data=data, mode="text")
    times = []
    for _ in range(ROUNDS):
        for task, _ in routes:
            start = time.process_time()
            env.reset(options={"task": task})
            times.append(1e3 * (time.process_time() - start))
    return float(np.percentile(times, 50)), float(np.percentile(times, 99))


def measure_search(data: str | None, routes: list[Route]) -> None:
    """Print what a search costs that was not made before."""
    index = WebShop(data=data).shelf.shop.index
    words = [action[7:-1] for _, actions in routes for action in actions[:1]]
    each = median_of(lambda: [index.search(one) for one in words]) / len(words)
    print(f"search               {1e3 * each:.3f} ms")


def measure_memory(data: str | None, routes: list[Route]) -> None:
    """Print what one environment and 64 need, each in the middle of an episode of its own."""
    WebShop(data=data).reset(seed=0)
    needed = []
    for number in (1, 64):
        gc.collect()
        tracemalloc.start()
        envs = [WebShop(data=data, mode="text_rich") for _ in range(number)]
        for env, (task, actions) in zip(envs, routes * 64, strict=False):
            env.reset(options={"task": task})
            for action in actions[:-1]:
                env.step(action)
        gc.collect()
        needed.append(tracemalloc.get_traced_memory()[0] / 1024)
        tracemalloc.stop()
    print(f"memory               {needed[0]:,.0f} KiB for one, {needed[1]:,.0f} KiB for 64")


def measure_original_way(data: str | None, routes: list[Route], native: float) -> None:
    """Print what rendering and parsing HTML costs on the same pages."""
    try:
        from bs4 import BeautifulSoup
    except ImportError:
        print("render and parse     not measured: BeautifulSoup is not installed")
        return
    env = WebShop(data=data, mode="text")
    situations = list[tuple[str, Situation]]()
    for task, actions in routes[:: max(1, len(routes) // 40)]:
        env.reset(options={"task": task})
        for action in actions:
            env.step(action)
            situations.append((task, env.session.situation))
    pages = []
    for task, situation in situations:
        env.reset(options={"task": task})
        env.session.restore(situation)
        pages.append(env.session.page)

    def work() -> None:
        for page in pages:
            html = render_html(page)
            soup = BeautifulSoup(html, "html.parser")
            soup.find_all(class_="btn"), soup.find_all(class_="product-link")
            soup.select('input[type="radio"]')
            soup = BeautifulSoup(html, "html.parser")
            " [SEP] ".join(text.strip() for text in soup.find_all(string=True) if text != "\n")

    each = median_of(work) / len(pages)
    print(f"render and parse     {1 / each:,.0f} pages per second, the original's way")
    print(f"ratio                {each / native:.0f} times the time of a whole native step")


def median_of(work: Callable[[], object]) -> float:
    """Return the median time of a few rounds, in seconds."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
