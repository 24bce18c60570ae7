from __future__ import annotations

import numpy as np
import pytest

from agentrl.batch import Batch
from agentrl.credit import signals
from agentrl.trajectory import Outcome, Trajectory, Turn


def ragged(turns: int) -> Batch:
    """Return turns that read 0 to 3 tokens and sample 0 to 4."""
    rng = np.random.default_rng(turns)

    def turn() -> Turn:
        read, said = (np.zeros(int(rng.integers(0, most)), np.int32) for most in (4, 5))
        return Turn("o", "a", prompt_ids=read, response_ids=said)

    return Batch.from_trajectories(
        [Trajectory("x", "g", "t", [turn() for _ in range(turns)], Outcome.SUCCESS)]
    )


@pytest.mark.parametrize("piece", [1, 2, 7, 1 << 17])
@pytest.mark.parametrize("turns", [0, 1, 2, 60])
def test_token_means_piece_by_piece(
    monkeypatch: pytest.MonkeyPatch, turns: int, piece: int
) -> None:
    monkeypatch.setattr(signals, "_PIECE", piece)
    batch = ragged(turns)
    values = np.random.default_rng(1).normal(size=batch.num_tokens)
    values[~batch.sampled] = np.nan
    expected = []
    for start, end in zip(batch.token_offsets[:-1], batch.token_offsets[1:], strict=True):
        said = values[start:end][batch.sampled[start:end]]
        expected.append(said.mean() if len(said) else 0.0)
    np.testing.assert_allclose(signals.token_means(values, batch), expected, atol=1e-12)
    counts = [turn.sum() for turn in np.split(batch.sampled, batch.token_offsets[1:])[:turns]]
    assert batch.sampled_per_turn().tolist() == counts
