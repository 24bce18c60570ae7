from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agentrl.batch import Batch
from agentrl.credit import ReinforcePP, assign


def test_whitening_after_dr_grpo_is_the_baseline_form(make_batch: Callable[..., Batch]) -> None:
    batch = make_batch([[1, 0], [1, 1, 0]], [[2, 4], [3, 1, 2]])
    left = assign(batch, ["dr_grpo", "whiten"])
    assert left == pytest.approx(assign(batch, "reinforce_pp_baseline"))


def test_token_level_values_stay_at_token_level(make_batch: Callable[..., Batch]) -> None:
    batch = make_batch([[1, 0]], [[3, 2]])
    signals = {"ref_logprob": np.linspace(-1, 0, batch.num_tokens)}
    values = assign(batch, [ReinforcePP(kl_coefficient=0.1), "whiten"], signals)
    assert values.shape == (batch.num_tokens,)
    assert values[~batch.sampled].tolist() == [0] * 4
    assert values[batch.sampled].mean() == pytest.approx(0, abs=1e-12)
    assert values[batch.sampled].std(ddof=1) == pytest.approx(1, abs=1e-6)
