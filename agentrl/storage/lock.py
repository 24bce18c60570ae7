"""Locks on files: one process at a time, until it lets go or ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from agentrl.errors import ConfigError, DataError


def try_lock(file: IO[Any]) -> bool:
    """Lock an open file until it is closed; return False where it is locked already.

    Processes that are started meanwhile do not inherit it.

    Raises:
        DataError: The file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise DataError(
            f"cannot lock {file.name}: {error.strerror}; put it on a file system with locks"
        ) from None
    return True


@contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file while the block lasts; it names this process and is left behind.

    Args:
        path: The lock file.
        what: What it guards, for the message.

    Raises:
        ConfigError: Another process holds it; says which.
        DataError: The file cannot be written, or its file system has no locks.
    """
    try:
        # Neither cut off nor written to while another one may hold it.
        file = path.open("a+")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from None
    with file:
        if not try_lock(file):
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise ConfigError(f"{what} is in use by {holder}; wait until it has ended, or end it")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}\n")
        file.flush()
        yield
