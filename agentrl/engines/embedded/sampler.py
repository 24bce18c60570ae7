"""Draws one id per row of logits; each row has settings and a random number of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agentrl.engines.base import Sampling


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """What was drawn for each row."""

    indices: npt.NDArray[np.int64]
    """Which of the row's candidates, shape [rows]."""
    logprobs: npt.NDArray[np.float32]
    """Under the distribution it was drawn from; NaN where the logits were not finite."""


def uniforms(sampling: Sampling) -> npt.NDArray[np.float64]:
    """Return the random numbers of one request, in [0, 1), shape [max_tokens].

    They depend on the seed alone: the same request gives the same completion whatever else is
    in the batch.
    """
    key = sampling.seed % (1 << 128)
    return np.random.Generator(np.random.Philox(key=key)).random(sampling.max_tokens)


def draw(logits: Tensor, settings: list[Sampling], random: list[float]) -> Draw:
    """Draw one candidate per row.

    Args:
        logits: Shape [rows, candidates], float32; -inf rules a candidate out.
        settings: Temperature, top-k and top-p of each row.
        random: A number in [0, 1) for each row; greedy rows ignore it.
    """
    logprobs = _tempered(logits, settings).log_softmax(-1)
    cut = [i for i, s in enumerate(settings) if s.temperature > 0 and (s.top_k or s.top_p < 1)]
    if cut:
        logprobs[cut] = _truncated(logprobs[cut], [settings[i] for i in cut])
    numbers = torch.tensor(random, dtype=torch.float64, device=logits.device)
    indices = _invert(logprobs, numbers)
    greedy = [i for i, s in enumerate(settings) if s.temperature == 0]
    if greedy:
        indices[greedy] = logprobs[greedy].argmax(-1)
    picked = logprobs.gather(1, indices[:, None])[:, 0]
    return Draw(indices.cpu().numpy(), picked.cpu().numpy())


def _tempered(logits: Tensor, settings: list[Sampling]) -> Tensor:
    temperatures = [s.temperature or 1.0 for s in settings]
    if all(t == 1.0 for t in temperatures):
        return logits
    return logits / torch.tensor(temperatures, device=logits.device)[:, None]


def _invert(logprobs: Tensor, numbers: Tensor) -> Tensor:
    """Return the first index at which the cumulative probability exceeds each number."""
    # Doubles, so that the sum over a large vocabulary cannot step past an unlikely id.
    mass = logprobs.double().exp_().cumsum(-1)
    total = mass[:, -1]
    below = torch.nextafter(total, torch.zeros_like(total))
    targets = torch.minimum(numbers * total, below)
    found = torch.searchsorted(mass, targets[:, None], right=True)[:, 0]
    return found.clamp_(max=logprobs.shape[-1] - 1)


def _truncated(logprobs: Tensor, settings: list[Sampling]) -> Tensor:
    """Apply top-k, then top-p to what it left, and normalise again."""
    width = logprobs.shape[-1]
    ordered, order = logprobs.sort(dim=-1, descending=True, stable=True)
    top_k = torch.tensor([s.top_k or width for s in settings], device=logprobs.device)
    rank = torch.arange(width, device=logprobs.device)
    ordered = ordered.masked_fill(rank >= top_k[:, None], -torch.inf).log_softmax(-1)
    top_p = torch.tensor([s.top_p for s in settings], device=logprobs.device)
    mass = ordered.exp()
    before = mass.cumsum(-1) - mass
    # The most probable id always stays, and a top_p of 1 must not cut what rounding has summed up.
    keep = (before < top_p[:, None]) | (top_p == 1)[:, None]
    keep[:, 0] = True
    ordered = ordered.masked_fill(~keep, -torch.inf).log_softmax(-1)
    return torch.empty_like(logprobs).scatter_(-1, order, ordered)
