"""The position score: where a submission would stand on leaderboards of people.

    pos   = 1 + number of entries that are better than the submission
    score = (n - pos + 1) / n                  n entries; ties count in the submission's favour

which is the share of entries that the submission is at least as good as: 1 for the best, 0 for one
that is worse than all. Source: MLE-Dojo, arXiv 2505.07782, as in its code. UNVERIFIED: whether the
HumanRank of its paper counts positions in the same way.

A function for environments to pay by, for instance the gain in it since the best submission so far.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


def position_score(
    score: float, leaderboard: npt.ArrayLike, higher_is_better: bool = True
) -> float:
    """Return the share of a leaderboard's entries that a submission is at least as good as.

    Args:
        score: The submission's; NaN is worse than all entries.
        leaderboard: Scores in any order, shape [entries].
        higher_is_better: Else lower is.

    Raises:
        ValueError: The leaderboard has no entry, or one that is not a number.
    """
    entries = np.asarray(leaderboard, np.float64)
    if entries.ndim != 1 or not entries.size or np.isnan(entries).any():
        raise ValueError("a leaderboard must be a list of numbers with one entry or more")
    reached = score >= entries if higher_is_better else score <= entries
    return float(np.mean(reached))


def mean_position_score(
    score: float,
    leaderboards: Iterable[npt.ArrayLike | None],
    higher_is_better: bool = True,
) -> float:
    """Return the mean position score over the leaderboards that exist, such as public and private.

    Args:
        score: The submission's.
        leaderboards: Each as for `position_score`, or None where there is none.
        higher_is_better: Else lower is.

    Raises:
        ValueError: There is no leaderboard at all, or one is not a list of numbers.
    """
    boards = [board for board in leaderboards if board is not None]
    if not boards:
        raise ValueError("there is no leaderboard to find a position on")
    return float(np.mean([position_score(score, board, higher_is_better) for board in boards]))
