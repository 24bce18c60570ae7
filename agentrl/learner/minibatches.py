"""How a batch is cut into minibatches: by trajectories, afresh in each epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from agentrl.batch import Batch, Bools


def minibatches(batch: Batch, epochs: int, count: int, rng: np.random.Generator) -> Iterator[Bools]:
    """Yield the token mask of each minibatch, shape [tokens].

    Args:
        batch: The batch.
        epochs: Passes over it.
        count: Minibatches per pass, but never more than there are trajectories.
        rng: Decides the split; not touched where there is one minibatch per pass.
    """
    trajectories = batch.trajectory_of_turn()[batch.turn_of_token()]
    count = min(count, batch.num_trajectories)
    for _ in range(epochs):
        if count <= 1:
            yield np.ones(batch.num_tokens, np.bool_)
            continue
        part = np.empty(batch.num_trajectories, np.int64)
        part[rng.permutation(batch.num_trajectories)] = (
            np.arange(batch.num_trajectories) * count // batch.num_trajectories
        )
        yield from (part[trajectories] == index for index in range(count))
