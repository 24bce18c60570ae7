from __future__ import annotations

import pytest
import torch

from agentrl.errors import ConfigError
from agentrl.learner.device import resolve_device


def test_auto_is_the_cpu_without_a_gpu() -> None:
    assert not torch.cuda.is_available()
    assert resolve_device("auto") == resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "gpu", ""])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"policy\.device={name} .*there are: cpu") as caught:
        resolve_device(name)
    assert "\n" not in str(caught.value)
