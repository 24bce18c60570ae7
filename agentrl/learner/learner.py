"""The learner: trajectories and advantages in, better weights out.

`update` takes one policy-gradient update, `clone` one behaviour-cloning update, `signals` measures
tokens for credit methods. Only tokens that the policy chose are trained: sampled ones, and of those
the ones with an alternative.

With one epoch and one minibatch the old log-probabilities are the current ones, so no forward
pass is spent on them, unless an option needs them beforehand. Tokens whose advantage is 0 are left
out of the forward pass where no other term needs them; denominators still count them, the reported
figures do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from agentrl.batch import Batch, Bools, Floats
from agentrl.config import DriftConfig, LearnerConfig
from agentrl.credit.base import Advantages
from agentrl.errors import CheckpointError, ConfigError, DriftError, did_you_mean
from agentrl.learner.aggregation import aggregation_weights, run_lengths
from agentrl.learner.checks import (
    check_rollout_logprobs,
    check_temperature,
    token_advantages,
)
from agentrl.learner.entropy_smoothing import EntropyHistory
from agentrl.learner.figures import Figures
from agentrl.learner.logprobs import Scores, check_head
from agentrl.learner.meter import Meter
from agentrl.learner.minibatches import minibatches
from agentrl.learner.objective import TokenInputs, cloning_objective, policy_objective
from agentrl.learner.options import check_options, total_updates
from agentrl.learner.packing import Pack, decision_tokens
from agentrl.learner.plan import Plan, Tokens, needs_old_logprobs, plan_minibatch, plan_tokens
from agentrl.learner.policy import Policy, Reference
from agentrl.learner.schedule import check_schedule, learning_rate
from agentrl.learner.scoring import Scorer
from agentrl.trajectory import Signals

SIGNALS = ("old_logprob", "entropy", "ref_logprob")
"""The per-token signals that a learner can measure."""

Objective = Callable[[Scores, Pack, Plan], torch.Tensor]


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
            seed: Seeds the order of minibatches and what is drawn among tokens.
            total_steps: Optimiser steps of the whole run; the cosine schedule and entropy
                smoothing need it.
            reference: Whether to keep the initial policy; None: where `config.kl` needs it.

        Raises:
            ConfigError: Options that make no sense together, or need `total_steps`.
            ModelError: The model computes its logits in a way we do not know.
        """
        check_options(config, total_steps)
        check_schedule(config, total_steps)
        self.policy = policy
        self.config = config
        self.step = 0
        """Minibatches taken so far: what the schedule follows."""
        self._total_steps = total_steps
        self._rng = np.random.default_rng(seed)
        check_head(policy.base)
        keep = config.kl != "none" if reference is None else reference
        self._scorer = Scorer(policy, config, Reference(policy) if keep else None)
        self._entropies: EntropyHistory | None = None
        if config.entropy_smoothing is not None:
            updates = total_updates(config, total_steps or 0)
            self._entropies = EntropyHistory(config.entropy_smoothing, updates)
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
        version: int | None = None,
        limits: DriftConfig | None = None,
    ) -> dict[str, float]:
        """Update the policy from one batch and return figures about it.

        Args:
            batch: Whole groups of trajectories.
            advantages: One value per turn or per token.
            temperature: What the batch was sampled at.
            signals: `old_logprob` and `ref_logprob` where the caller has measured them already.
            version: Of the weights before the update; None: those that sampled the newest tokens.
            limits: How far engine and learner may be apart; None: as far as they are.

        Raises:
            DriftError: They are further apart; the learner is as it was before.
            DataError: Advantages of the wrong shape or not finite, or the engine's
                log-probabilities are missing and needed.
            ConfigError: A temperature of 0.
        """
        check_temperature(temperature)
        known = dict(signals or {})
        tokens = self._tokens(batch, token_advantages(batch, advantages), known, temperature)
        check_rollout_logprobs(batch, tokens.needed, self.config)
        figures, meter = Figures(), Meter(tokens, version, limits)
        before = self.step, self._rng.bit_generator.state

        def objective(scores: Scores, rows: Pack, plan: Plan) -> torch.Tensor:
            assert plan.inputs is not None
            meter.see(rows.tokens, scores.logprobs)
            inputs = self._inputs(tokens, plan, rows)
            return policy_objective(scores, inputs, plan.inputs, self.config, figures)

        plans = self._plans(tokens, figures, temperature)
        try:
            steps = self._passes(batch, plans, objective, temperature, before_step=meter.read)
            drift = meter.read().figures()
        except DriftError:
            self._optimiser.zero_grad(set_to_none=True)
            self.step, self._rng.bit_generator.state = before
            raise
        report = {"loss": figures.total("loss") / max(steps["minibatches"], 1)}
        return report | figures.report() | self._remember_entropy(figures) | steps | drift

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

        def objective(scores: Scores, rows: Pack, plan: Plan) -> torch.Tensor:
            return cloning_objective(scores, self._scorer.gather(plan.weights, rows), figures)

        plans = (self._cloning_plan(batch, chosen & part) for part in self._minibatches(batch))
        steps = self._passes(batch, plans, objective, temperature, restricted)
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
        return self._scorer.measure(batch, decision_tokens(batch), wanted, temperature)

    def release_memory(self) -> None:
        """Give back what PyTorch keeps of a GPU for the next update, to who shares the GPU."""
        if self.policy.device.type == "cuda":
            torch.cuda.empty_cache()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that training goes on from: weights, optimiser, random stream.

        Tensors are the live ones, as in torch: write or copy them before the next update.
        """
        state = {
            "weights": {n: p.detach() for n, p in self.policy.trainable().items()},
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "generator": self._rng.bit_generator.state,
        }
        if self._entropies is not None:
            state["entropy_history"] = list(self._entropies.values)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; the reference stays the policy that the learner was made with.

        Raises:
            CheckpointError: The state belongs to another model, or lacks a history that entropy
                smoothing needs.
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
        if self._entropies is not None:
            self._entropies.load(state)
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(weights[name])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])
        self._rng.bit_generator.state = state["generator"]

    def _tokens(
        self, batch: Batch, advantages: Floats, known: Signals, temperature: float
    ) -> Tokens:
        """Return what an update knows about the tokens of its batch."""
        config = self.config
        wanted = {"old_logprob"} if needs_old_logprobs(config) else set()
        if config.kl == "loss":
            wanted.add("ref_logprob")

        def measure(needed: Bools) -> Signals:
            missing = wanted - known.keys()
            return known | self._scorer.measure(batch, needed, missing, temperature)

        knows_old = "old_logprob" in wanted | known.keys()
        chosen = decision_tokens(batch)
        return plan_tokens(batch, chosen, advantages, config, measure, knows_old=knows_old)

    def _plans(self, tokens: Tokens, figures: Figures, temperature: float) -> Iterator[Plan]:
        """Yield what each minibatch does; asked for only after the step before was taken."""
        batch = tokens.batch
        corridor = self._entropies.corridor() if self._entropies is not None else None
        for index, part in enumerate(self._minibatches(batch)):

            def current(wanted: Bools, has_moved: bool = index > 0) -> Floats | None:
                if not has_moved:
                    return tokens.old_logprobs
                found = self._scorer.measure(batch, wanted, {"old_logprob"}, temperature)
                return found["old_logprob"]

            yield plan_minibatch(
                tokens,
                part,
                self.config,
                has_moved=index > 0,
                current=current,
                corridor=corridor,
                rng=self._rng,
                figures=figures,
            )

    def _cloning_plan(self, batch: Batch, counted: Bools) -> Plan:
        config = self.config
        mode = config.aggregation or "token-mean"
        weights = aggregation_weights(batch, counted, mode, norm_length=config.norm_length)
        return Plan(counted, weights)

    def _inputs(self, tokens: Tokens, plan: Plan, rows: Pack) -> TokenInputs:
        """Return what the objective needs about the tokens of a pack."""

        def gather(values: np.ndarray[Any, Any] | None) -> torch.Tensor | None:
            return None if values is None else self._scorer.gather(values, rows)

        lengths = None
        if tokens.are_whole:
            runs = run_lengths(tokens.sequences[rows.tokens])
            lengths = torch.from_numpy(runs).to(self.policy.device)
        return TokenInputs(
            weights=self._scorer.gather(plan.weights, rows),
            advantages=self._scorer.gather(tokens.advantages, rows),
            rollout_logprobs=self._scorer.gather(tokens.batch.logprobs, rows),
            old_logprobs=gather(tokens.old_logprobs),
            reference_logprobs=gather(tokens.reference_logprobs),
            lengths=lengths,
            picked=gather(plan.picked),
            entropy_weights=gather(plan.entropy_weights),
        )

    def _remember_entropy(self, figures: Figures) -> dict[str, float]:
        """Take the update's entropy into the history; return the figures of smoothing."""
        if self._entropies is None:
            return {}
        minibatches = max(len(figures.of_minibatches.get("smoothing_beta", ())), 1)
        means = {
            name: figures.total(name) / minibatches
            for name in ("turn_entropy", "smoothing_penalty")
        }
        if figures.tokens:
            self._entropies.append(means["turn_entropy"])
        return means

    def _passes(
        self,
        batch: Batch,
        plans: Iterable[Plan],
        objective: Objective,
        temperature: float,
        restricted: bool = True,
        before_step: Callable[[], object] = lambda: None,
    ) -> dict[str, float]:
        """Take every optimiser step of one update and return figures about the steps."""
        norms, forwarded, taken, planned, rate = [], 0, 0, 0, 0.0
        trained = np.zeros(batch.num_tokens, np.bool_)
        entropy_gradient = self.config.entropy_coefficient > 0 or self._entropies is not None
        for plan in plans:
            planned += 1
            rate = learning_rate(self.config, self.step, self._total_steps)
            self.step += 1
            trained |= plan.needed
            packs = self._scorer.pack(batch, plan.needed, restricted)
            for rows in packs:
                scores = self._scorer.score(rows, temperature, entropy_gradient=entropy_gradient)
                torch.autograd.backward(objective(scores, rows, plan))
                forwarded += rows.ids.size
            if packs:
                before_step()
                norm, stepped = self._descend(rate)
                norms.append(norm)
                taken += stepped
        return {
            "grad_norm": float(np.mean(norms)) if norms else 0.0,
            "learning_rate": rate,
            "minibatches": planned,
            "optimiser_steps": taken,
            "tokens": batch.num_tokens,
            "trained_tokens": int(trained.sum()),
            "forward_tokens": forwarded,
        }

    def _minibatches(self, batch: Batch) -> Iterator[Bools]:
        return minibatches(batch, self.config.epochs, self.config.minibatches, self._rng)

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
