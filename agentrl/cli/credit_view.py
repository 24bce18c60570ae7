"""Credit for people: groups at a glance, and trajectories turn by turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from agentrl.cli.credit_source import Row, Source
from agentrl.cli.output import print_table
from agentrl.credit.words import figure, in_words
from agentrl.errors import ConfigError, did_you_mean

MOST_GROUPS = 20
MOST_TRAJECTORIES = 4
ACTION_WIDTH = 44
TASK_WIDTH = 36


def choose(rows: Sequence[Row], group: str | None, trajectory: str | None) -> list[Row]:
    """Return the rows asked for.

    Raises:
        ConfigError: There is no such group or trajectory.
    """
    chosen = [row for row in rows if group in (None, row.record.group)]
    if not chosen:
        known = {row.record.group for row in rows}
        raise ConfigError(f"no group {group!r}; {_hint(group or '', known)}")
    found = [row for row in chosen if trajectory in (None, row.record.id)]
    if not found:
        known = {row.record.id for row in chosen}
        raise ConfigError(f"no trajectory {trajectory!r}; {_hint(trajectory or '', known)}")
    return found


def print_credit(source: Source, rows: Sequence[Row], *, detail: bool, whole: bool) -> None:
    """Print rows for people.

    Args:
        source: Where they are from.
        rows: What to show.
        detail: Every row turn by turn; else a summary and the trajectory that shows most.
        whole: The rows are of all groups.
    """
    groups = Counter(row.record.group for row in rows)
    turns = sum(len(row.trajectory.turns) for row in rows)
    counts = (_count(len(groups), "group"), _count(len(rows), "trajectory"), _count(turns, "turn"))
    print(f"{source.title} · {' · '.join(counts)} · credit [{', '.join(source.methods)}]")
    for note in source.notes:
        print(f"note: {note}")
    if not detail:
        _print_summary(rows, list(groups), by_group=whole and len(groups) > 1)
    scored = [row for row in rows if row.record.advantages is not None]
    if len(scored) < len(rows):
        kinds = Counter(row.record.left_out for row in rows if row.record.advantages is None)
        told = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
        print(f"left out, as infrastructure failed and not the agent: {told}")
    shown = scored[:MOST_TRAJECTORIES] if detail else _most_telling(scored)
    for row in shown:
        _print_trajectory(row)
    if detail and len(scored) > len(shown):
        print(f"… and {len(scored) - len(shown)} more of this id; --group NAME picks one")
    if not detail and len(rows) > 1:
        more = "--group NAME and --trajectory ID show others" if whole else "--trajectory ID shows"
        print(f"{more}{'' if whole else ' another'}, --json everything")


def _print_summary(rows: Sequence[Row], groups: Sequence[str], *, by_group: bool) -> None:
    if not by_group:
        headings = ("trajectory", "ended", "return", "turns", "values", "differ")
        print_table(headings, [_trajectory_row(row) for row in rows])
        return
    members: dict[str, list[Row]] = {group: [] for group in groups}
    for row in rows:
        members[row.record.group].append(row)
    shown = list(members.items())[:MOST_GROUPS]
    columns = ("group", "task", "trajectories", "solved", "mean return", "values", "turns differ")
    print_table(columns, [_group_row(group, own) for group, own in shown])
    if len(members) > len(shown):
        print(f"… and {_count(len(members) - len(shown), 'more group')}")


def _group_row(group: str, rows: Sequence[Row]) -> tuple[str, ...]:
    scored = [row for row in rows if row.record.advantages is not None]
    returns = [row.trajectory.reward for row in scored]
    differing = sum(_differs(row) for row in scored)
    return (
        _short(group),
        _short(rows[0].trajectory.task_id, TASK_WIDTH),
        str(len(rows)),
        str(sum(row.trajectory.success for row in scored)),
        f"{sum(returns) / len(returns):.3f}" if returns else "",
        _range([value for row in scored for value in _values(row)]),
        f"in {differing} of {len(scored)}",
    )


def _trajectory_row(row: Row) -> tuple[str, ...]:
    trajectory = row.trajectory
    return (
        _short(trajectory.id),
        trajectory.outcome.value,
        "" if row.record.advantages is None else figure(trajectory.reward),
        str(len(trajectory.turns)),
        _range(_values(row)),
        "yes" if _differs(row) else "no",
    )


def _print_trajectory(row: Row) -> None:
    trajectory, why = row.trajectory, row.record.why
    print(
        f"\ntrajectory {_short(trajectory.id)} of group {_short(trajectory.group)}: "
        f"{trajectory.outcome.value}, "
        f"return {figure(trajectory.reward)}, {_count(len(trajectory.turns), 'turn')}"
    )
    if not why:
        return
    methods = [record["method"] for record in why[0]]
    varying = [at for at in range(len(methods)) if _varies(why, at)]
    for at, method in enumerate(methods):
        if at not in varying:
            words = in_words(why[0][at])
            print(
                f"  {method}: {_value(why[0][at]['value'])} at every turn"
                f"{f' ({words})' if words else ''}"
            )
    headings = ("turn", "action", *(methods[at] for at in varying), *(["why"] if varying else []))
    print_table(headings, _turn_rows(row, varying))


def _turn_rows(row: Row, shown: Sequence[int]) -> Iterator[tuple[str, ...]]:
    """Yield each turn's place and action, what the methods `shown` made of it, and why."""
    agents = {turn.agent for turn in row.trajectory.turns}
    for position, (turn, records) in enumerate(
        zip(row.trajectory.turns, row.record.why, strict=True)
    ):
        own = [records[at] for at in shown]
        reasons = [(record["method"], in_words(record)) for record in own]
        told = [f"{name}: {words}" if len(shown) > 1 else words for name, words in reasons if words]
        who = f"{_short(turn.agent)}: " if len(agents) > 1 else ""
        yield (
            str(position),
            who + (_short(turn.action, ACTION_WIDTH) or "(no action)"),
            *(_value(record["value"]) for record in own),
            *([_short("; ".join(told), 400)] if shown else []),
        )


