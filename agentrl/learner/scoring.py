"""Forward passes over a batch: pack, score, and bring the figures back to where tokens stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from agentrl.batch import Batch, Bools
from agentrl.config import LearnerConfig
from agentrl.errors import ConfigError
from agentrl.learner.logprobs import Scores, score
from agentrl.learner.packing import Pack, pack
from agentrl.learner.policy import Policy, Reference
from agentrl.trajectory import Signals


def autocast(device: torch.device, config: LearnerConfig) -> torch.autocast:
    """Return the context of forward passes that gradients are taken through."""
    return torch.autocast(
        device.type,
        torch.bfloat16,
        enabled=config.autocast,
        # The cache would keep a copy of every weight for the whole pass.
        cache_enabled=not config.checkpoint_activations,
    )


class Scorer:
    """Scores batches under the policy's current weights, or its reference's."""

    def __init__(self, policy: Policy, config: LearnerConfig, reference: Reference | None) -> None:
        """Score with the config's pack size and precision."""
        self._policy = policy
        self._config = config
        self._reference = reference

    def pack(self, batch: Batch, needed: Bools, restricted: bool = True) -> list[Pack]:
        """Return packs that together predict the needed tokens."""
        return pack(batch, needed, pack_tokens=self._config.pack_tokens, restricted=restricted)

    def score(
        self,
        rows: Pack,
        temperature: float,
        *,
        entropy: bool = True,
        entropy_gradient: bool = False,
        model: Any = None,
    ) -> Scores:
        """Return the scores of a pack under a model; None: the policy's."""
        with autocast(self._policy.device, self._config):
            return score(
                self._policy.base if model is None else model,
                rows,
                temperature=temperature,
                entropy=entropy,
                entropy_gradient=entropy_gradient,
            )

    @torch.no_grad()
    def measure(self, batch: Batch, needed: Bools, names: set[str], temperature: float) -> Signals:
        """Return signals of the needed tokens, 0 elsewhere, shape [tokens] each.

        Raises:
            ConfigError: `ref_logprob` is wanted and no reference was kept.
        """
        measured: Signals = {name: np.zeros(batch.num_tokens) for name in names}
        if not measured:
            return measured
        packs = self.pack(batch, needed)
        if names & {"old_logprob", "entropy"}:
            self._fill(measured, "old_logprob", "entropy", packs, temperature)
        if "ref_logprob" in names:
            if self._reference is None:
                raise ConfigError(
                    "ref_logprob needs the reference policy: set learner.kl to loss or reward, or "
                    "make the Learner with reference=True"
                )
            with self._reference.model() as model:
                self._fill(measured, "ref_logprob", "", packs, temperature, model)
        return measured

    def gather(self, values: npt.NDArray[Any], rows: Pack) -> torch.Tensor:
        """Return the values of a pack's tokens, on the policy's device; shape [wanted]."""
        part = np.ascontiguousarray(values[rows.tokens])
        kind = np.bool_ if part.dtype == np.bool_ else np.float32
        return torch.from_numpy(part.astype(kind, copy=False)).to(self._policy.device)

    def _fill(
        self,
        measured: Signals,
        logprob: str,
        entropy: str,
        packs: list[Pack],
        temperature: float,
        model: Any = None,
    ) -> None:
        for rows in packs:
            scores = self.score(rows, temperature, entropy=entropy in measured, model=model)
            for name, values in ((logprob, scores.logprobs), (entropy, scores.entropies)):
                if name in measured:
                    measured[name][rows.tokens] = values.cpu().numpy()
