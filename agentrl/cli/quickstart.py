"""`agentrl quickstart`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def quickstart(
    overrides: Annotated[
        list[str] | None, typer.Argument(help="section.key=value, such as seed=1.")
    ] = None,
    run: Annotated[Path, typer.Option(help="Run directory.")] = Path("runs/quickstart"),
) -> int:
    """Train a tiny agent in a few minutes on a CPU and show that it has learned."""
    from agentrl.quickstart import run_quickstart

    if run_quickstart(run, overrides or []) is None:
        print(f"\nstopped; the same command goes on with {run}")
        return 130
    return 0
