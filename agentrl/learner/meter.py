"""Reads the drift in the middle of an update: after the first forward pass, before the first step.

No pass is spent on it. Either old log-probabilities were measured anyway, or the update has one
minibatch, and its own forward pass gives them under weights that have not moved.
"""

from __future__ import annotations

import numpy as np
import torch

from agentrl.batch import Ints
from agentrl.config import DriftConfig
from agentrl.learner.drift import Drift, measure
from agentrl.learner.drift_limits import check_drift
from agentrl.learner.plan import Tokens


class Meter:
    """Meters one update."""

    def __init__(self, tokens: Tokens, version: int | None, limits: DriftConfig | None) -> None:
        """Prepare to read.

        Args:
            tokens: What the update knows about its batch.
            version: Of the weights before the update; see `measure`.
            limits: What to refuse; None: nothing.
        """
        self._tokens = tokens
        self._version = version
        self._limits = limits
        self._seen: list[tuple[Ints, torch.Tensor]] = []
        self._drift: Drift | None = None

    def see(self, tokens: Ints, logprobs: torch.Tensor) -> None:
        """Take the log-probabilities of some tokens, by their indices in the batch."""
        if self._tokens.old_logprobs is None and self._drift is None:
            self._seen.append((tokens, logprobs.detach()))

    def read(self) -> Drift:
        """Return the drift, read at the first call.

        Raises:
            DriftError: It is over a limit.
        """
        if self._drift is None:
            tokens = self._tokens
            logprobs = tokens.old_logprobs
            if logprobs is None:
                logprobs = np.zeros(tokens.batch.num_tokens)
                for indices, values in self._seen:
                    logprobs[indices] = values.double().cpu().numpy()
            self._drift = measure(tokens.batch, logprobs, tokens.measured, version=self._version)
            self._seen.clear()
            if self._limits is not None:
                check_drift(self._drift, self._limits)
        return self._drift
