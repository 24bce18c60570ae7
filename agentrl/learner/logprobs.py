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
"""Most logits kept at a time for a backward pass (float32: 512 MiB)."""

MAX_READ_LOGITS = 1 << 24
"""Most logits made at a time where no gradient is wanted (float32: 64 MiB)."""

_CACHED_LOGITS = 1 << 18
"""Logits that are normalised together on a CPU (float32: 1 MiB)."""

_EXCLUDED = -1e9
"""Stands in for -inf, whose product with a probability of 0 is not a number."""


class Scores(NamedTuple):
    """One value per wanted token, float32, shape [wanted]."""

    logprobs: torch.Tensor
    entropies: torch.Tensor
    """Not a number where they were not asked for."""


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
    entropy: bool = True,
    entropy_gradient: bool = False,
    max_logits: int | None = None,
) -> Scores:
    """Return log-probability and entropy of every wanted token of a pack.

    Args:
        model: A transformers causal language model.
        pack: Rows and wanted positions.
        temperature: Divides the logits, as when sampling.
        entropy: Whether entropies are wanted.
        entropy_gradient: Whether entropies carry gradients.
        max_logits: Bound on the size of any tensor over the vocabulary; None: `MAX_LOGITS`, or
            `MAX_READ_LOGITS` where gradients are off.
    """
    device = model.get_output_embeddings().weight.device
    ids = torch.from_numpy(pack.ids).to(device)
    hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
    hidden = hidden.flatten(0, 1).index_select(0, torch.from_numpy(pack.positions).to(device))
    chosen = _Chosen(
        *(torch.from_numpy(a).to(device) for a in (pack.targets, pack.allowed, pack.allowed_counts))
    )
    return _score(
        model, hidden, chosen, _Reading(temperature, entropy, entropy_gradient, max_logits)
    )


@torch.no_grad()
def score_hidden(model: Any, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return log-probabilities at temperature 1 under the whole vocabulary, shape [wanted].

    Args:
        model: A transformers causal language model.
        hidden: Its last hidden states where they predict targets, shape [wanted, width].
        targets: Ids, shape [wanted].
    """
    nothing = torch.zeros((len(targets), 0), dtype=torch.long, device=targets.device)
    chosen = _Chosen(targets, nothing, torch.zeros_like(targets))
    return _score(model, hidden, chosen, _Reading(entropy=False)).logprobs


class _Reading(NamedTuple):
    """How logits are read."""

    temperature: float = 1.0
    entropy: bool = True
    entropy_gradient: bool = False
    max_logits: int | None = None


def _score(model: Any, hidden: torch.Tensor, chosen: _Chosen, reading: _Reading) -> Scores:
    """Read hidden states in chunks of positions."""
    head = output_head(model)
    with_gradient = torch.is_grad_enabled()

    def read(part: torch.Tensor, *columns: torch.Tensor) -> Scores:
        logits = head(part)
        if reading.temperature != 1.0:
            logits = (
                logits / reading.temperature if with_gradient else logits.div_(reading.temperature)
            )
        return _read_off(logits, _Chosen(*columns), reading)

    limit = reading.max_logits or (MAX_LOGITS if with_gradient else MAX_READ_LOGITS)
    rows = max(1, limit // model.config.get_text_config().vocab_size)
    if len(hidden) <= rows:
        return read(hidden, *chosen)
    chunks = [
        tuple(column[i : i + rows] for column in (hidden, *chosen))
        for i in range(0, len(hidden), rows)
    ]
    parts = [
        checkpoint(read, *chunk, use_reentrant=False) if with_gradient else read(*chunk)
        for chunk in chunks
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


def _read_off(logits: torch.Tensor, chosen: _Chosen, reading: _Reading) -> Scores:
    """Return scores; logits may be overwritten where gradients are off."""
    restricted = chosen.counts > 0
    picked = logits.gather(1, chosen.targets[:, None])[:, 0]
    if not restricted.any():
        return _normalise(logits, picked, reading)
    columns = torch.arange(chosen.allowed.shape[1], device=logits.device)
    outside = columns >= chosen.counts[:, None]
    sets = logits.gather(1, chosen.allowed).masked_fill(outside, _EXCLUDED)
    within = _normalise(sets, picked, reading)
    if restricted.all():
        return within
    free = _normalise(logits, picked, reading)
    return Scores(*(torch.where(restricted, a, b) for a, b in zip(within, free, strict=True)))


def _normalise(logits: torch.Tensor, picked: torch.Tensor, reading: _Reading) -> Scores:
    if not torch.is_grad_enabled():
        return _normalise_in_place(logits, picked, reading.entropy)
    total = logits.logsumexp(-1)
    logprobs = picked - total
    if not reading.entropy:
        return Scores(logprobs, torch.full_like(logprobs, torch.nan))
    with torch.set_grad_enabled(reading.entropy_gradient):
        weights = (logits - total[:, None]).exp_()
        expected = weights * logits if reading.entropy_gradient else weights.mul_(logits)
        return Scores(logprobs, total - expected.sum(-1))


def _normalise_in_place(logits: torch.Tensor, picked: torch.Tensor, entropy: bool) -> Scores:
    """Normalise a few rows at a time, which stay in the processor's cache, in place.

    with x = z - max z, w = exp x, W = sum w:    entropy = log W - (w . x) / W
    """
    rows = max(1, _CACHED_LOGITS // logits.shape[1]) if logits.device.type == "cpu" else len(logits)
    highest = logits.new_empty(len(logits))
    weight, expected = torch.empty_like(highest), torch.full_like(highest, torch.nan)
    spare = torch.empty_like(logits[:rows]) if entropy else None
    for first in range(0, len(logits), rows):
        part = slice(first, first + rows)
        block = logits[part]
        highest[part] = block.amax(-1)
        block.sub_(highest[part, None])
        weights = block.exp_() if spare is None else torch.exp(block, out=spare[: len(block)])
        weight[part] = weights.sum(-1)
        if spare is not None:
            expected[part] = weights.mul_(block).sum(-1)
    total = weight.log()
    return Scores(picked - highest - total, total - expected / weight)
