"""A model that starts as the policy and is trained apart from it: reward model, critic.

Either a full copy of the policy, or LoRA adapters of its own on the policy's base weights. Under a
policy that is itself LoRA the base weights are frozen, so both share them and the sibling costs
its adapters alone; under one whose weights all move they stand on a frozen copy of the initial
weights, which saves gradients and optimiser state.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch

from agentrl.errors import CheckpointError, MissingExtraError
from agentrl.learner.policy import Policy

Weights = Literal["copy", "lora"]


class Sibling:
    """Weights of its own with an AdamW of their own."""

    def __init__(
        self,
        policy: Policy,
        name: str,
        *,
        weights: Weights,
        rank: int,
        alpha: float,
        recompute: bool,
        seed: int,
    ) -> None:
        """Start as the policy is now.

        Args:
            policy: What it starts as.
            name: Names the adapters and error messages.
            weights: A full copy, or adapters.
            rank: Of the adapters.
            alpha: Their scale's numerator.
            recompute: Whether activations are computed again in the backward pass.
            seed: Seeds initial adapters.

        Raises:
            MissingExtraError: Adapters are asked for and peft is not installed.
        """
        self.name = name
        self.device = policy.device
        self._policy = policy
        self._shared = weights == "lora" and policy.is_lora
        self._model: Any = policy.model
        if not self._shared:
            self._model = _copied(policy, recompute).requires_grad_(weights == "copy")
        if weights == "lora":
            self._adapt(rank, alpha, seed)
        elif policy.base.dtype is not torch.float32:
            # Steps as small as these would be rounded away in half precision.
            self._model.float()

    @contextmanager
    def model(self) -> Iterator[Any]:
        """Give it as a plain transformers model for the length of a `with` block."""
        if not self._shared:
            adapted = hasattr(self._model, "peft_config")
            yield self._model.get_base_model() if adapted else self._model
            return
        active = self._model.active_adapter
        self._model.set_adapter(self.name)
        try:
            yield self._model.get_base_model()
        finally:
            self._model.set_adapter(active)

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """Return what training changes, by name."""
        named = self._model.named_parameters()
        if self._shared:
            return {n: p for n, p in named if f".{self.name}." in n}
        return {n: p for n, p in named if p.requires_grad}

    def load_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take over saved parameters.

        Raises:
            CheckpointError: They belong to another model.
        """
        own = self.parameters()
        fits = own.keys() == weights.keys() and all(
            own[name].shape == tensor.shape for name, tensor in weights.items()
        )
        if not fits:
            raise CheckpointError(
                f"the saved weights of the {self.name} are of another model; resume with the "
                f"{self.name} settings the run was started with"
            )
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(weights[name])

    def _adapt(self, rank: int, alpha: float, seed: int) -> None:
        try:
            from peft import LoraConfig, get_peft_model
        except ImportError:
            raise MissingExtraError("peft", "lora", f"{self.name}.weights=lora") from None
        settings = LoraConfig(
            r=rank,
            lora_alpha=alpha,
            target_modules="all-linear",
            lora_dropout=0.0,
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            if self._shared:
                active = self._model.active_adapter
                self._model.add_adapter(self.name, settings)
                # Only the active adapter asks for gradients: here, the policy's own.
                self._model.set_adapter(active)
            else:
                self._model = get_peft_model(self._model, settings, adapter_name=self.name)


def _copied(policy: Policy, recompute: bool) -> Any:
    """Return a plain copy of the policy's model, adapters merged in."""
    if policy.is_lora:
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_config(policy.base.config, dtype=policy.base.dtype)
        model.load_state_dict(policy.weights())
        model = model.to(policy.device)
    else:
        model = copy.deepcopy(policy.model)
    if recompute:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    # transformers recomputes only in training mode; dropout is 0 in any mode.
    return model.train(recompute)
