"""The implicit process reward model of OPRL (iStar): measured on each batch, then trained on it.

    r_t  = beta * sum over the turn's sampled tokens of (log p_prm - log p_old)
    Q_i  = sum_t r_t                          (or the mean)
    loss = -mean over pairs of log sigmoid(Q_better - Q_worse)

Source: Liu et al., Agentic Reinforcement Learning with Implicit Step Rewards, arXiv 2509.19199,
section 3. The reference is the policy that sampled the batch, not a frozen one. Scores used for
credit are those from before the model learns from the batch, so its accuracy on the batch's pairs
is an accuracy on pairs it has never seen.

The gradient is taken in two passes. The scores of all episodes, known from the measurement, give
the derivative c_i of the loss by each Q_i; then sum_i c_i Q_i is accumulated pack by pack with a
graph, which has the same gradient as the loss over all pairs at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from agentrl.batch import Batch, Floats, Ints
from agentrl.config import LearnerConfig, PrmConfig
from agentrl.credit.preferences import (
    preference_accuracy,
    preference_loss,
    preference_pairs,
    trajectory_scores,
)
from agentrl.learner.losses import turn_sums
from agentrl.learner.packing import Pack, decision_tokens
from agentrl.learner.policy import Policy
from agentrl.learner.scoring import Scorer
from agentrl.learner.sibling import Sibling
from agentrl.trajectory import Signals


class ProcessRewardModel:
    """Gives `prm_log_ratio`; see the module's docstring."""

    provides = frozenset({"prm_log_ratio"})

    def __init__(
        self, policy: Policy, config: PrmConfig, learner: LearnerConfig, *, beta: float, seed: int
    ) -> None:
        """Start as the policy is now.

        Args:
            policy: The policy that is trained.
            config: How the model is made and trained.
            learner: Pack size and precision, which it shares with the policy's learner.
            beta: Scales log-ratios to step rewards, as in the credit method.
            seed: Seeds initial adapters.
        """
        self.config = config
        self.beta = beta
        self._scorer = Scorer(policy, learner, reference=None)
        self._sibling = Sibling(policy, "prm", config, learner, seed=seed)

    @torch.no_grad()
    def measure(self, batch: Batch, known: Signals, *, temperature: float) -> Signals:
        """Return the log-ratio of each turn, shape [turns]."""
        wanted = decision_tokens(batch)
        logprobs = np.zeros(batch.num_tokens)
        with self._sibling.model() as model:
            for rows in self._scorer.pack(batch, wanted):
                logprobs[rows.tokens] = self._logprobs(model, rows, temperature).cpu().numpy()
        ratios = np.where(wanted, logprobs - known["old_logprob"], 0.0)
        return {"prm_log_ratio": turn_sums(batch, ratios)}

    def learn(self, batch: Batch, known: Signals, *, temperature: float) -> dict[str, float]:
        """Take one step of the trajectory preference loss.

        Returns:
            `prm/pairs`; `prm/accuracy`, the share of pairs that were ranked right before the step,
            and `prm/loss`, both left out where there is no pair; `prm/grad_norm` where it learned.
        """
        rewards = self.beta * known["prm_log_ratio"]
        scores = trajectory_scores(rewards, batch, reduce=self.config.reduce)
        pairs = self._pairs(batch)
        figures = {"prm/pairs": float(len(pairs))}
        if not len(pairs):
            return figures
        loss, slopes = preference_loss(scores, pairs)
        figures |= {"prm/loss": loss, "prm/accuracy": preference_accuracy(scores, pairs)}
        if self.config.learns:
            figures["prm/grad_norm"] = self._step(batch, self._weights(batch, slopes), temperature)
        return figures

    def state_dict(self) -> dict[str, Any]:
        """Return weights and optimiser; tensors are the live ones."""
        return self._sibling.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It belongs to another model.
        """
        self._sibling.load_state_dict(state)

    def _pairs(self, batch: Batch) -> Ints:
        """Return better and worse episodes; whether one was solved no reward transform changes."""
        if self.config.margin is not None:
            return preference_pairs(batch, margin=self.config.margin)
        return preference_pairs(batch, batch.success.astype(np.float64))

    def _weights(self, batch: Batch, slopes: Floats) -> Floats:
        """Return the derivative of the loss by each token's log-probability, shape [tokens]."""
        if self.config.reduce == "mean":
            slopes = slopes / np.maximum(np.diff(batch.turn_offsets), 1)
        per_token: Floats = self.beta * slopes[batch.trajectory_of_turn()[batch.turn_of_token()]]
        return per_token

    def _step(self, batch: Batch, weights: Floats, temperature: float) -> float:
        """Accumulate sum_i c_i Q_i over packs, step, and return the length of the gradient."""
        with self._sibling.model() as model:
            for rows in self._scorer.pack(batch, decision_tokens(batch) & (weights != 0)):
                logprobs = self._logprobs(model, rows, temperature)
                torch.autograd.backward((self._scorer.gather(weights, rows) * logprobs).sum())
        return self._sibling.descend()

    def _logprobs(self, model: Any, rows: Pack, temperature: float) -> torch.Tensor:
        return self._scorer.score(rows, temperature, entropy=False, model=model).logprobs
