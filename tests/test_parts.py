from __future__ import annotations

from typing import Any

import pytest
import torch

from agentrl.config import EngineConfig, PolicyConfig, ScheduleConfig
from agentrl.learner.policy import load_policy
from agentrl.parts import build_engine


@pytest.mark.parametrize(
    ("rank", "kind", "is_shared"), [(0, "sync", True), (0, "async", False), (4, "sync", False)]
)
def test_the_embedded_engine_serves_the_learners_weights_or_a_copy_of_their_type(
    rank: int, kind: Any, is_shared: bool
) -> None:
    # The shipped weights are stored in bfloat16; the learner holds them in float32.
    policy = load_policy(PolicyConfig(model="tiny", lora_rank=rank))
    engine = build_engine(EngineConfig(), policy, schedule=ScheduleConfig(kind=kind))
    served = engine.model  # type: ignore[attr-defined]
    assert (served is policy.model) is is_shared
    assert {p.dtype for p in served.parameters()} == {torch.float32}
    assert not any("lora_" in name for name, _ in served.named_parameters())
