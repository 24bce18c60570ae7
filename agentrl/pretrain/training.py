"""The pretraining loop: behaviour cloning plus a little modelling of what is observed.

Observations get a small weight: they teach the copying of names and where things tend to be, for
nothing. Matrices are trained with Muon, the rest with AdamW.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from agentrl.pretrain.demonstrations import LEARNED, READ, Demonstration
from agentrl.pretrain.recipe import Shape, Stage


def build_model(shape: Shape, tokenizer: Any, seed: int) -> Any:
    """Return a fresh Llama."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        intermediate_size=shape.intermediate,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def grow_model(model: Any, tokenizer: Any, context: int) -> None:
    """Give a model the ids its tokenizer has grown by, and a length of context.

    A new id starts as the mean of the two that its merge joins, so that the model reads the new
    words about as it read their parts.
    """
    old = model.get_input_embeddings().num_embeddings
    model.config.max_position_embeddings = context
    if len(tokenizer) == old:
        return
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    weight = model.get_input_embeddings().weight.data
    described = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    ids = described["vocab"]
    for left, right in described["merges"]:
        if ids[left + right] >= old:
            weight[ids[left + right]] = (weight[ids[left]] + weight[ids[right]]) / 2


class Pretraining:
    """A run that can be stopped after any pool of episodes and goes on exactly there."""

    def __init__(
        self, model: Any, stage: Stage, pool: Callable[[int], list[Demonstration]]
    ) -> None:
        """Prepare.

        Args:
            model: Trained in place.
            stage: How.
            pool: Returns the k-th pool of episodes, the same each time.
        """
        self.model = model
        self.stage = stage
        self.tokens = 0
        self.pools = 0
        self._pool = pool
        self._forward = torch.compile(model, dynamic=True) if stage.compile else model
        self._optimisers = _optimisers(model, stage)

    def run_pool(self) -> dict[str, float]:
        """Train on the next pool and return its figures."""
        started, before = time.monotonic(), self.tokens
        episodes = self._pool(self.pools)
        self.model.train()
        figures = [self._step(batch) for batch in _batches(episodes, self.stage, self.pools)]
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
        return self.tokens >= self.stage.tokens

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
        rate = _rate(min(self.tokens / self.stage.tokens, 1.0), self.stage)
        loss, accuracy = _loss(self._forward, batch, bfloat16=self.stage.bfloat16)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.tokens += sum(len(episode.ids) for episode in batch)
        return float(loss.detach()), accuracy


def _loss(
    model: Any, batch: Sequence[Demonstration], *, bfloat16: bool
) -> tuple[torch.Tensor, float]:
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
        weights[row, :count] = (kinds == LEARNED) + episode.observation_weight * (kinds == READ)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        # Padding stands at the end, where causal attention cannot see it: no mask is needed.
        logits = model(ids).logits[:, :-1]
    kept = weights[:, 1:] > 0
    logits, targets = logits[kept].float(), ids[:, 1:][kept]
    losses = functional.cross_entropy(logits, targets, reduction="none")
    weighted = losses * weights[:, 1:][kept]
    expert = learned[:, 1:][kept]
    accuracy = (logits.argmax(-1) == targets)[expert].float().mean()
    return weighted.sum() / weights[:, 1:].sum(), float(accuracy)


def _optimisers(model: Any, stage: Stage) -> list[torch.optim.Optimizer]:
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(
            matrices,
            lr=stage.learning_rate,
            weight_decay=stage.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(
            others, lr=stage.learning_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True
        ),
    ]


def _rate(progress: float, stage: Stage) -> float:
    """Linear warm-up, then half a cosine down to a twentieth."""
    if progress < stage.warmup:
        return stage.learning_rate * (0.05 + 0.95 * progress / stage.warmup)
    turn = (progress - stage.warmup) / (1 - stage.warmup)
    return stage.learning_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * turn)))


def _batches(
    pool: Sequence[Demonstration], stage: Stage, seed: int
) -> Iterator[list[Demonstration]]:
    """Yield episodes of like length together, so that little of a batch is padding."""
    batches: list[list[Demonstration]] = [[]]
    for episode in sorted(pool, key=lambda e: len(e.ids)):
        if len(episode.ids) * (len(batches[-1]) + 1) > stage.batch_tokens and batches[-1]:
            batches.append([])
        batches[-1].append(episode)
    for index in np.random.default_rng(seed).permutation(len(batches)):
        yield batches[index]
