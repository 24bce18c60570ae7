from __future__ import annotations

import pytest
import torch

from agentrl.config import LearnerConfig
from agentrl.learner.scoring import autocast


@pytest.mark.parametrize("checkpoint", [False, True])
def test_with_recomputed_activations_no_cast_weights_are_kept(checkpoint: bool) -> None:
    layer = torch.nn.Linear(4, 4, bias=False)
    config = LearnerConfig(autocast=True, checkpoint_activations=checkpoint)
    casts = []
    with (
        autocast(torch.device("cpu"), config),
        torch.autograd.graph.saved_tensors_hooks(
            lambda saved: casts.append(saved) or saved, lambda saved: saved
        ),
    ):
        layer(layer(torch.ones(1, 4, requires_grad=True)))
    weights = {tensor.data_ptr() for tensor in casts if tensor.shape[0] == 4}
    assert len(weights) == (2 if checkpoint else 1)


def test_precision_is_as_configured() -> None:
    layer = torch.nn.Linear(4, 4)
    with autocast(torch.device("cpu"), LearnerConfig()):
        assert layer(torch.ones(1, 4)).dtype is torch.float32
    with autocast(torch.device("cpu"), LearnerConfig(autocast=True)):
        assert layer(torch.ones(1, 4)).dtype is torch.bfloat16
