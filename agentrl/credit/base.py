"""The credit contract: small pure functions over a `Batch`.

A method is a frozen dataclass whose fields are its parameters and whose call is its formula. The
stages of a list such as `[grpo, salt, empg]` run in order: an outcome estimator makes one value
per turn (or token) from rewards, refiners replace values, modulators scale them, normalisers come
last. numpy in, numpy out; nothing here imports torch.
"""

from __future__ import annotations

from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np
import numpy.typing as npt

from agentrl.batch import Batch
from agentrl.trajectory import Signals

Advantages = npt.NDArray[np.float64]
"""One value per turn, shape [turns], or per token, shape [tokens]; see `CreditMethod.level`."""

Stage = Literal["outcome", "refine", "modulate", "normalise"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""The stages in the order in which they may stand in a list; exactly one outcome comes first."""

Level = Literal["turn", "token", "same"]
"""One value per turn; one per token; or whatever the previous method gave."""


@runtime_checkable
class CreditMethod(Protocol):
    """One credit-assignment method.

    The four descriptions are class variables where they are fixed and properties where they
    depend on the parameters.
    """

    @property
    def name(self) -> str:
        """The word used in configurations."""

    @property
    def stage(self) -> Stage:
        """Where in the list it may stand."""

    @property
    def level(self) -> Level:
        """Whether its output has one value per turn or per token."""

    @property
    def needs(self) -> frozenset[str]:
        """Signals it reads: any of entropy, answer_logprob, prm_logprob, ref_logprob, value."""

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        """Return advantages; `advantages` is None for the first method of a list.

        A token-level method that follows a turn-level one is given values per token already.
        """
        ...
