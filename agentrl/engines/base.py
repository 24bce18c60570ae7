"""The engine contract: who turns prompt ids into sampled ids.

Every engine passes the suite in `tests/conformance/`. Token ids are the only currency: what an
engine sampled is what the learner trains on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]
"""Token ids, shape [length]."""
Logprobs = npt.NDArray[np.float32]
"""Natural-log probabilities, shape [length]."""
FinishReason = Literal["stop", "length"]
"""`stop`: a stop id was sampled or a choice completed; `length`: the token limit was reached."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample one completion."""

    temperature: float = 1.0
    """Divides the logits; 0 takes the most probable token."""
    top_p: float = 1.0
    """Keep the smallest set of tokens with at least this probability."""
    top_k: int = 0
    """Keep this many tokens; 0 keeps all."""
    max_tokens: int = 64
    """Limit on sampled tokens, the stop token included."""
    stop_ids: tuple[int, ...] = ()
    """Sampling any of these ends the completion; the id is part of it."""
    seed: int = 0
    """With the same weights and prompt, the same seed gives the same completion."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One completion to generate."""

    prompt_ids: Ids
    """The whole prompt. An engine that kept the session's cache reads only what is new."""
    sampling: Sampling = field(default_factory=Sampling)
    session: str = ""
    """Names the episode; its cache may be kept until `release`. Empty: keep nothing."""
    choices: tuple[tuple[int, ...], ...] | None = None
    """Restrict decoding to these id sequences (each ends in a stop id); None: no restriction.

    Probabilities are then normalised over the ids that continue at least one choice.
    """
    info: Mapping[str, Any] = field(default_factory=dict)
    """The environment's info at this turn; only scripted engines read it."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """LoRA adapters on the weights that an engine was made with, in the layout of peft."""

    weights: Mapping[str, Any]
    """Name to tensor, as in `adapter_model.safetensors`."""
    settings: Mapping[str, Any]
    """What `adapter_config.json` holds."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """How a run places learner and engine, for engines in another process."""

    learner_device: str = "cpu"
    """Where the weights come from, such as `cuda:0`."""
    shares_device: bool = False
    """Whether the engine is paused while the learner works, and frees the memory meanwhile."""
    interrupts: bool = False
    """Whether weight updates break off completions, which go on with the new weights, instead of
    waiting for them."""
    adapter_rank: int = 0
    """Rank of the LoRA adapters that are trained; 0: whole weights are."""
    adapter_modules: tuple[str, ...] = ()
    """The layers that have adapters, such as `q_proj`."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a model read and wrote as its endpoint counts it, in tokens that we do not see."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Completion:
    """What an engine sampled."""

    token_ids: Ids
    logprobs: Logprobs
    """Of each sampled id under the distribution it was drawn from (temperature and restriction
    included), shape [len(token_ids)]; NaN where an engine for evaluation alone is not told."""
    finish_reason: FinishReason
    policy_version: int
    """The version of the weights that sampled it; where they changed meanwhile: the first id."""
    versions: npt.NDArray[np.int32] | None = None
    """The version that sampled each id, shape [len(token_ids)], where the weights changed while
    it was sampled; None: `policy_version` sampled all."""
    usage: Usage | None = None
    """Where the ids stand for text and not for the model's tokens: how many those were."""

    @property
    def tokens(self) -> int:
        """How many tokens the model sampled."""
        return len(self.token_ids) if self.usage is None else self.usage.completion_tokens


Weights = Mapping[str, Any] | Path | Adapters
"""What an engine is given to serve: name to tensor, a model directory, or adapters."""


@runtime_checkable
class Engine(Protocol):
    """Serves one policy."""

    context_length: int
    """Most ids that prompt and completion may have together."""

    async def generate(self, request: Request) -> Completion:
        """Sample one completion.

        Raises:
            EngineFault: The engine died or answered nonsense.
            ConfigError: Prompt and limits do not fit the context (`ContextOverflow` where only
                the engine could know).
        """
        ...

    async def score(self, token_ids: Ids) -> Logprobs:
        """Return log p(id_k | ids before) at temperature 1, k ≥ 1, shape [len(token_ids) - 1]."""
        ...

    async def load_weights(self, version: int, weights: Weights) -> None:
        """Serve these weights as policy `version`; `Adapters` only where `takes_adapters` is set.

        Caches that hold activations of older weights are dropped.
        """
        ...

    async def pause(self) -> None:
        """Finish what is running and start nothing new until `resume`."""
        ...

    async def resume(self) -> None:
        """Go on after `pause`."""
        ...

    async def release(self, session: str) -> None:
        """Forget an episode's cache; unknown sessions are ignored."""
        ...

    async def close(self) -> None:
        """Free everything; the engine cannot be used afterwards."""
        ...
