"""On which GPUs a server of our own is, relative to the learner's."""

from __future__ import annotations

import os

from agentrl.engines.base import Deployment


def server_gpus(deployment: Deployment) -> str | None:
    """Return `CUDA_VISIBLE_DEVICES` for our server; None: it may see what we see.

    Where they take turns it is on the learner's GPU, else on the others, where there are such: left
    to itself it would take the first GPU, whichever the learner has.
    """
    if not deployment.learner_device.startswith("cuda"):
        return None
    import torch

    ours = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = ours.split(",") if ours else [str(i) for i in range(torch.cuda.device_count())]
    index = torch.device(deployment.learner_device).index or 0
    if deployment.shares_device:
        return gpus[index]
    return ",".join(gpus[:index] + gpus[index + 1 :]) or None
