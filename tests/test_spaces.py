from __future__ import annotations

import pickle

from agentrl.spaces import FreeText


def test_every_string_is_in_it_and_nothing_else() -> None:
    space = FreeText()
    for text in ("", "a", "\x00", "\ud800", "文" * 100_000):
        assert text in space
    for other in (None, 1, b"a", ["a"]):
        assert other not in space


def test_samples_are_seeded() -> None:
    one, other = FreeText(seed=3), FreeText(seed=3)
    samples = [one.sample() for _ in range(50)]
    assert samples == [other.sample() for _ in range(50)]
    assert all(sample in one for sample in samples)
    assert len(set(samples)) > 40


def test_all_are_equal_and_can_be_pickled() -> None:
    assert FreeText(seed=1) == FreeText(seed=2)
    assert FreeText() != "FreeText()"
    assert hash(FreeText()) == hash(FreeText(seed=1))
    assert repr(pickle.loads(pickle.dumps(FreeText()))) == "FreeText()"
    assert not FreeText().is_np_flattenable
