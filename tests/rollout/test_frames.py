from __future__ import annotations

import socket

import numpy as np
import pytest

from agentrl.rollout import frames
from agentrl.rollout.frames import (
    FAULT,
    OK,
    FrameBuffer,
    pack_reply,
    pack_request,
    receive_frame,
    unpack_reply,
    unpack_request,
)


def test_frames_survive_any_cutting():
    stream = pack_reply(OK, ["first", 1]) + pack_reply(FAULT, "second")
    for size in (1, 3, 7):
        buffer, bodies = FrameBuffer(), []
        for i in range(0, len(stream), size):
            body = buffer.feed(stream[i : i + size])
            if body is not None:
                bodies.append(unpack_reply(body))
        assert bodies == [(OK, ["first", 1]), (FAULT, "second")]


def test_requests_come_through_a_socket_and_its_end_is_none():
    here, there = socket.socketpair()
    with there:
        with here:
            here.sendall(pack_request(("step", "look \ud800")))
        assert unpack_request(receive_frame(there)) == ("step", "look \ud800")
        assert receive_frame(there) is None


def test_infos_become_plain_data():
    info = {"count": np.int64(3), "map": np.zeros(2), "pair": (1, 2), "odd": complex(1, 2)}
    _, payload = unpack_reply(pack_reply(OK, info)[4:])
    assert payload == {"count": 3, "map": [0.0, 0.0], "pair": [1, 2], "odd": "(1+2j)"}


def test_half_a_surrogate_pair_is_replaced_everywhere():
    _, payload = unpack_reply(pack_reply(OK, {"a\ud800": ["\udfff", (1, "fine")]})[4:])
    assert payload == {"a?": ["?", [1, "fine"]]}


def test_replies_that_cannot_be_sent_are_refused(monkeypatch):
    endless: list = []
    endless.append(endless)
    with pytest.raises(ValueError, match="not plain data"):
        pack_reply(OK, endless)
    monkeypatch.setattr(frames, "MAX_REPLY_BYTES", 100)
    with pytest.raises(ValueError, match="bytes, more than 100"):
        pack_reply(OK, "x" * 200)
    with pytest.raises(ValueError, match="announced"):
        FrameBuffer().feed((101).to_bytes(4, "little"))


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x01", b"\x93\x01\x02\x03", b"\x81\x90\x01"])
def test_nonsense_is_no_reply(body):
    with pytest.raises(ValueError, match="not a reply"):
        unpack_reply(body)
