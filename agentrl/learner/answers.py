"""The belief in the reference answer, measured by the learner in one packed pass.

A row is a trajectory segment followed by one copy of the answer block for each of its prefixes.
Copy k sees the prefix n_k tokens long and itself, and its positions go on from n_k:

    keys      segment 0 … N - 1             copy 1 │ copy 2 │ …
    copy k    visible where key < n_k       visible where the key is an earlier token of copy k

The segment runs through the fast causal kernels and leaves its keys and values; only the copies'
own tokens need the mask, [rows, 1, copies, N + copies]. That equals scoring each prefix by itself.
Source: the vectorised scoring of IGPO, arXiv 2510.14967.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from agentrl.answers.prefixes import Prefixes, Write, prefixes_of, signal_of
from agentrl.batch import Batch, Floats, Ints
from agentrl.config import LearnerConfig
from agentrl.errors import ModelError
from agentrl.learner.logprobs import score_hidden
from agentrl.learner.packing import cut_rows
from agentrl.learner.policy import Policy
from agentrl.trajectory import Signals

MAX_MASK = 1 << 25
"""Most entries of an attention mask (as float32: 128 MiB)."""

_MEND = "set answer.scorer=engine, which scores prefix by prefix"


class AnswerScorer:
    """Gives the signal `answer_logprob`; a `SignalSource`."""

    provides: frozenset[str] = frozenset({"answer_logprob"})

    def __init__(
        self,
        policy: Policy,
        config: LearnerConfig,
        write: Write,
        *,
        context_length: int | None = None,
        max_mask: int = MAX_MASK,
    ) -> None:
        """Prepare to score.

        Args:
            policy: Its weights at the time of scoring are used.
            config: `pack_tokens` and `autocast` count.
            write: Returns the block of an answer, as `AnswerWriter` does.
            context_length: Most ids of a prefix and its answer; None: the model's own limit.
            max_mask: Bound on the entries of an attention mask; one copy a row is the least.

        Raises:
            ModelError: The model cannot be scored in this way.
        """
        self._policy = policy
        self._config = config
        self._write = write
        settings = policy.base.config.get_text_config()
        own = getattr(settings, "max_position_embeddings", None)
        self._context_length = context_length if context_length is not None else own
        self._max_mask = max_mask
        _refuse_local_attention(policy.base, settings, self._context_length)
        self._check_packing()

    def measure(self, batch: Batch, known: Signals, *, temperature: float) -> Signals:
        """Return the signal; beliefs are measured at temperature 1 whatever was sampled at."""
        del known, temperature
        prefixes = prefixes_of(batch, self._write, context_length=self._context_length)
        return {"answer_logprob": signal_of(batch, prefixes, self.score(batch, prefixes))}

    @torch.no_grad()
    def score(self, batch: Batch, prefixes: Prefixes) -> Floats:
        """Return the mean log-probability of each prefix's answer, shape [prefixes]."""
        scores = np.full(len(prefixes), np.nan)
        rows = _rows(batch, prefixes)
        widths = np.array([row.width + sum(map(len, row.copies)) for row in rows], np.int64)
        order = np.argsort(-widths, kind="stable")
        with _evaluating(self._policy, autocast=self._config.autocast):
            for chosen in cut_rows(order, widths, self._config.pack_tokens):
                self._score_rows([rows[index] for index in chosen.tolist()], scores)
        return scores

    def _score_rows(self, rows: list[_Row], scores: Floats) -> None:
        """Score all copies of a pack of rows, as many at a time as the mask may hold."""
        from transformers import DynamicCache

        width = max(row.width for row in rows)
        longest = max(len(copy) for row in rows for copy in row.copies)
        most = max(len(row.copies) for row in rows)
        at_a_time = most
        while at_a_time > 1 and self._mask_size(rows, width, at_a_time * longest) > self._max_mask:
            at_a_time = (at_a_time + 1) // 2
        decoder, device = self._policy.base.get_decoder(), self._policy.device
        cache = DynamicCache()
        if width:
            segments = np.zeros((len(rows), width), np.int64)
            for segment, row in zip(segments, rows, strict=True):
                segment[: row.width] = row.ids
            decoder(
                input_ids=torch.from_numpy(segments).to(device),
                past_key_values=cache,
                use_cache=True,
            )
        for first in range(0, most, at_a_time):
            queries = _queries([row.copies[first : first + at_a_time] for row in rows])
            hidden = decoder(
                input_ids=torch.from_numpy(queries.ids).to(device),
                position_ids=torch.from_numpy(queries.positions).to(device),
                attention_mask=self._mask(queries, width),
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state
            cache.crop(-queries.ids.shape[1])
            self._read(hidden, queries, scores)

    @staticmethod
    def _mask_size(rows: list[_Row], width: int, queries: int) -> int:
        return len(rows) * queries * (width + queries)

    def _mask(self, queries: _Queries, width: int) -> torch.Tensor:
        """Return who sees whom, shape [rows, 1, queries, width + queries].

        Every query sees itself, those that are padding too: a row of nothing is not a number.
        """
        device = self._policy.device
        visible = torch.from_numpy(queries.visible).to(device)
        copies = torch.from_numpy(queries.copies).to(device)
        on_segment = torch.arange(width, device=device) < visible[:, :, None]
        on_copies = (copies[:, :, None] == copies[:, None, :]).tril()
        mask = torch.cat((on_segment, on_copies), 2)[:, None]
        config = self._policy.base.config.get_text_config()
        if config._attn_implementation == "sdpa":
            return mask
        kind = self._policy.base.dtype
        hidden = torch.zeros(mask.shape, dtype=kind, device=device)
        return hidden.masked_fill_(~mask, torch.finfo(kind).min)

    def _read(self, hidden: torch.Tensor, queries: _Queries, scores: Floats) -> None:
        device = hidden.device
        wanted = hidden.flatten(0, 1).index_select(0, torch.from_numpy(queries.wanted).to(device))
        targets = torch.from_numpy(queries.targets).to(device)
        logprobs = score_hidden(self._policy.base, wanted, targets).double().cpu().numpy()
        ends = np.flatnonzero(np.diff(queries.prefixes, append=-1)) + 1
        starts = np.concatenate([[0], ends[:-1]])
        means = np.add.reduceat(logprobs, starts) / (ends - starts)
        scores[queries.prefixes[starts]] = means

    @torch.no_grad()
    def _check_packing(self) -> None:
        """Compare packed scores of a few tokens with plain forward passes.

        Raises:
            ModelError: They differ: the architecture does not heed mask or positions as we think.
        """
        ids, answer = np.arange(8) % 4, np.array([1, 2])
        copies = [_Copy(index, length, answer, answer) for index, length in enumerate((3, 8))]
        packed, plain = np.empty(2), np.empty(2)
        model = self._policy.base
        with _evaluating(self._policy, autocast=False):
            try:
                self._score_rows([_Row(ids, copies)], packed)
            # Architectures raise whatever they like for arguments they do not know.
            except Exception as error:
                reason = " ".join(str(error).split())[:200]
                raise ModelError(
                    f"{type(model).__name__} cannot score answers packed ({reason}); {_MEND}"
                ) from error
            for copy in copies:
                whole = np.concatenate([ids[: copy.visible], answer])[None]
                logits = model(torch.from_numpy(whole).to(self._policy.device), use_cache=False)
                logprobs = logits.logits[0, copy.visible :].float().log_softmax(-1)
                plain[copy.prefix] = float(logprobs[[0, 1], answer].mean())
        tolerance = 1e-3 if model.dtype is torch.float32 else 5e-2
        if not np.allclose(packed, plain, rtol=tolerance, atol=tolerance):
            raise ModelError(
                f"{type(model).__name__} does not score packed answers as it does plain ones; "
                f"{_MEND}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Copy:
    """An answer block behind one prefix."""

    prefix: int
    visible: int
    """Tokens of the segment that it sees; its positions go on from there."""
    ids: npt.NDArray[Any]
    """What is read: the last id of the answer is only predicted."""
    targets: npt.NDArray[Any]
    """The answer: what the last `len(targets)` ids predict."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """A segment up to its longest prefix, and the copies behind its prefixes."""

    ids: npt.NDArray[Any]
    copies: list[_Copy]

    @property
    def width(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class _Queries:
    """The copies of a pack, side by side; arrays of shape [rows, queries] where nothing is said."""

    ids: Ints
    positions: Ints
    visible: Ints
    """Tokens of the segment that each query sees."""
    copies: Ints
    """Which copy of its row each query belongs to; -1: padding."""
    wanted: Ints
    """Flat positions that predict tokens of answers. Shape [targets]."""
    targets: Ints
    """Their ids. Shape [targets]."""
    prefixes: Ints
    """Which prefix each target stands behind. Shape [targets]."""


def _rows(batch: Batch, prefixes: Prefixes) -> list[_Row]:
    """Return a row for each segment that has prefixes."""
    bounds = np.flatnonzero(np.diff(prefixes.starts, prepend=-1, append=-1))
    rows = []
    for first, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        start, width = int(prefixes.starts[first]), int(prefixes.lengths[first:end].max())
        ids = batch.token_ids[start : start + width]
        copies = [_copy(index, ids, prefixes) for index in range(first, end)]
        rows.append(_Row(ids[: max(copy.visible for copy in copies)], copies))
    return rows


def _copy(index: int, ids: npt.NDArray[Any], prefixes: Prefixes) -> _Copy:
    length, block = int(prefixes.lengths[index]), prefixes.blocks[index]
    # Without an opener the prefix's own last token predicts the answer: it is read in the copy.
    lead = 0 if len(block.opener) else 1
    read = np.concatenate([ids[length - lead : length], block.opener, block.answer[:-1]])
    return _Copy(index, length - lead, read, block.answer)


def _queries(rows: list[list[_Copy]]) -> _Queries:
    width = max(sum(map(len, copies)) for copies in rows)
    ids, positions, visible = (np.zeros((len(rows), width), np.int64) for _ in range(3))
    of_copy = np.full((len(rows), width), -1, np.int64)
    wanted, targets, prefixes = [], [], []
    for row, copies in enumerate(rows):
        place = 0
        for number, copy in enumerate(copies):
            end = place + len(copy)
            ids[row, place:end] = copy.ids
            positions[row, place:end] = copy.visible + np.arange(len(copy))
            visible[row, place:end] = copy.visible
            of_copy[row, place:end] = number
            wanted.append(row * width + np.arange(end - len(copy.targets), end))
            targets.append(copy.targets)
            prefixes.append(np.full(len(copy.targets), copy.prefix))
            place = end
    return _Queries(
        ids,
        positions,
        visible,
        of_copy,
        np.concatenate(wanted),
        np.concatenate(targets).astype(np.int64),
        np.concatenate(prefixes),
    )


@contextmanager
def _evaluating(policy: Policy, *, autocast: bool) -> Iterator[None]:
    """Switch to evaluation: in training mode, activation checkpointing keeps no keys and values."""
    was_training = policy.base.training
    policy.base.eval()
    try:
        with torch.autocast(policy.device.type, torch.bfloat16, enabled=autocast):
            yield
    finally:
        policy.base.train(was_training)


def _refuse_local_attention(model: Any, settings: Any, context_length: int | None) -> None:
    """Raise `ModelError` where some layers do not see the whole prefix."""
    kinds = set(getattr(settings, "layer_types", None) or ())
    kinds.update(getattr(settings, "attention_layers", None) or ())
    window = getattr(settings, "sliding_window", None)
    if window is not None and not getattr(settings, "use_sliding_window", True):
        window = None
    is_wide = window is None or (context_length is not None and window >= context_length)
    if is_wide and kinds <= {"full_attention", "sliding_attention", "global"}:
        return
    raise ModelError(
        f"{type(model).__name__} has layers that do not attend to the whole prefix, so answers "
        f"cannot be scored packed; {_MEND}"
    )
