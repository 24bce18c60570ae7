"""`agentrl compare`: is one run better than another, and could the panel have told?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agentrl.cli.output import print_json, print_table

if TYPE_CHECKING:
    from agentrl.evaluation.compare import Comparison
    from agentrl.evaluation.paired import Difference

_HELP = "A run directory, RUN@STEP (a number or `base`), or a results file."


def compare(
    a: Annotated[str, typer.Argument(metavar="RUN_A", help=_HELP)],
    b: Annotated[str, typer.Argument(metavar="RUN_B", help="What is compared with it.")],
    split: Annotated[str | None, typer.Option(help="Default: whichever both have.")] = None,
    seed: Annotated[int, typer.Option(help="Seeds the resampling.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Compare two evaluated runs task by task: B minus A, with a paired bootstrap interval."""
    from agentrl.evaluation.compare import compare as pair
    from agentrl.evaluation.compare import find_pair

    comparison = pair(*find_pair(a, b, split), seed=seed)
    if as_json:
        print_json(comparison.as_dict())
    else:
        print_comparison(comparison)
    return 0


def print_comparison(comparison: Comparison) -> None:
    """Print a comparison for people."""
    from agentrl.evaluation.compare import describe

    conditions = comparison.a.results.conditions
    apart = comparison.only_a + comparison.only_b
    print(
        f"{conditions.environment} · split {conditions.split} · {comparison.tasks} common tasks"
        f"{f' ({apart} that only one has played are left out)' if apart else ''}"
    )
    for letter, side in (("A", comparison.a), ("B", comparison.b)):
        print(f"{letter}: {side.results.conditions.policy}  {side.path}")
    print_table(
        ("figure", "A", "B", "B - A", "95% interval", "p", "detectable"),
        [
            _row("success", comparison.success_a, comparison.success_b, comparison.success),
            _row("score", comparison.score_a, comparison.score_b, comparison.score),
        ],
    )
    print(describe(comparison))
    for note in comparison.notes:
        print(f"note: {note}")


def _row(name: str, a: float, b: float, difference: Difference) -> tuple[str, ...]:
    return (
        name,
        f"{a:.3f}",
        f"{b:.3f}",
        f"{difference.value:+.3f}",
        f"{difference.low:+.3f} to {difference.high:+.3f}",
        f"{difference.p_value:.2g}",
        f"{difference.detectable:.3f}",
    )
