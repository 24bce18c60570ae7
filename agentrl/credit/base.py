"""The credit contract: small pure functions over a `Batch`.

A method is a frozen dataclass whose fields are its parameters and whose call is its formula. The
stages of a list such as `[grpo, salt, empg]` run in order: an outcome estimator makes one value
per turn (or token) from rewards, refiners replace values, modulators scale them, normalisers come
last. numpy in, numpy out; nothing here imports torch.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import numpy.typing as npt

from agentrl.batch import Batch
from agentrl.trajectory import Signals

Advantages = npt.NDArray[np.float64]
"""One value per turn, shape [turns], or per token, shape [tokens]; see `CreditMethod.level`."""

Stage = Literal["outcome", "refine", "modulate", "normalise"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""The stages in the order in which they may stand in a list; exactly one outcome comes first."""

SIGNALS = {
    "entropy": "full-vocabulary entropy of the old policy, in nats; shape [tokens], 0 where read",
    "answer_logprob": "mean log-probability of the reference answer's tokens before and after each "
    "turn; shape [turns, 2]",
    "prm_log_ratio": "log-probability of each turn under the process reward model minus that under "
    "the old policy, summed over its sampled tokens; shape [turns]",
    "process_score": "what a judge of single turns gave each of them, from 0 to 1; shape [turns]",
    "ref_logprob": "log-probability under the reference policy; shape [tokens]",
    "value": "the critic's value before each sampled token; shape [tokens]",
}
"""What a method may need beyond the batch, and in which shape."""

Why = list[dict[str, Any]]
"""One record per turn in plain JSON values; an empty one where there is nothing to say."""

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
        """Signals it reads, by the names in `SIGNALS`."""

    def __call__(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Advantages:
        """Return advantages; `advantages` is None for the first method of a list.

        A token-level method that follows a turn-level one is given values per token already.
        """
        ...


@runtime_checkable
class Explains(Protocol):
    """A method that can say why a turn got its value."""

    def explain(self, batch: Batch, advantages: Advantages | None, signals: Signals) -> Why:
        """Return a record per turn, for the same arguments as the call."""
        ...


@runtime_checkable
class Measures(Protocol):
    """A method that can say how much it had to work with, for metric logs."""

    def metrics(self, batch: Batch, signals: Signals) -> dict[str, float]:
        """Return figures about the batch; 0 where there is nothing to measure."""
        ...


@runtime_checkable
class FollowsLevel(Protocol):
    """A method of level `same`, which must be told whether it is given turns or tokens."""

    def for_level(self, level: Literal["turn", "token"]) -> CreditMethod:
        """Return the method as it is to run on values of this level."""
        ...


@runtime_checkable
class ReadsInfo(Protocol):
    """A method that needs the environment to tell more than it must."""

    @property
    def reads(self) -> frozenset[str]:
        """The keys of `agentrl.env.Info` that must be there, such as `state_key`."""


@runtime_checkable
class FollowsHost(Protocol):
    """A method whose formula depends on the outcome estimator that stands before it."""

    def for_host(self, host: CreditMethod) -> CreditMethod:
        """Return the method as it is to run after `host`."""
        ...
