"""The pretraining loop: behaviour cloning plus a little modelling of what is observed.

Observations get a small weight: they teach the copying of names and where things tend to be, for
nothing. Matrices are trained with Muon, the rest with AdamW.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from agentrl.pretrain.demonstrations import LEARNED, READ, Demonstration


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a base policy is made."""

    tokens: int = 60_000_000
    """Training tokens, padding not counted."""
    batch_tokens: int = 8192
    """Tokens of one optimiser step, padding included."""
    learning_rate: float = 3e-3
    warmup: float = 0.01
    """Share of the run."""
    observation_weight: float = 0.2
    """Weight of observation tokens in the loss, beside 1 for learned moves."""
    noise: tuple[float, ...] = (0.0, 0.0, 0.1, 0.3)
    """Shares of random moves; each episode draws one of them."""
    learn_noise: bool = False
    """Learn the random moves too: a base that can play well and badly."""
    weight_decay: float = 0.01
    hidden: int = 256
    layers: int = 3
    heads: int = 4
    intermediate: int = 640
    context: int = 2048
    bfloat16: bool = True
    compile: bool = False
    """Compile the forward pass: minutes at the start, then up to 1.4 times as fast."""


def build_model(recipe: Recipe, tokenizer: Any, seed: int) -> Any:
    """Return a fresh Llama of the recipe's size."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        intermediate_size=recipe.intermediate,
        max_position_embeddings=recipe.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


class Pretraining:
    """A run that can be stopped after any pool of episodes and goes on exactly there."""

    def __init__(
        self, model: Any, recipe: Recipe, pool: Callable[[int], list[Demonstration]]
    ) -> None:
        """Prepare.

        Args:
            model: Trained in place.
            recipe: How.
            pool: Returns the k-th pool of episodes, the same each time.
        """
        self.model = model
        self.recipe = recipe
        self.tokens = 0
        self.pools = 0
        self._pool = pool
        self._forward = torch.compile(model, dynamic=True) if recipe.compile else model
        self._optimisers = _optimisers(model, recipe)

    def run_pool(self) -> dict[str, float]:
        """Train on the next pool and return its figures."""
        started, before = time.monotonic(), self.tokens
        episodes = self._pool(self.pools)
        self.model.train()
        figures = [self._step(batch) for batch in _batches(episodes, self.recipe, self.pools)]
        self.pools += 1
        loss, accuracy = np.mean(figures, axis=0)
        return {
            "tokens": self.tokens,
            "loss": float(loss),
            "expert_accuracy": float(accuracy),
            "expert_success": float(np.mean([episode.success for episode in episodes])),
            "tokens_per_second": (self.tokens - before) / (time.monotonic() - started),
        }

    @property
    def done(self) -> bool:
        """Whether the recipe's tokens are used up."""
        return self.tokens >= self.recipe.tokens

    def save(self, path: Path) -> None:
        """Write everything that going on needs."""
        state = {
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self._optimisers],
            "tokens": self.tokens,
            "pools": self.pools,
        }
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimiser, part in zip(self._optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(part)
        self.tokens, self.pools = state["tokens"], state["pools"]

    def _step(self, batch: Sequence[Demonstration]) -> tuple[float, float]:
        rate = _rate(min(self.tokens / self.recipe.tokens, 1.0), self.recipe)
        loss, accuracy = _loss(self._forward, batch, self.recipe)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.tokens += sum(len(episode.ids) for episode in batch)
        return float(loss.detach()), accuracy


def _loss(model: Any, batch: Sequence[Demonstration], recipe: Recipe) -> tuple[torch.Tensor, float]:
    """Return the weighted cross-entropy and the share of expert tokens guessed right."""
    # Few different widths keep compiled code and memory pools few.
    width = -(-max(len(episode.ids) for episode in batch) // 64) * 64
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    weights = torch.zeros(len(batch), width)
    learned = torch.zeros(len(batch), width, dtype=torch.bool)
    for row, episode in enumerate(batch):
        count = len(episode.ids)
        kinds = torch.from_numpy(episode.kinds)
        ids[row, :count] = torch.from_numpy(episode.ids)
        learned[row, :count] = kinds == LEARNED
        weights[row, :count] = (kinds == LEARNED) + recipe.observation_weight * (kinds == READ)
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
        # Padding stands at the end, where causal attention cannot see it: no mask is needed.
        logits = model(ids).logits[:, :-1]
    kept = weights[:, 1:] > 0
    logits, targets = logits[kept].float(), ids[:, 1:][kept]
    losses = functional.cross_entropy(logits, targets, reduction="none")
    weighted = losses * weights[:, 1:][kept]
    expert = learned[:, 1:][kept]
    accuracy = (logits.argmax(-1) == targets)[expert].float().mean()
    return weighted.sum() / weights[:, 1:].sum(), float(accuracy)


def _optimisers(model: Any, recipe: Recipe) -> list[torch.optim.Optimizer]:
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(
            matrices,
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(
            others, lr=recipe.learning_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True
        ),
    ]


def _rate(progress: float, recipe: Recipe) -> float:
    """Linear warm-up, then half a cosine down to a twentieth."""
    if progress < recipe.warmup:
        return recipe.learning_rate * (0.05 + 0.95 * progress / recipe.warmup)
    turn = (progress - recipe.warmup) / (1 - recipe.warmup)
    return recipe.learning_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * turn)))


def _batches(
    pool: Sequence[Demonstration], recipe: Recipe, seed: int
) -> Iterator[list[Demonstration]]:
    """Yield episodes of like length together, so that little of a batch is padding."""
    batches: list[list[Demonstration]] = [[]]
    for episode in sorted(pool, key=lambda e: len(e.ids)):
        if len(episode.ids) * (len(batches[-1]) + 1) > recipe.batch_tokens and batches[-1]:
            batches.append([])
        batches[-1].append(episode)
    for index in np.random.default_rng(seed).permutation(len(batches)):
        yield batches[index]
