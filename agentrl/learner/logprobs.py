"""Log-probabilities and entropies of chosen tokens under a model's current weights.

    logp = z[a] / T - logsumexp(z[S] / T)        entropy = -sum over S of p log p

z are the logits, T the sampling temperature, S the set that the engine drew from: the vocabulary,
or the admissible ids under restricted decoding. Logits are made only at positions that predict a
wanted token, and in chunks that are made again in the backward pass when there are many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.utils.checkpoint import checkpoint

from agentrl.errors import ModelError
from agentrl.learner.packing import Pack

MAX_LOGITS = 1 << 27
"""Most logits kept at a time (float32: 512 MiB)."""

_EXCLUDED = -1e9
"""Stands in for -inf, whose product with a probability of 0 is not a number."""


class Scores(NamedTuple):
    """One value per wanted token, float32, shape [wanted]."""

    logprobs: torch.Tensor
    entropies: torch.Tensor


class _Chosen(NamedTuple):
    """What to read off the logits of each position."""

    targets: torch.Tensor
    allowed: torch.Tensor
    counts: torch.Tensor


def score(
    model: Any,
    pack: Pack,
    *,
    temperature: float,
    entropy_gradient: bool = False,
    max_logits: int = MAX_LOGITS,
) -> Scores:
    """Return log-probability and entropy of every wanted token of a pack.

    Args:
        model: A transformers causal language model.
        pack: Rows and wanted positions.
        temperature: Divides the logits, as when sampling.
        entropy_gradient: Whether entropies carry gradients.
        max_logits: Bound on the size of any tensor over the vocabulary.
    """
    device = model.get_output_embeddings().weight.device
    ids = torch.from_numpy(pack.ids).to(device)
    hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
    hidden = hidden.flatten(0, 1).index_select(0, torch.from_numpy(pack.positions).to(device))
    chosen = _Chosen(
        *(torch.from_numpy(a).to(device) for a in (pack.targets, pack.allowed, pack.allowed_counts))
    )
    head = output_head(model)

    def read(part: torch.Tensor, *columns: torch.Tensor) -> Scores:
        logits = head(part) / temperature
        return _read_off(logits, _Chosen(*columns), entropy_gradient)

    rows = max(1, max_logits // model.config.get_text_config().vocab_size)
    if len(hidden) <= rows:
        return read(hidden, *chosen)
    parts = [
        checkpoint(read, *(c[i : i + rows] for c in (hidden, *chosen)), use_reentrant=False)
        for i in range(0, len(hidden), rows)
    ]
    return Scores(torch.cat([p.logprobs for p in parts]), torch.cat([p.entropies for p in parts]))


def output_head(model: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the function from hidden states to float32 logits, as the model itself computes it."""
    linear = model.get_output_embeddings()
    config = model.config.get_text_config()
    softcap = getattr(config, "final_logit_softcapping", None)
    scale = getattr(config, "logit_scale", None) or 1.0
    scale = scale / (getattr(config, "logits_scaling", None) or 1.0)

    def head(hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = linear(hidden).float()
        if scale != 1.0:
            logits = logits * scale
        return softcap * torch.tanh(logits / softcap) if softcap else logits

    return head


@torch.no_grad()
def check_head(model: Any) -> None:
    """Compare `output_head` with the model's own logits on a few tokens.

    Raises:
        ModelError: They differ: the architecture does something to its logits we do not know.
    """
    ids = torch.arange(4, device=model.get_output_embeddings().weight.device)[None]
    own = model(input_ids=ids, use_cache=False).logits.float()
    ours = output_head(model)(model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state)
    tolerance = 1e-3 if model.dtype is torch.float32 else 5e-2
    if own.shape != ours.shape or not torch.allclose(own, ours, rtol=tolerance, atol=tolerance):
        raise ModelError(
            f"{type(model).__name__} changes its logits in a way the learner does not know; use a "
            "model of another architecture, or teach it to agentrl.learner.logprobs.output_head"
        )


def _read_off(logits: torch.Tensor, chosen: _Chosen, entropy_gradient: bool) -> Scores:
    restricted = chosen.counts > 0
    picked = logits.gather(1, chosen.targets[:, None])[:, 0]
    if not restricted.any():
        return _normalise(logits, picked, entropy_gradient)
    columns = torch.arange(chosen.allowed.shape[1], device=logits.device)
    outside = columns >= chosen.counts[:, None]
    sets = logits.gather(1, chosen.allowed).masked_fill(outside, _EXCLUDED)
    within = _normalise(sets, picked, entropy_gradient)
    if restricted.all():
        return within
    free = _normalise(logits, picked, entropy_gradient)
    return Scores(*(torch.where(restricted, a, b) for a, b in zip(within, free, strict=True)))


def _normalise(logits: torch.Tensor, picked: torch.Tensor, entropy_gradient: bool) -> Scores:
    total = logits.logsumexp(-1)
    with torch.set_grad_enabled(entropy_gradient and torch.is_grad_enabled()):
        expected = (logits - total[:, None]).exp().mul(logits).sum(-1)
        entropies = total - expected
    return Scores(picked - total, entropies)
