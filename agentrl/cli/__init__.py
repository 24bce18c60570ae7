"""The command line: one verb per file, each imported only when it is used.

Whatever a user can cause and mend ends as one line `error: …` on stderr and exit code 2, Ctrl-C
as one line and 130; any other exception is a bug of ours and shows its traceback.
`AGENTRL_TRACEBACK=1` shows the traceback of errors too.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import agentrl
from agentrl.cli.verbs import GROUPS, VERBS, overview, words_of
from agentrl.errors import AgentRLError, MissingExtraError, did_you_mean

EXIT_ERROR = 2
_MENDS = {
    errno.ENOSPC: "free some space and give the command again",
    errno.EDQUOT: "free some space and give the command again",
    errno.EACCES: "check the permissions, or write somewhere else",
    errno.EROFS: "write somewhere else",
}
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: The words after `agentrl`; None reads them from the command line.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            code = _dispatch(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output left, as `head` does; nobody is there to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (AgentRLError, OSError) as error:
        if os.environ.get("AGENTRL_TRACEBACK"):
            raise
        return _complain(_one_line(error))
    if code == EXIT_INTERRUPTED:
        print("\ninterrupted", file=sys.stderr)
    return code


def _dispatch(words: list[str]) -> int:
    if words == ["--version"]:
        print(f"agentrl {agentrl.__version__}")
        return 0
    prefix = words.pop(0) if words and words[0] in GROUPS else ""
    if not words or words[0] in ("--help", "-h", "help"):
        print(overview(prefix))
        return 0
    word = words.pop(0)
    name = f"{prefix} {word}".lstrip()
    if name not in VERBS:
        hint = did_you_mean(word, words_of(prefix))
        return _complain(f"unknown command {name!r}; {hint}; `agentrl --help` lists them")
    return _run(name, words)


def _run(name: str, words: list[str]) -> int:
    import typer

    try:
        command = _command(name)
        result = command(words, prog_name=f"agentrl {name}", standalone_mode=False)
    except typer.Abort:
        return EXIT_INTERRUPTED
    except ModuleNotFoundError as error:
        return _missing_module(name, error)
    except Exception as error:
        # Typer's usage errors have no common public base across its releases, but this method.
        explain = getattr(error, "format_message", None)
        if explain is None:
            raise
        message = str(explain()).strip().rstrip(".").replace("\n", " ")
        return _complain(f"{message}; `agentrl {name} --help` tells more")
    return result if isinstance(result, int) else 0


def _missing_module(name: str, error: ModuleNotFoundError) -> int:
    from agentrl.cli.extras import extra_with

    extra = extra_with(error.name or "")
    if extra is None:
        raise error
    return _complain(str(MissingExtraError(error.name or "", extra, f"`agentrl {name}`")))


def _command(name: str) -> Callable[..., Any]:
    """Return the typer command of a verb."""
    import typer

    module, _, function = VERBS[name].home.partition(":")
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name=name)(getattr(import_module(module), function))
    return typer.main.get_command(app)


def _one_line(error: AgentRLError | OSError) -> str:
    if isinstance(error, AgentRLError) or error.strerror is None:
        return " ".join(str(error).split())
    where = f"{error.filename}: " if error.filename is not None else ""
    mend = _MENDS.get(error.errno or 0)
    return f"{where}{error.strerror}{f'; {mend}' if mend else ''}"


def _warn(message: Warning | str, *_where: Any, **_more: Any) -> None:
    """Show a warning as people read it: what, not which line of ours raised it."""
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)


def _complain(message: str) -> int:
    sys.stdout.flush()
    print(f"error: {message}", file=sys.stderr)
    return EXIT_ERROR
