"""Growth keeps what was written."""

from __future__ import annotations

import torch

from agentrl.engines.embedded.pool import KeyValuePool


def test_growth_keeps_what_was_written():
    pool = KeyValuePool(zeroed=True)
    pool.ensure(1, 10)
    keys = torch.randn(6, 2, 4)
    pool.write(0, torch.zeros(6, dtype=torch.long), torch.arange(6), keys, keys + 1)
    pool.ensure(5, 500)
    assert pool.slots >= 5
    assert pool.length >= 500
    read_keys, read_values = pool.read(0, torch.tensor([0, 4]), 8)
    assert torch.equal(read_keys[0, :, :6], keys.transpose(0, 1))
    assert torch.equal(read_values[0, :, :6], keys.transpose(0, 1) + 1)
    assert not read_keys[0, :, 6:].any()
    assert not read_keys[1].any()
    assert pool.rows[0][0][0].data_ptr() == pool.read(0, slice(None), 1)[0].data_ptr()


def test_clear_frees_everything():
    pool = KeyValuePool(zeroed=False)
    pool.ensure(2, 10)
    pool.write(0, torch.tensor([1]), torch.tensor([3]), torch.ones(1, 1, 2), torch.ones(1, 1, 2))
    pool.clear()
    assert (pool.slots, pool.length, pool.rows) == (0, 0, {})
