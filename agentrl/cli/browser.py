"""`agentrl play --browser`: serves an environment's own web pages on this machine."""

from __future__ import annotations

import contextlib
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agentrl import registry, storage
from agentrl.check.subject import Subject
from agentrl.errors import ConfigError, MissingExtraError
from agentrl.trajectory import Trajectory

_EVERYWHERE = ("", "0.0.0.0", "::")
_THIS_MACHINE = ("127.0.0.1", "localhost", "[::1]")


def serve(
    subject: Subject,
    *,
    task: str | None,
    seed: int | None,
    host: str,
    port: int,
    save: Path | None,
) -> None:
    """Serve the pages until Ctrl-C.

    Args:
        subject: The environment.
        task: The task to begin with; None draws one.
        seed: Seeds the draw.
        host: The address to listen on.
        port: The port; 0 takes any that is free.
        save: The folder to append finished episodes to, or None.

    Raises:
        ConfigError: The environment has no pages, or the address cannot be listened on.
        MissingExtraError: The server is not installed.
        TaskError: There is no such task.
    """
    app = _application(subject, task, seed, host, _recorder(subject.name, save))
    if find_spec("uvicorn") is None:
        raise MissingExtraError("uvicorn", "webshop", "playing in a browser")
    import uvicorn

    config = uvicorn.Config(
        app, lifespan="off", ws="none", log_level="warning", access_log=False, server_header=False,
        limit_concurrency=128, timeout_graceful_shutdown=1,
    )  # fmt: skip
    with _listen(host, port) as listener:
        address = f"[{host}]" if ":" in host else host
        url = f"http://{address}:{listener.getsockname()[1]}/"
        print(f"{subject.name} is at {url} (Ctrl-C ends it)", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
    print("\nclosed")


def _application(
    subject: Subject, task: str | None, seed: int | None, host: str, record: Any
) -> Any:
    if host in _EVERYWHERE:
        raise ConfigError(f"--host {host!r} names no address; give the one that people will type")
    # Before anything is served: bad options, missing data and unknown tasks are told here.
    subject.make().reset(seed=seed, options={"task": task} if task is not None else None)
    build = getattr(registry.load("environments", subject.name), "browser_app", None)
    hosts = {*_THIS_MACHINE, f"[{host}]" if ":" in host else host}
    settings = {"task": task, "seed": seed, "hosts": hosts, "record": record}
    app = build(lambda: subject.make(), **settings) if build is not None else None
    if app is None:
        raise ConfigError(f"{subject.name!r} has no pages for a browser; play without --browser")
    return app


def _recorder(name: str, folder: Path | None) -> Any:
    """Return a function that appends an episode to a file in the folder, or None without one."""
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)

    def record(trajectory: Trajectory) -> None:
        trajectory.environment = name
        with storage.Writer(folder / "episodes.jsonl") as writer:
            writer.write(trajectory)

    return record


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        problem = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"cannot listen on {host}, port {port}: {problem}; choose with --host and --port"
        ) from None
