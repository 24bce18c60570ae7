"""`agentrl pretrain`: make a small base policy by cloning an environment's expert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def pretrain(
    out: Annotated[Path, typer.Argument(help="Where the model directory goes.")],
    env: Annotated[str, typer.Option(help="An environment with an expert.")] = "alfworld",
    options: Annotated[
        list[str] | None,
        typer.Option("--set", help="Environment option as key=value. Default: expert=search."),
    ] = None,
    variants: Annotated[
        str, typer.Option(help="One option's values to mix, as key=[…] in YAML.")
    ] = "difficulty=[2,3,4,5,6,6]",
    recipe: Annotated[
        list[str] | None, typer.Option("--recipe", help="Recipe field as key=value; repeatable.")
    ] = None,
    vocabulary: Annotated[int, typer.Option(help="Tokenizer size.")] = 1024,
    seed: Annotated[int, typer.Option(help="Seeds weights, tasks and noise.")] = 0,
    threads: Annotated[int, typer.Option(help="torch threads; 0 leaves the default.")] = 0,
    init: Annotated[
        Path | None, typer.Option(help="Go on from this model directory instead of from scratch.")
    ] = None,
) -> None:
    """Make a tokenizer and a small Llama from expert episodes; resumes where it was stopped."""
    from agentrl.pretrain.command import run_pretraining

    chosen = options if options is not None else ["expert=search"]
    run_pretraining(out, env, chosen, variants, recipe or [], vocabulary, seed, threads, init)
