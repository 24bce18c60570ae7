"""`agentrl pretrain`: make a small base policy by cloning environments' experts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def pretrain(
    out: Annotated[Path, typer.Argument(help="Where the model directory goes.")],
    recipe: Annotated[
        Path, typer.Argument(help="A YAML file, or `tiny`: how the shipped policy was made.")
    ],
    threads: Annotated[int, typer.Option(help="torch threads; 0 leaves the default.")] = 0,
) -> None:
    """Make a tokenizer and a small Llama from expert episodes; resumes where it was stopped."""
    from agentrl.pretrain.command import run_pretraining
    from agentrl.pretrain.recipe import load_recipe

    run_pretraining(out, load_recipe(recipe), threads)
