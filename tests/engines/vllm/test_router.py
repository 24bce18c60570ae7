from __future__ import annotations

import pytest

from agentrl.engines.vllm.router import Router
from agentrl.errors import EngineFault


def where(router: Router, session: str) -> int:
    with router.lease(session) as index:
        return index


def test_a_session_stays_and_its_group_comes_to_it() -> None:
    router = Router(3)
    first = where(router, "000001/000/0")
    other = where(router, "000001/001/0")
    assert other != first
    for turn in range(3):
        assert where(router, "000001/000/0") == first, turn
        assert where(router, f"000001/000/{turn + 1}") == first
    assert where(router, "000001/001/5") == other


def test_single_requests_go_to_the_least_loaded() -> None:
    router = Router(2)
    with router.lease("") as first, router.lease("") as second:
        assert {first, second} == {0, 1}
        assert router.loads() == [1, 1]
    assert router.loads() == [0, 0]


def test_sessions_without_a_group_spread() -> None:
    router = Router(4)
    assert sorted(where(router, name) for name in "abcdefgh") == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_group_too_large_for_one_server_spills() -> None:
    router = Router(2, spill=4)
    places = [where(router, f"g/{i}") for i in range(20)]
    assert places[:5] == [places[0]] * 5
    assert abs(places.count(0) - places.count(1)) <= 5
    assert [where(router, f"g/{i}") for i in range(20)] == places


def test_released_sessions_free_their_server() -> None:
    router = Router(2)
    for i in range(6):
        where(router, f"g/{i}")
    assert sorted(router.loads()) == [0, 6]
    for i in range(6):
        router.release(f"g/{i}")
    router.release("never seen")
    assert router.loads() == [0, 0]
    # The group has no home any more: it goes where there is least to do.
    busy = where(router, "other/0")
    assert where(router, "g/0") != busy


def test_sessions_leave_a_server_that_is_down_and_may_come_back() -> None:
    router = Router(2)
    first = where(router, "g/0")
    router.suspend(first)
    assert router.up == [1 - first]
    assert where(router, "g/0") == 1 - first
    assert where(router, "h/0") == 1 - first
    router.restore(first)
    assert where(router, "new/0") == first
    assert where(router, "g/0") == 1 - first


def test_without_a_server_it_is_a_fault() -> None:
    router = Router(1)
    router.suspend(0)
    with pytest.raises(EngineFault, match="no vLLM server"):
        where(router, "s")
