"""Decoding restricted to a list of id sequences, by asking only where there is a choice.

The server restricts single ids (`allowed_token_ids`), so each fork of the choices takes one
request for one id; ids that follow without an alternative have probability 1 and take none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

Ask = Callable[[list[int], list[int], int], Awaitable[tuple[int, float]]]
"""From ids so far, allowed next ids and the step: the next id and its log-probability."""

_Node = dict[int, Any]


async def decode_choices(
    choices: Sequence[Sequence[int]], limit: int, ask: Ask
) -> tuple[list[int], list[float]]:
    """Walk down the choices; return ids and their log-probabilities.

    Args:
        choices: Sequences that are not empty; none is the beginning of another.
        limit: Most ids.
        ask: Draws one id.
    """
    node = build_trie(choices)
    ids: list[int] = []
    logprobs: list[float] = []
    while node and len(ids) < limit:
        if len(node) == 1:
            token, logprob = next(iter(node)), 0.0
        else:
            token, logprob = await ask(ids, sorted(node), len(ids))
        ids.append(token)
        logprobs.append(logprob)
        node = node[token]
    return ids, logprobs


def build_trie(choices: Sequence[Sequence[int]]) -> _Node:
    """Return nested mappings from id to what may follow; a choice that is complete has nothing."""
    root: _Node = {}
    for choice in choices:
        node = root
        for token in choice:
            node = node.setdefault(int(token), {})
    return root
