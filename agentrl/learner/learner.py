"""The learner: trajectories and advantages in, better weights out.

`update` takes one policy-gradient update (PPO-clip with truncated importance sampling), `clone`
one behaviour-cloning update, `signals` measures tokens for credit methods. Only tokens that the
policy chose are trained: sampled ones, and of those the ones with an alternative.

With one epoch and one minibatch the old log-probabilities are the current ones, so no forward
pass is spent on them. Tokens whose advantage is 0 are left out of the forward pass where neither
KL nor entropy needs them; denominators still count them, the reported figures do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from agentrl.batch import Batch, Bools
from agentrl.config import LearnerConfig
from agentrl.credit.base import Advantages
from agentrl.errors import CheckpointError, ConfigError, did_you_mean
from agentrl.learner.checks import check_temperature, token_advantages
from agentrl.learner.logprobs import Scores, check_head, score
from agentrl.learner.losses import aggregation_weights
from agentrl.learner.objective import Figures, TokenInputs, cloning_objective, policy_objective
from agentrl.learner.packing import Pack, decision_tokens, pack
from agentrl.learner.policy import Policy, Reference
from agentrl.learner.schedule import check_schedule, learning_rate
from agentrl.trajectory import Signals

SIGNALS = ("old_logprob", "entropy", "ref_logprob")
"""The per-token signals that a learner can measure."""

Objective = Callable[[Scores, Pack], torch.Tensor]


class Learner:
    """Trains one policy."""

    def __init__(
        self,
        policy: Policy,
        config: LearnerConfig,
        *,
        seed: int,
        total_steps: int | None = None,
        reference: bool | None = None,
    ) -> None:
        """Prepare to train.

        Args:
            policy: Its weights at this moment are the reference policy.
            config: How to train.
            seed: Seeds the order of minibatches.
            total_steps: Optimiser steps of the whole run; the cosine schedule needs it.
            reference: Whether to keep the initial policy; None: where `config.kl` needs it.

        Raises:
            ConfigError: The cosine schedule without `total_steps`.
            ModelError: The model computes its logits in a way we do not know.
        """
        check_schedule(config, total_steps)
        self.policy = policy
        self.config = config
        self.step = 0
        """Minibatches taken so far: what the schedule follows."""
        self._total_steps = total_steps
        self._rng = np.random.default_rng(seed)
        check_head(policy.base)
        keep = config.kl != "none" if reference is None else reference
        self._reference = Reference(policy) if keep else None
        self._optimiser = _optimiser(policy, config)
        if config.checkpoint_activations:
            # transformers recomputes only in training mode; dropout is 0 in any mode.
            policy.base.gradient_checkpointing_enable({"use_reentrant": False})
            policy.base.train()

    def update(
        self,
        batch: Batch,
        advantages: Advantages,
        *,
        temperature: float = 1.0,
        signals: Signals | None = None,
    ) -> dict[str, float]:
        """Update the policy from one batch and return figures about it.

        Args:
            batch: Whole groups of trajectories.
            advantages: One value per turn or per token.
            temperature: What the batch was sampled at.
            signals: `old_logprob` and `ref_logprob` where the caller has measured them already.

        Raises:
            DataError: Advantages of the wrong shape, or not finite.
            ConfigError: A temperature of 0.
        """
        config = self.config
        check_temperature(temperature)
        values = token_advantages(batch, advantages)
        chosen = decision_tokens(batch)
        keep_all = config.entropy_coefficient > 0 or (
            config.kl == "loss" and config.kl_coefficient > 0
        )
        needed = chosen if keep_all else chosen & (values != 0)
        known = dict(signals or {})
        wanted = self._missing_signals(known, several=config.epochs * config.minibatches > 1)
        known |= self._measure(batch, needed, wanted, temperature)
        figures = Figures()

        def objective(scores: Scores, rows: Pack, weights: torch.Tensor) -> torch.Tensor:
            inputs = TokenInputs(
                weights,
                self._gather(values, rows),
                self._gather(batch.logprobs, rows),
                self._gather(known["old_logprob"], rows) if "old_logprob" in known else None,
                self._gather(known["ref_logprob"], rows) if "ref_logprob" in known else None,
            )
            return policy_objective(scores, inputs, config, figures)

        steps = self._passes(batch, chosen, needed, objective, temperature)
        report = {"loss": figures.total("loss") / max(steps["minibatches"], 1)}
        return report | figures.report() | steps

    def clone(
        self, batch: Batch, *, temperature: float = 1.0, restricted: bool = True
    ) -> dict[str, float]:
        """Imitate the batch's sampled tokens and return figures about it.

        Args:
            batch: Trajectories worth imitating.
            temperature: Divides the logits.
            restricted: Whether probabilities are normalised over the sets that tokens were drawn
                from; False teaches well-formed actions too.

        Raises:
            ConfigError: A temperature of 0.
        """
        check_temperature(temperature)
        chosen = decision_tokens(batch, restricted=restricted)
        figures = Figures()

        def objective(scores: Scores, rows: Pack, weights: torch.Tensor) -> torch.Tensor:
            return cloning_objective(scores, weights, figures)

        steps = self._passes(batch, chosen, chosen, objective, temperature, restricted)
        report = {
            "loss": figures.total("loss") / max(steps["minibatches"], 1),
            "nll": figures.mean("nll"),
            "entropy": figures.mean("entropy"),
        }
        return report | steps

    def signals(self, batch: Batch, names: Iterable[str], *, temperature: float = 1.0) -> Signals:
        """Measure tokens under the current weights and the reference.

        Args:
            batch: The batch.
            names: Any of `SIGNALS`: log-probabilities and full-distribution entropies under the
                current weights, and log-probabilities under the reference.
            temperature: What the batch was sampled at.

        Returns:
            Arrays of shape [tokens], 0 where the policy chose nothing.

        Raises:
            ConfigError: An unknown signal, a temperature of 0, or no reference was kept.
        """
        wanted = set(names)
        check_temperature(temperature)
        for name in sorted(wanted):
            if name not in SIGNALS:
                raise ConfigError(
                    f"the learner has no signal {name!r}; {did_you_mean(name, SIGNALS)}"
                )
        return self._measure(batch, decision_tokens(batch), wanted, temperature)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that training goes on from: weights, optimiser, random stream.

        Tensors are the live ones, as in torch: write or copy them before the next update.
        """
        return {
            "weights": {n: p.detach() for n, p in self.policy.trainable().items()},
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "generator": self._rng.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; the reference stays the policy that the learner was made with.

        Raises:
            CheckpointError: The state belongs to another model.
        """
        own = self.policy.trainable()
        weights = state["weights"]
        fits = own.keys() <= weights.keys() and all(
            p.shape == weights[n].shape for n, p in own.items()
        )
        if not fits:
            raise CheckpointError(
                f"the state does not fit the model {self.policy.path}: other names or shapes of "
                "weights; resume with the policy settings the run was started with"
            )
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(weights[name])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])
        self._rng.bit_generator.state = state["generator"]

    def _passes(
        self,
        batch: Batch,
        chosen: Bools,
        needed: Bools,
        objective: Callable[[Scores, Pack, torch.Tensor], torch.Tensor],
        temperature: float,
        restricted: bool = True,
    ) -> dict[str, float]:
        """Take every optimiser step of one update and return figures about the steps."""
        norms, forwarded, taken, minibatches, rate = [], 0, 0, 0, 0.0
        for part in self._minibatches(batch):
            minibatches += 1
            rate = learning_rate(self.config, self.step, self._total_steps)
            self.step += 1
            weights = aggregation_weights(
                batch, chosen & part, self.config.aggregation, norm_length=self.config.norm_length
            )
            packs = self._pack(batch, needed & part, restricted)
            for rows in packs:
                scores = self._score(self.policy.base, rows, temperature)
                objective(scores, rows, self._gather(weights, rows)).backward()  # type: ignore[no-untyped-call]
                forwarded += rows.ids.size
            if packs:
                norm, stepped = self._descend(rate)
                norms.append(norm)
                taken += stepped
        return {
            "grad_norm": float(np.mean(norms)) if norms else 0.0,
            "learning_rate": rate,
            "minibatches": minibatches,
            "optimiser_steps": taken,
            "tokens": batch.num_tokens,
            "trained_tokens": int(needed.sum()),
            "forward_tokens": forwarded,
        }

    def _minibatches(self, batch: Batch) -> Iterator[Bools]:
        """Yield token masks: each epoch a fresh split of the trajectories."""
        trajectories = batch.trajectory_of_turn()[batch.turn_of_token()]
        for _ in range(self.config.epochs):
            count = min(self.config.minibatches, batch.num_trajectories)
            if count <= 1:
                yield np.ones(batch.num_tokens, np.bool_)
                continue
            part = np.empty(batch.num_trajectories, np.int64)
            part[self._rng.permutation(batch.num_trajectories)] = (
                np.arange(batch.num_trajectories) * count // batch.num_trajectories
            )
            yield from (part[trajectories] == index for index in range(count))

    def _descend(self, rate: float) -> tuple[float, bool]:
        """Clip gradients and step; a gradient that is not finite is dropped."""
        parameters = list(self.policy.trainable().values())
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self.config.max_grad_norm))
        is_finite = bool(np.isfinite(norm))
        if is_finite:
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return norm, is_finite

    def _missing_signals(self, known: Signals, *, several: bool) -> set[str]:
        wanted = {"old_logprob"} if several else set()
        if self.config.kl == "loss":
            wanted.add("ref_logprob")
        return wanted - known.keys()

    @torch.no_grad()
    def _measure(self, batch: Batch, needed: Bools, names: set[str], temperature: float) -> Signals:
        measured: Signals = {name: np.zeros(batch.num_tokens) for name in names}
        if not measured:
            return measured
        packs = self._pack(batch, needed)
        if names & {"old_logprob", "entropy"}:
            self._fill(measured, "old_logprob", "entropy", self.policy.base, packs, temperature)
        if "ref_logprob" in names:
            if self._reference is None:
                raise ConfigError(
                    "ref_logprob needs the reference policy: set learner.kl to loss or reward, or "
                    "make the Learner with reference=True"
                )
            with self._reference.model() as model:
                self._fill(measured, "ref_logprob", "", model, packs, temperature)
        return measured

    def _fill(
        self,
        measured: Signals,
        logprob: str,
        entropy: str,
        model: Any,
        packs: list[Pack],
        temperature: float,
    ) -> None:
        for rows in packs:
            scores = self._score(model, rows, temperature)
            for name, values in ((logprob, scores.logprobs), (entropy, scores.entropies)):
                if name in measured:
                    measured[name][rows.tokens] = values.cpu().numpy()

    def _pack(self, batch: Batch, needed: Bools, restricted: bool = True) -> list[Pack]:
        return pack(batch, needed, pack_tokens=self.config.pack_tokens, restricted=restricted)

    def _score(self, model: Any, rows: Pack, temperature: float) -> Scores:
        with torch.autocast(self.policy.device.type, torch.bfloat16, enabled=self.config.autocast):
            return score(
                model,
                rows,
                temperature=temperature,
                entropy_gradient=self.config.entropy_coefficient > 0,
            )

    def _gather(self, values: npt.NDArray[Any], rows: Pack) -> torch.Tensor:
        part = np.ascontiguousarray(values[rows.tokens], np.float32)
        return torch.from_numpy(part).to(self.policy.device)


def _optimiser(policy: Policy, config: LearnerConfig) -> torch.optim.AdamW:
    """Return AdamW that decays matrices only, not norms and biases."""
    parameters = list(policy.trainable().values())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=config.betas,
        fused=policy.device.type in ("cpu", "cuda"),
    )
