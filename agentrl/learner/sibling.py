"""A model that starts as the policy and is trained apart from it: reward model, critic.

Either a full copy of the policy, or LoRA adapters of its own on the policy's base weights. Under a
policy that is itself LoRA the base weights are frozen, so both share them and the sibling costs
its adapters alone; under one whose weights all move they stand on a frozen copy of the initial
weights, which saves gradients and optimiser state.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from agentrl.config import LearnerConfig, SecondModelConfig
from agentrl.errors import CheckpointError
from agentrl.learner.policy import Policy, lora_settings, seeded


class Sibling:
    """Weights of its own with an AdamW of their own."""

    def __init__(
        self,
        policy: Policy,
        name: str,
        config: SecondModelConfig,
        learner: LearnerConfig,
        *,
        seed: int,
        head: Iterable[torch.nn.Parameter] = (),
    ) -> None:
        """Start as the policy is now.

        Args:
            policy: What it starts as.
            name: Names the adapters, the configuration's section and error messages.
            config: Says whether it is a copy or adapters, and how fast it learns.
            learner: Says whether activations are computed again in the backward pass.
            seed: Seeds initial adapters.
            head: Parameters on top, which learn with it.

        Raises:
            MissingExtraError: Adapters are asked for and peft is not installed.
        """
        self.name = name
        self._config = config
        self._shared = config.weights == "lora" and policy.is_lora
        self._model: Any = policy.model
        if not self._shared:
            copied = _copied(policy, learner.checkpoint_activations)
            self._model = copied.requires_grad_(config.weights == "copy")
        if config.weights == "lora":
            self._adapt(seed)
        elif policy.base.dtype is not torch.float32:
            # Steps as small as these would be rounded away in half precision.
            self._model.float()
        self._trained = [*self.parameters().values(), *head]
        self.optimiser = torch.optim.AdamW(
            self._trained,
            lr=config.learning_rate,
            weight_decay=0.0,
            fused=policy.device.type in ("cpu", "cuda"),
        )

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

    def descend(self) -> float:
        """Clip gradients, step, and return their length; one that is not finite is dropped."""
        norm = float(torch.nn.utils.clip_grad_norm_(self._trained, self._config.max_grad_norm))
        if math.isfinite(norm):
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Return weights and optimiser; tensors are the live ones."""
        weights = {name: p.detach() for name, p in self.parameters().items()}
        return {"weights": weights, "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It belongs to another model.
        """
        own, weights = self.parameters(), state["weights"]
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
        self.optimiser.load_state_dict(state["optimiser"])

    def _adapt(self, seed: int) -> None:
        rank, alpha = self._config.lora_rank, self._config.lora_alpha
        settings = lora_settings(rank, alpha, f"{self.name}.weights=lora")
        from peft import get_peft_model

        with seeded(seed):
            if not self._shared:
                self._model = get_peft_model(self._model, settings, adapter_name=self.name)
                return
            active = self._model.active_adapter
            self._model.add_adapter(self.name, settings)
            # Only the active adapter asks for gradients: here, the policy's own.
            self._model.set_adapter(active)


def _copied(policy: Policy, recompute: bool) -> Any:
    """Return a plain copy of the policy's model, adapters merged in."""
    model = policy.copied()
    if recompute:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    # transformers recomputes only in training mode; dropout is 0 in any mode.
    return model.train(recompute)
