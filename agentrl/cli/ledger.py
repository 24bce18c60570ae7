"""`agentrl ledger`: what became of every episode of a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from agentrl.cli.output import print_json, print_table

_MEANINGS = {
    "trained": "in an update that counts",
    "undone": "in an update after the checkpoint that a later process went on from",
    "lost": "to infrastructure, after all attempts",
    "dropped": "when the process ended; its group was played again",
    "in flight": "while the run goes on",
}
_SHOWN = 10


def ledger(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Add up a run's ledger: every episode has one fate, and none was trained on twice."""
    from agentrl.run import RunDirectory
    from agentrl.storage.ledger import balance

    found = balance(RunDirectory.open(run).ledger_file)
    if as_json:
        # asdict counts the pairs of a Counter instead of copying it.
        fates = dict(found.fates)
        print_json({**dataclasses.asdict(found), "fates": fates, "is_even": found.is_even})
        return 0 if found.is_even else 1
    rows = [(fate, str(found.fates[fate]), words) for fate, words in _MEANINGS.items()]
    print_table(("episodes", "number", ""), [*rows, ("begun", str(found.begun), "")])
    print(
        f"{found.updates} updates by {found.processes} processes; "
        f"{found.repeated} attempts were repeats"
    )
    for problem in found.problems[:_SHOWN]:
        print(f"PROBLEM: {problem}")
    if len(found.problems) > _SHOWN:
        print(f"… and {len(found.problems) - _SHOWN} more problems")
    print("the ledger is even" if found.is_even else "the ledger is NOT even")
    return 0 if found.is_even else 1
