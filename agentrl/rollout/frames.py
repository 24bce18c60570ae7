"""Messages between the collector and a worker process: four bytes of length, then the body.

Requests are pickled: they come from the collector, which the worker trusts. Replies are msgpack,
plain data only, because the code of an environment is not trusted as far.
"""

from __future__ import annotations

import pickle
import socket
from typing import Any

import msgspec

MAX_REPLY_BYTES = 64 << 20
"""A longer reply is a fault of the environment."""

OK, FAULT, USER_ERROR = 0, 1, 2
"""Status of a reply: a result; an infrastructure failure; an `AgentRLError` for the user."""

_HEADER = 4


def pack_request(request: tuple[Any, ...]) -> bytes:
    """Return a request as a frame."""
    return _frame(pickle.dumps(request, pickle.HIGHEST_PROTOCOL))


def unpack_request(body: bytes) -> Any:
    """Return the request of a frame's body."""
    return pickle.loads(body)


def pack_reply(status: int, payload: Any) -> bytes:
    """Return a reply as a frame.

    Raises:
        ValueError: The payload is not plain data, or too long.
    """
    try:
        body = _encode((status, payload))
    except UnicodeEncodeError:
        body = _encode((status, _scrub(payload)))
    except (TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"the reply is not plain data: {error}") from None
    if len(body) > MAX_REPLY_BYTES:
        raise ValueError(f"the reply has {len(body)} bytes, more than {MAX_REPLY_BYTES}")
    return _frame(body)


def unpack_reply(body: bytes | bytearray) -> tuple[int, Any]:
    """Return status and payload of a reply.

    Raises:
        ValueError: The body is not a reply.
    """
    try:
        status, payload = msgspec.msgpack.decode(body)
    except (msgspec.DecodeError, TypeError, ValueError):
        raise ValueError("the worker sent something that is not a reply") from None
    return status, payload


def receive_frame(connection: socket.socket) -> bytes | None:
    """Return the next frame's body from a blocking socket, or None at the end of the stream."""
    header = _receive(connection, _HEADER)
    return None if header is None else _receive(connection, int.from_bytes(header, "little"))


class FrameBuffer:
    """Cuts a stream of bytes into frame bodies."""

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> bytes | None:
        """Take in what arrived; return a frame's body as soon as it is complete.

        Raises:
            ValueError: The frame is longer than replies may be.
        """
        self._bytes += data
        if len(self._bytes) < _HEADER:
            return None
        length = int.from_bytes(self._bytes[:_HEADER], "little")
        if length > MAX_REPLY_BYTES:
            raise ValueError(f"the worker announced a reply of {length} bytes")
        end = _HEADER + length
        if len(self._bytes) < end:
            return None
        body = bytes(self._bytes[_HEADER:end])
        del self._bytes[:end]
        return body


def _frame(body: bytes) -> bytes:
    return len(body).to_bytes(_HEADER, "little") + body


def _receive(connection: socket.socket, size: int) -> bytes | None:
    parts = []
    while size > 0:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _plain(value: Any) -> Any:
    """Return numpy values as Python's own and anything else unknown as text."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


_encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode


def _scrub(value: Any) -> Any:
    """Return the value with halves of surrogate pairs, which no encoding has, replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_scrub(key): _scrub(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scrub(item) for item in value]
    return value
