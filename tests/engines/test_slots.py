"""Which cached ids a prompt can reuse, and what is forgotten first."""

from __future__ import annotations

import numpy as np
import torch

from agentrl.engines.embedded.pool import KeyValuePool
from agentrl.engines.embedded.slots import SlotTable


def ids(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def counting(start: int, length: int) -> np.ndarray:
    return np.arange(start, start + length, dtype=np.int32)


def table(cache_tokens: int = 1000) -> SlotTable:
    return SlotTable(KeyValuePool(zeroed=False), cache_tokens)


def compute(slot):
    slot.computed = slot.known


def test_a_session_keeps_its_longest_common_beginning():
    slots = table()
    slot = slots.claim("a", ids(1, 2, 3, 4), 4)
    compute(slot)
    slot.push(5)
    slots.finish(slot)
    again = slots.claim("a", ids(1, 2, 3, 4, 5, 6), 4)
    assert again is slot
    assert again.computed == 4
    compute(again)
    slots.finish(again)
    assert slots.claim("a", ids(1, 2, 9, 9), 4).computed == 2


def test_the_last_id_of_a_prompt_is_always_left_to_compute():
    slots = table()
    slot = slots.claim("a", ids(1, 2, 3), 4)
    compute(slot)
    slots.finish(slot)
    assert slots.claim("a", ids(1, 2, 3), 4).computed == 2


def test_a_busy_session_gets_a_second_slot():
    slots = table()
    first = slots.claim("a", ids(1, 2, 3), 4)
    second = slots.claim("a", ids(1, 2, 3), 4)
    assert first is not second
    slots.finish(second)
    slots.finish(first)
    assert slots.claim("a", ids(1, 2, 3), 4) is first


def test_release_while_busy_gives_the_slot_back_at_the_end():
    slots = table()
    slot = slots.claim("a", ids(1, 2, 3), 4)
    slots.release("a")
    assert slots.claim("b", ids(4, 5), 4) is not slot
    slots.finish(slot)
    assert slots.claim("c", ids(6, 7), 4) is slot


def test_the_session_used_longest_ago_goes_first():
    slots = table(cache_tokens=60)
    for name, start in (("a", 0), ("b", 100), ("a", 0)):
        slot = slots.claim(name, counting(start, 25), 1)
        compute(slot)
        slots.finish(slot)
    slot = slots.claim("c", counting(200, 25), 1)
    slots.finish(slot)
    assert slots.claim("a", counting(0, 25), 1).computed == 24
    assert slots.cached_tokens <= 60
    assert slots.claim("b", counting(500, 25), 1).computed == 0


def test_a_common_beginning_is_waited_for_and_copied():
    pool = KeyValuePool(zeroed=False)
    slots = SlotTable(pool, 1000)
    leader = slots.claim("a", counting(0, 40), 4)
    prompt = np.concatenate([counting(0, 30), counting(900, 5)])
    assert slots.claim("b", prompt, 4) is None
    pool.ensure(2, 64)
    keys = torch.arange(40.0).reshape(40, 1, 1)
    pool.write(0, torch.full((40,), leader.index), torch.arange(40), keys, -keys)
    compute(leader)
    follower = slots.claim("b", prompt, 4)
    assert follower.computed == 30
    copied_keys, copied_values = pool.read(0, torch.tensor([follower.index]), 30)
    assert torch.equal(copied_keys.flatten(), torch.arange(30.0))
    assert torch.equal(copied_values.flatten(), -torch.arange(30.0))


def test_sharing_can_be_declined():
    slots = table()
    slots.claim("a", counting(0, 40), 4)
    assert slots.claim("", counting(0, 40), 4, share=False).computed == 0


def test_clear_forgets_all_ids():
    slots = table()
    slot = slots.claim("a", counting(0, 40), 4)
    compute(slot)
    slots.finish(slot)
    slots.clear()
    assert slots.cached_tokens == 0
    assert slots.claim("a", counting(0, 40), 4).computed == 0


def test_long_sequences_outgrow_the_first_buffer():
    slots = table(cache_tokens=10_000)
    slot = slots.claim("a", counting(0, 300), 4)
    for token in range(500):
        slot.push(token)
    assert slot.known == 800
    assert slot.ids[:300].tolist() == list(range(300))
    assert slot.ids[300:800].tolist() == list(range(500))