def _most_telling(rows: Sequence[Row]) -> list[Row]:
    """Return the trajectory with most different values, among equals the one that earned most."""
    played = [row for row in rows if row.record.why]
    return [max(played, key=_told)] if played else []


def _told(row: Row) -> tuple[int, float]:
    return len({round(value, 6) for value in _values(row)}), row.trajectory.reward


def _varies(why: Sequence[Sequence[dict[str, object]]], at: int) -> bool:
    first = (_value(why[0][at]["value"]), in_words(why[0][at]))
    return any((_value(turn[at]["value"]), in_words(turn[at])) != first for turn in why)


def _values(row: Row) -> list[float]:
    return [value for value in row.record.advantages or [] if value is not None]


def _spread(values: Sequence[float]) -> float:
    return round(max(values) - min(values), 9) if values else 0.0


def _differs(row: Row) -> bool:
    return _spread(_values(row)) > 0


def _range(values: Sequence[float]) -> str:
    if not values:
        return ""
    low, high = _value(min(values)), _value(max(values))
    return low if low == high else f"{low} to {high}"


def _value(value: object) -> str:
    if not isinstance(value, int | float):
        return "none"
    return f"{value:+.3f}".replace("-0.000", "+0.000").replace("+0.000", "0.000")


def _short(text: str, width: int = 200) -> str:
    """Return text on one line without control characters, which would act on the terminal."""
    line = " ".join(text[: 4 * width].split())
    line = "".join(char if char.isprintable() else "�" for char in line)
    return line if len(line) <= width else f"{line[: width - 1]}…"


def _hint(name: str, known: set[str]) -> str:
    hint = did_you_mean(name, known)
    return hint if len(hint) < 200 else f"{hint[:200]} …"


def _count(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"
