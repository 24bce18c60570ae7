"""What a request costs the client: our connections against a pool of httpx's.

    python tests/benchmarks/bench_connections.py [--requests 1500]

A server in another process answers each request after 50 ms, as an engine with little to do would;
a completion asked with 500 ids goes there and one of 8 comes back. Both clients take turns with as
many requests in flight; what is printed is the processor time of the client alone.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

import httpx
import msgspec

from agentrl.engines.base import Sampling
from agentrl.engines.connections import Connections
from agentrl.engines.vllm.wire import sampling_body

CONTENT = msgspec.json.encode(sampling_body("policy", list(range(500)), Sampling(max_tokens=8)))
ANSWER = msgspec.json.encode(
    {"choices": [{"token_ids": [*range(8)], "logprobs": {"token_logprobs": [-1.5] * 8}}]}
)
ROUNDS = 3
Send = Callable[[], Awaitable[object]]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(ANSWER)}\r\n\r\n".encode()
    try:
        while True:
            asked = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(asked.lower().partition(b"content-length:")[2].split()[0]))
            await asyncio.sleep(0.05)
            writer.write(head + ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def serve(told: Connection) -> None:
    """Answer until killed; tell the port."""

    async def forever() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(forever())


async def processor_ms(send: Send, requests: int, in_flight: int) -> float:
    """Return the processor time of one request, in milliseconds."""
    numbers = iter(range(requests))

    async def slot() -> None:
        for _ in numbers:
            await send()

    start = time.process_time()
    await asyncio.gather(*(slot() for _ in range(in_flight)))
    return (time.process_time() - start) / requests * 1000


async def with_httpx(url: str, requests: int, in_flight: int) -> float:
    """Ask with one pooled client."""
    limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    async with httpx.AsyncClient(limits=limits, timeout=None, trust_env=False) as client:
        headers = {"Content-Type": "application/json"}
        return await processor_ms(
            lambda: client.post(url, content=CONTENT, headers=headers), requests, in_flight
        )


async def with_ours(url: str, requests: int, in_flight: int) -> float:
    """Ask as the engines do."""
    ours = Connections(url, most=in_flight, headers={}, keep_seconds=5)
    try:
        return await processor_ms(lambda: ours.post("", CONTENT), requests, in_flight)
    finally:
        await ours.close()


def main() -> None:
    """Print the figures for growing numbers of requests in flight."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--quick", action="store_true", help="few requests")
    options = parser.parse_args()
    requests = 300 if options.quick else options.requests
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{here.recv()}/v1/completions"
    print("| in flight | httpx, ms | ours, ms | ratio: lowest | median | highest |")
    print("| --------: | --------: | -------: | ------------: | -----: | ------: |")
    for in_flight in (1, 16, 64, 256):
        count = min(requests, max(100, 20 * in_flight))
        pairs = [
            (
                asyncio.run(with_httpx(url, count, in_flight)),
                asyncio.run(with_ours(url, count, in_flight)),
            )
            for _ in range(ROUNDS)
        ]
        ratios = sorted(theirs / ours for theirs, ours in pairs)
        theirs, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"| {in_flight:>9} | {theirs:>9.2f} | {ours:>8.2f} | {ratios[0]:>13.1f} |", end="")
        print(f" {statistics.median(ratios):>6.1f} | {ratios[-1]:>7.1f} |", flush=True)
    server.terminate()


if __name__ == "__main__":
    main()
