"""The errors agentrl raises on purpose.

Each message is one line that says what is wrong, where, and how to mend it. The command line
prints it and exits with code 2; anything that is not an `AgentRLError` is a bug of ours.

    AgentRLError
    ├── ConfigError        a configuration key, value or combination
    │   └── ContextOverflow    a prompt that the model behind an endpoint has no room for
    ├── RegistryError      an unknown environment, engine, credit method, …
    ├── TaskError          an unknown task, split or a damaged task file
    ├── HeldOutError       an attempt to train on a held-out split
    ├── ModelError         a model directory, tokenizer or chat template
    │   └── MissingModelError  a model that is neither here nor to be had from the Hub
    ├── CheckpointError    a missing, damaged or foreign checkpoint
    ├── DataError          a damaged or foreign trajectory file
    ├── DriftError         engine and learner disagree too much to learn from what was sampled
    ├── MissingExtraError  an optional package that is not installed
    ├── EnvironmentFault   infrastructure: an environment crashed, hung or broke its contract
    └── EngineFault        infrastructure: an engine died or answered nonsense
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


def one_line(error: BaseException, limit: int = 200) -> str:
    """Return an exception's words on one line of at most `limit` characters, or else its name."""
    return " ".join(str(error).split())[:limit] or type(error).__name__


class AgentRLError(Exception):
    """Base of every error that a user can cause and mend."""


class ConfigError(AgentRLError):
    """A configuration key, value or combination is wrong."""


class ContextOverflow(ConfigError):
    """A prompt is too long for the model behind an endpoint; an episode ends there."""


class RegistryError(AgentRLError):
    """No component is registered under the name asked for."""


class TaskError(AgentRLError):
    """A task or split does not exist, or its file is damaged."""


class HeldOutError(AgentRLError):
    """Training was asked to use a held-out split."""


class ModelError(AgentRLError):
    """A model directory, its tokenizer or its chat template cannot be used."""


class MissingModelError(ModelError):
    """A model is neither in a directory nor to be had from the Hugging Face Hub."""


class CheckpointError(AgentRLError):
    """A checkpoint is missing, damaged or belongs to another run."""


class DataError(AgentRLError):
    """A trajectory file is damaged or in an unknown format."""


class DriftError(AgentRLError):
    """Engine and learner disagree too much: learning would be from garbage.

    Attributes:
        figures: What the drift meter read; see `agentrl.learner.drift.Drift.figures`.
    """

    def __init__(self, message: str, figures: Mapping[str, float] | None = None) -> None:
        super().__init__(message)
        self.figures = dict(figures or {})


class MissingExtraError(AgentRLError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed; "
            f"install it with: pip install 'agentrl-framework[{extra}]'"
        )


class EnvironmentFault(AgentRLError):
    """An environment crashed, hung or broke its contract; the episode is not scored."""


class EngineFault(AgentRLError):
    """An engine died or answered nonsense; the episode is not scored."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint such as `did you mean 'salt'?`, or the list of known names.

    Args:
        name: What the user wrote.
        known: The names that would have been right.
    """
    names = sorted(known)
    lower = {known_name.lower(): known_name for known_name in names}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    if close:
        return f"did you mean {lower[close[0]]!r}?"
    return "known: " + (", ".join(names) if names else "none")


def explain(error: BaseException) -> str:
    """Return kind, message and place of a caught exception on one line.

    The place is the innermost line below the frame that caught it, import machinery left out.
    """
    import traceback

    text = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename
    ]
    if isinstance(error, SyntaxError) or len(frames) < 2:
        return text
    return f"{text} ({frames[-1].filename}, line {frames[-1].lineno})"
