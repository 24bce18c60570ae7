"""On which GPUs a server of our own is."""

from __future__ import annotations

import pytest
import torch

from agentrl.engines.base import Deployment
from agentrl.engines.vllm.transports.choose import needs


@pytest.mark.parametrize(
    ("visible", "learner", "shares", "server"),
    [
        (None, "cpu", False, None),
        (None, "cuda", False, "1,2,3"),
        (None, "cuda:2", False, "0,1,3"),
        (None, "cuda:2", True, "2"),
        ("5,7", "cuda:0", False, "7"),
        ("5,7", "cuda:1", True, "7"),
        ("GPU-a,GPU-b", "cuda:1", False, "GPU-a"),
        ("5", "cuda", False, None),
        ("5", "cuda", True, "5"),
    ],
)
def test_the_server_is_beside_the_learner_or_with_it(
    monkeypatch: pytest.MonkeyPatch,
    visible: str | None,
    learner: str,
    shares: bool,
    server: str | None,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    deployment = Deployment(learner_device=learner, shares_device=shares)
    found = needs("folder", deployment, on_cuda=True)
    assert found.environment.get("CUDA_VISIBLE_DEVICES") == server
    assert found.arguments.get("gpu_memory_utilization") == (0.5 if shares else None)
