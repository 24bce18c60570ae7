"""The worker's side of the conversation, spoken to in this process."""

from __future__ import annotations

import os
import socket
import threading

import pytest
from rollout_doubles import Ladder

from agentrl.rollout import worker_main
from agentrl.rollout.frames import (
    FAULT,
    OK,
    USER_ERROR,
    pack_request,
    receive_frame,
    unpack_reply,
)
from agentrl.rollout.worker_main import Host, main


class Moody(Ladder):
    closed = 0

    def on_step(self, action):
        if action == "raise":
            raise RuntimeError("two\nlines")
        if action == "leave":
            raise SystemExit(1)
        return super().on_step(action)

    def close(self):
        Moody.closed += 1
        raise RuntimeError("even closing fails")


def ask(host: Host, *request):
    return unpack_reply(host.answer(request)[4:])


@pytest.fixture
def host() -> Host:
    host = Host()
    assert ask(host, "start", Moody) == (OK, 50)
    status, (observation, info) = ask(host, "reset", "train/0", 1)
    assert status == OK
    assert observation.startswith("A ladder")
    assert info["task_id"] == "train/0"
    return host


def test_a_step(host):
    status, (observation, reward, terminated, truncated, info) = ask(host, "step", "up")
    assert (status, observation, reward) == (OK, "Rung 1.", 0.125)
    assert (terminated, truncated, info["success"]) == (False, False, False)


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ("raise", "the environment raised RuntimeError in step: two lines"),
        ("leave", "the environment raised SystemExit in step: 1"),
    ],
)
def test_what_it_raises_is_a_fault_and_the_environment_is_made_anew(host, action, text):
    closed = Moody.closed
    assert ask(host, "step", action) == (FAULT, text)
    assert Moody.closed == closed + 1
    assert ask(host, "reset", "train/1", 1)[0] == OK


def test_the_users_mistakes_keep_their_names(host):
    status, (name, text) = ask(host, "reset", "nowhere/1", 1)
    assert (status, name) == (USER_ERROR, "TaskError")
    assert "unknown task" in text


def test_main_serves_until_the_collector_hangs_up(monkeypatch):
    killed = threading.Event()
    monkeypatch.setattr(worker_main, "_GRACE_SECONDS", 0.0)
    monkeypatch.setattr(worker_main.os, "killpg", lambda group, signal: killed.set())
    monkeypatch.setattr(worker_main.signal, "signal", lambda *_: None)
    here, there = socket.socketpair()
    server = threading.Thread(target=main, args=(there.detach(), os.getppid()))
    server.start()
    with here:
        here.sendall(pack_request(("start", Ladder)))
        assert unpack_reply(receive_frame(here)) == (OK, 50)
        here.sendall((5).to_bytes(4, "little") + b"noise")
        status, text = unpack_reply(receive_frame(here))
        assert status == FAULT
        assert "unpickling" in text
    server.join(timeout=120)
    assert not server.is_alive()
    assert killed.wait(timeout=120)
