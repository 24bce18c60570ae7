"""`agentrl credit`: which turns of stored trajectories earned the reward, and why."""

from __future__ import annotations

from typing import Annotated

import typer


def credit(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN_OR_FILE",
            help="A run directory, a file of trajectories (JSON lines or Parquet), or -.",
        ),
    ],
    methods: Annotated[
        str | None,
        typer.Option(
            "--credit",
            metavar="LIST",
            help="Such as grpo,salt or '[grpo, {salt: {history: 1}}]'. Default: the run's own.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="METHOD.KEY=VALUE", help="May be repeated."),
    ] = None,
    update: Annotated[int | None, typer.Option(help="Of a run. Default: its latest.")] = None,
    group: Annotated[str | None, typer.Option(help="Show this group alone.")] = None,
    trajectory: Annotated[
        str | None, typer.Option(metavar="ID", help="Show this trajectory, turn by turn.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON per trajectory, in input order.")
    ] = False,
) -> int:
    """Recompute credit for stored trajectories: agentrl credit RUN --credit grpo,salt."""
    from agentrl.cli.credit_source import find_source
    from agentrl.cli.credit_view import choose, print_credit
    from agentrl.credit.records import encode_credit

    source = find_source(target, methods, settings or [], update)
    chosen = choose(source.rows, group, trajectory)
    if as_json:
        for row in chosen:
            print(encode_credit(row.record).decode())
    else:
        print_credit(source, chosen, detail=trajectory is not None, whole=group is None)
    return 0
