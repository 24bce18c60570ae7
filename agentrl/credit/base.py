"""The credit contract: small pure functions over a `Batch`.

A method is a frozen dataclass whose fields are its parameters and whose call is its formula. The
stages of a list such as `[grpo, salt, empg]` run in order: an outcome estimator makes one value
per turn (or token) from rewards, refiners replace values, modulators scale them. numpy in, numpy
out; nothing here imports torch.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from agentrl.batch import Batch
from agentrl.trajectory import Signals

Advantages = npt.NDArray[np.float64]
"""One value per turn, shape [turns], or per token, shape [tokens]; see `CreditMethod.level`."""

Stage = Literal["outcome", "refine", "modulate", "normalise"]
Level = Literal["turn", "token"]


class CreditMethod(Protocol):
    """One credit-assignment method."""

    name: ClassVar[str]
    """The word used in configurations."""
    stage: ClassVar[Stage]
    """Where in the list it may stand."""
    level: ClassVar[Level]
    """Whether its output has one value per turn or per token."""
    needs: ClassVar[frozenset[str]]
    """Signals it reads: any of entropy, answer_logprob, prm_logprob, ref_logprob, value."""

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        """Return advantages; `advantages` is None for the first method of a list."""
        ...
