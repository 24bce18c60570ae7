"""`agentrl env list`: every registered environment, built in or from a plugin."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from agentrl import registry
from agentrl.cli.output import print_json, print_table
from agentrl.errors import AgentRLError
from agentrl.gymnasium_ids import gymnasium_id


def list_environments(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the registered environments, where each comes from and which splits it has."""
    found = [describe(name) for name in registry.names("environments")]
    if as_json:
        print_json(found)
        return
    rows = [
        (row["name"], row["distribution"], _splits(row), row["problem"] or row["summary"])
        for row in found
    ]
    print_table(("environment", "from", "splits (* trainable)", "what it is"), rows)


def describe(name: str) -> dict[str, Any]:
    """Return what is known of an environment; a broken one has its `problem` told."""
    point = registry.points("environments")[name][0]
    row: dict[str, Any] = {
        "name": name,
        "target": point.value,
        "distribution": registry.distribution(point),
        "gymnasium_id": gymnasium_id(name),
        "summary": "",
        "splits": {},
        "training": [],
        "panels": {},
        "problem": None,
    }
    try:
        built = registry.load("environments", name)
        row["summary"] = (inspect.getdoc(built) or "").split("\n")[0]
        row["panels"] = dict(getattr(built, "panels", dict)())
        tasks = registry.make(name).tasks
        row["splits"] = {split: len(ids) for split, ids in tasks.splits.items()}
        row["training"] = sorted(tasks.training)
    except AgentRLError as error:
        row["problem"] = str(error)
    return row


def _splits(row: dict[str, Any]) -> str:
    marks = {split: "*" if split in row["training"] else "" for split in row["splits"]}
    splits = " ".join(f"{split}{marks[split]}={size:,}" for split, size in row["splits"].items())
    panels = " ".join(f"{name}={size:,}" for name, size in row["panels"].items())
    return f"{splits}; fixed panels: {panels}" if panels else splits
