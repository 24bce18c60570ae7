"""What `agentrl credit` is asked about: the methods, the trajectories, and their credit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from agentrl.config import Config
from agentrl.credit.base import CreditMethod
from agentrl.credit.compose import parse
from agentrl.credit.explain import explain
from agentrl.credit.records import CreditRecord, read_credit, stored_records
from agentrl.credit.state import Remembers
from agentrl.credit.stored import Stored
from agentrl.errors import ConfigError, DataError, did_you_mean
from agentrl.rewards import compose as rewards
from agentrl.run import RunDirectory
from agentrl.trajectory import Trajectory


class Row(NamedTuple):
    """A trajectory and its credit."""

    trajectory: Trajectory
    record: CreditRecord


@dataclass(frozen=True, slots=True)
class Source:
    """The credit of a file of trajectories."""

    title: str
    """What the trajectories are."""
    methods: list[str]
    rows: list[Row]
    """In the order of the file."""
    notes: list[str]
    """What sets the credit apart from that of training."""


def find_source(
    target: str, credit: str | None, settings: Sequence[str], update: int | None
) -> Source:
    """Return the credit that a command asks for.

    A run whose training noted its credit shows that, unless other methods or settings are named.

    Raises:
        AgentRLError: A wrong target, list, setting or file.
    """
    path = Path("/dev/stdin" if target == "-" else target)
    if path.is_dir():
        return _of_run(RunDirectory.open(path), credit, settings, update)
    if update is not None:
        raise ConfigError(f"--update is for run directories, and {target} is none")
    if credit is None:
        raise ConfigError("name the credit methods of a file, such as --credit grpo,salt")
    chain = parse(read_list(credit, settings))
    stored = Stored.read(path)
    stored.check(chain)
    return _explained(stored, str(path), chain, _notes(None, chain))


def read_list(text: str, settings: Sequence[str] = ()) -> list[Any]:
    """Return the entries of a list such as `grpo,salt` or `[grpo, {salt: {history: 1}}]`.

    Args:
        text: The list, with or without brackets.
        settings: `method.parameter=value` for methods of the list, the value in YAML.

    Raises:
        ConfigError: Neither is written that way, or a setting is of a method not in the list.
    """
    import yaml

    try:
        bare = not text.lstrip().startswith(("[", "- "))
        listed = yaml.safe_load(f"[{text}]" if bare else text)
    except yaml.YAMLError:
        raise ConfigError(
            f"--credit {text!r} is not a list; write grpo,salt or [grpo, {{salt: {{history: 1}}}}]"
        ) from None
    return with_settings(listed, settings)


def with_settings(entries: Sequence[Any], settings: Sequence[str]) -> list[Any]:
    """Return entries with parameters set; see `read_list`."""
    import yaml

    split = [
        (name, parameters)
        for entry in entries
        for name, parameters in (entry.items() if isinstance(entry, dict) else [(entry, None)])
    ]
    found = {name: {} if p is None else dict(p) if isinstance(p, dict) else p for name, p in split}
    for word in settings:
        key, separator, text = word.partition("=")
        name, dot, parameter = key.rpartition(".")
        if not (separator and dot and name and parameter):
            raise ConfigError(f"--set {word!r} is not of the form method.parameter=value")
        if name not in found:
            hint = did_you_mean(name, map(str, found))
            raise ConfigError(f"--set {word!r}: no method {name!r} in the credit list; {hint}")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"the value of --set {word!r} is not valid YAML") from None
        if isinstance(found[name], dict):
            found[name][parameter] = value
    return [{name: found[name]} if found[name] else name for name, _ in split]


def _of_run(
    run: RunDirectory, credit: str | None, settings: Sequence[str], update: int | None
) -> Source:
    number = _update(run, update)
    title = f"update {number} of {run.path}"
    noted = run.credit_file(number)
    if credit is None and not settings and noted.is_file():
        return _noted(run.trajectory_file(number), noted, title)
    entries = list(run.config().credit) if credit is None else read_list(credit)
    chain = parse(with_settings(entries, settings))
    stored = Stored.read(run.trajectory_file(number))
    hint = f"; `agentrl credit {run.path}` alone shows what training noted"
    stored.check(chain, hint if noted.is_file() else "")
    return _explained(_as_rewarded(stored, run.config()), title, chain, _notes(run.config(), chain))


def _update(run: RunDirectory, update: int | None) -> int:
    names = (file.name for file in run.trajectories.glob("update-*.jsonl.zst"))
    numbers = sorted(int(n) for name in names if (n := name[7:].partition(".")[0]).isdecimal())
    if not numbers:
        raise ConfigError(
            f"{run.path} holds no trajectories: no update is complete, or "
            "monitor.keep_trajectories was off"
        )
    if update is None:
        return numbers[-1]
    if update not in numbers:
        raise ConfigError(
            f"{run.path} holds no trajectories of update {update}; it has {_spans(numbers)}"
        )
    return update


def _spans(numbers: Sequence[int]) -> str:
    whole = numbers[-1] - numbers[0] + 1 == len(numbers)
    if whole and len(numbers) > 1:
        return f"{numbers[0]} to {numbers[-1]}"
    few = ", ".join(map(str, numbers[-8:]))
    return few if len(numbers) <= 8 else f"{len(numbers)}, the latest {few}"


def _as_rewarded(stored: Stored, config: Config) -> Stored:
    """Return the trajectories with the rewards that a run's credit sees."""
    batch = rewards.apply(stored.batch, rewards.parse(list(config.rewards)), stored.signals)
    return dataclasses.replace(stored, batch=batch)


def _notes(config: Config | None, chain: Sequence[CreditMethod]) -> list[str]:
    transforms = [] if config is None else rewards.parse(list(config.rewards))
    notes = [
        f"{part.name} knows nothing of the updates before this one here"
        for part in (*transforms, *chain)
        if isinstance(part, Remembers)
    ]
    if config is not None and config.learner.kl == "reward":
        notes.append("training took the KL to the reference off rewards; that is not stored")
    return notes


def _explained(
    stored: Stored, title: str, chain: Sequence[CreditMethod], notes: list[str]
) -> Source:
    records = stored_records(stored, explain(stored.batch, chain, stored.signals))
    rows = [Row(t, record) for t, record in zip(stored.trajectories, records, strict=True)]
    return Source(title, [method.name for method in chain], rows, notes)


def _noted(path: Path, noted: Path, title: str) -> Source:
    """Return what training noted."""
    found = {(record.group, record.id): record for record in read_credit(noted)}
    rows = []
    for trajectory in Stored.read(path).trajectories:
        record = found.get((trajectory.group, trajectory.id))
        if record is None and not trajectory.outcome.is_infrastructure:
            raise DataError(
                f"{noted} says nothing of trajectory {trajectory.id!r}; name methods with --credit "
                "to compute its credit"
            )
        rows.append(Row(trajectory, record or left_out(trajectory)))
    methods = next(([m["method"] for m in r.why[0]] for _, r in rows if r.why), [])
    return Source(f"{title}, as training noted it", methods, rows, [])


def left_out(trajectory: Trajectory) -> CreditRecord:
    """Return the record of a trajectory that was not scored."""
    return CreditRecord(trajectory.group, trajectory.id, None, [], trajectory.outcome.value)
