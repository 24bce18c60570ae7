"""What the groups of a batch can teach."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agentrl.batch import Batch
from agentrl.credit.statistics import constant_groups


def group_report(batch: Batch) -> dict[str, float]:
    """Return figures about the groups of a batch.

    Returns:
        `groups`: how many; `group_size`: mean size; `zero_variance_groups`: the share, among
        groups of two or more, whose returns are all equal, so that group-relative methods learn
        nothing from them; `all_success_groups` and `all_failure_groups`: the shares of all groups
        in which every or no episode succeeded.
    """
    labels = batch.group_of_trajectory()
    sizes = np.diff(batch.trajectory_offsets)
    constant = constant_groups(batch.returns, labels)[sizes > 1]
    solved = np.bincount(labels, weights=batch.success, minlength=batch.num_groups)
    return {
        "groups": float(batch.num_groups),
        "group_size": _mean(sizes),
        "zero_variance_groups": _mean(constant),
        "all_success_groups": _mean(solved == sizes),
        "all_failure_groups": _mean(solved == 0),
    }


def _mean(values: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> float:
    return float(np.mean(values)) if values.size else 0.0
