"""The critic: the value of the situation before each sampled token, for GAE.

    loss = mean over tokens of 0.5 * max((V - G)^2, (clip(V, V_old - c, V_old + c) - G)^2)

G is the return that `agentrl.credit.gae` computes from rewards and the values of this batch. A
linear head on the last hidden state gives V; it starts at 0, so that the first values are 0 and
the first advantages plain returns. Source: Schulman et al. 2017 (PPO), with the value clip of
public implementations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from agentrl.batch import Batch, Bools, Floats
from agentrl.config import CriticConfig, LearnerConfig
from agentrl.credit.gae import Gae
from agentrl.errors import CheckpointError
from agentrl.learner.minibatches import minibatches
from agentrl.learner.packing import Pack, decision_tokens
from agentrl.learner.policy import Policy
from agentrl.learner.scoring import Scorer, autocast
from agentrl.learner.sibling import Sibling
from agentrl.trajectory import Signals


class Critic:
    """Gives `value`; see the module's docstring."""

    provides = frozenset({"value"})

    def __init__(
        self, policy: Policy, config: CriticConfig, learner: LearnerConfig, *, gae: Gae, seed: int
    ) -> None:
        """Start as the policy is now, with values of 0.

        Args:
            policy: The policy that is trained.
            config: How the critic is made and trained.
            learner: Pack size and precision, which it shares with the policy's learner.
            gae: The credit method that reads the values: it says what they should have been.
            seed: Seeds initial adapters and the order of minibatches.
        """
        self.config = config
        self._learner = learner
        self._gae = gae
        self._rng = np.random.default_rng(seed)
        hidden = policy.base.config.get_text_config().hidden_size
        self._head = torch.nn.Linear(hidden, 1, device=policy.device)
        torch.nn.init.zeros_(self._head.weight)
        torch.nn.init.zeros_(self._head.bias)
        self._scorer = Scorer(policy, learner, reference=None)
        self._sibling = Sibling(
            policy, "critic", config, learner, seed=seed, head=self._head.parameters()
        )

    @torch.no_grad()
    def measure(self, batch: Batch, known: Signals, *, temperature: float) -> Signals:
        """Return the value before each sampled token, 0 at tokens that were read."""
        values = np.zeros(batch.num_tokens)
        with self._sibling.model() as model:
            for rows in self._scorer.pack(batch, sampled_tokens(batch), restricted=False):
                values[rows.tokens] = self._values(model, rows).cpu().numpy()
        return {"value": values}

    def learn(self, batch: Batch, known: Signals, *, temperature: float) -> dict[str, float]:
        """Fit the returns of a batch.

        Returns:
            `critic/loss` and `critic/grad_norm`, means over the steps, and
            `critic/explained_variance` of the returns by the values from before.
        """
        targets, mask = self._gae.value_targets(batch, known)
        mask = mask & sampled_tokens(batch)
        old = known["value"]
        losses, norms = [], []
        for part in minibatches(batch, self.config.epochs, self.config.minibatches, self._rng):
            chosen = mask & part
            if not chosen.any():
                continue
            loss, norm = self._step(batch, chosen, targets, old)
            losses.append(loss)
            norms.append(norm)
        return {
            "critic/loss": float(np.mean(losses)) if losses else 0.0,
            "critic/grad_norm": float(np.mean(norms)) if norms else 0.0,
            "critic/explained_variance": _explained(targets[mask], old[mask]),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return weights, optimiser and random stream; tensors are the live ones."""
        return self._sibling.state_dict() | {
            "head": {n: p.detach() for n, p in self._head.named_parameters()},
            "generator": json.dumps(self._rng.bit_generator.state),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It belongs to another model.
        """
        if state["head"]["weight"].shape != self._head.weight.shape:
            raise CheckpointError("the saved value head is of another model; start a new run")
        self._sibling.load_state_dict(state)
        self._head.load_state_dict(state["head"])
        self._rng.bit_generator.state = json.loads(state["generator"])

    def _step(
        self, batch: Batch, chosen: Bools, targets: Floats, old: Floats
    ) -> tuple[float, float]:
        """Take one optimiser step; return the loss and the length of the gradient."""
        total, count, gather = 0.0, int(chosen.sum()), self._scorer.gather
        with self._sibling.model() as model:
            for rows in self._scorer.pack(batch, chosen, restricted=False):
                values = self._values(model, rows)
                losses = value_loss(
                    values, gather(old, rows), gather(targets, rows), self.config.clip
                )
                loss = losses.sum() / count
                torch.autograd.backward(loss)
                total += float(loss.detach())
        return total, self._sibling.descend()

    def _values(self, model: Any, rows: Pack) -> torch.Tensor:
        """Return the value before each wanted token of a pack, shape [wanted]."""
        device = self._head.weight.device
        ids = torch.from_numpy(rows.ids).to(device)
        with autocast(device, self._learner):
            hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
        places = torch.from_numpy(rows.positions).to(device)
        hidden = hidden.flatten(0, 1).index_select(0, places)
        values: torch.Tensor = self._head(hidden.float())[:, 0]
        return values


def sampled_tokens(batch: Batch) -> Bools:
    """Return the tokens that have a value: sampled, with something before them; shape [tokens]."""
    return decision_tokens(batch, restricted=False)


def value_loss(
    values: torch.Tensor, old: torch.Tensor, targets: torch.Tensor, clip: float | None
) -> torch.Tensor:
    """Return each token's loss, shape [tokens].

    Args:
        values: Under the weights being trained.
        old: Under the weights before the update.
        targets: The returns.
        clip: How far a value may move from the old one before it earns nothing more; None: off.
    """
    losses = (values - targets).square()
    if clip is not None:
        near = old + (values - old).clamp(-clip, clip)
        losses = torch.maximum(losses, (near - targets).square())
    return 0.5 * losses


def _explained(targets: Floats, values: Floats) -> float:
    """Return 1 - var(targets - values) / var(targets); 0 where the targets do not vary."""
    variance = float(np.var(targets)) if len(targets) else 0.0
    return 1.0 - float(np.var(targets - values)) / variance if variance > 1e-12 else 0.0
