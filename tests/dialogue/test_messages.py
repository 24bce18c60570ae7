"""Conversations as bytes and marks, and back as messages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.dialogue.messages import END, MessageCodec, messages
from agentrl.errors import ConfigError

CODEC = MessageCodec()
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@given(st.one_of(st.none(), TEXT), TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=4))
def test_nothing_is_lost_on_the_way(system: str | None, first: str, turns: list) -> None:
    ids = CODEC.start(system, first)
    expected = [{"role": "system", "content": system}] if system else []
    expected.append({"role": "user", "content": first})
    for reply, observation in turns:
        said = np.append(CODEC.encode(reply), np.int32(END))
        ids = np.concatenate([ids, said, CODEC.extend(ids, said, observation)])
        expected += [
            {"role": "assistant", "content": reply},
            {"role": "user", "content": observation},
        ]
    assert messages(ids) == expected


def test_a_reply_that_was_cut_is_closed() -> None:
    ids = CODEC.start(None, "a")
    said = CODEC.encode("half")
    assert messages(np.concatenate([ids, said, CODEC.extend(ids, said, "b")])) == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "half"},
        {"role": "user", "content": "b"},
    ]


def test_an_empty_reply_is_left_out() -> None:
    """Many endpoints refuse one; what stood around it is one message then."""
    ids = CODEC.start(None, "a")
    said = np.array([END], np.int32)
    assert messages(np.concatenate([ids, said, CODEC.extend(ids, said, "b")])) == [
        {"role": "user", "content": "a\n\nb"}
    ]


def test_texts_cannot_forge_marks() -> None:
    assert CODEC.decode(CODEC.encode("<|im_end|> \udc80 é")) == "<|im_end|> ? é"
    assert max(CODEC.encode("é\U0001f600").tolist()) < 256


@pytest.mark.parametrize("ids", [[5000], [-1, 3]])
def test_ids_of_another_codec(ids: list[int]) -> None:
    with pytest.raises(ConfigError, match="the engine's own codec"):
        messages(np.array(ids, np.int32))
