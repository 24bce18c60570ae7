from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch

from agentrl.batch import Batch
from agentrl.errors import ModelError
from agentrl.learner.logprobs import check_head, score
from agentrl.learner.packing import Pack, decision_tokens, pack, segment_bounds
from agentrl.learner.policy import Policy

MakeBatch = Callable[..., Batch]


class FixedLogits(torch.nn.Module):
    """A model whose logits are given: the hidden state at id i is row i of a table."""

    class Config:
        vocab_size = 4

        def get_text_config(self) -> object:
            return self

    config = Config()

    def __init__(self, table: list[list[float]]) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.tensor(table))
        self.head = torch.nn.Linear(4, 4, bias=False)
        self.head.weight.data = torch.eye(4)

    def get_output_embeddings(self) -> torch.nn.Module:
        return self.head

    def get_decoder(self) -> Callable[..., object]:
        class Output:
            last_hidden_state: torch.Tensor

        def run(input_ids: torch.Tensor, use_cache: bool) -> Output:
            output = Output()
            output.last_hidden_state = self.table[input_ids]
            return output

        return run


def single(target: int, allowed: list[int]) -> Pack:
    return Pack(
        np.array([[0]]),
        np.array([0]),
        np.array([1]),
        np.array([target]),
        np.array([allowed], np.int64).reshape(1, -1),
        np.array([len(allowed)]),
    )


@pytest.mark.parametrize(
    ("temperature", "allowed", "probabilities"),
    [
        (1.0, [], [1 / 10, 2 / 10, 3 / 10, 4 / 10]),
        (0.5, [], [1 / 30, 4 / 30, 9 / 30, 16 / 30]),
        (1.0, [1, 3], [0, 2 / 6, 0, 4 / 6]),
        (0.5, [0, 1, 2], [1 / 14, 4 / 14, 9 / 14, 0]),
    ],
)
def test_by_hand(temperature: float, allowed: list[int], probabilities: list[float]) -> None:
    model = FixedLogits([[math.log(n) for n in (1, 2, 3, 4)]])
    entropy = -sum(p * math.log(p) for p in probabilities if p)
    for target in allowed or range(4):
        with torch.no_grad():
            found = score(model, single(target, allowed), temperature=temperature)
        assert float(found.logprobs) == pytest.approx(math.log(probabilities[target]), abs=1e-6)
        assert float(found.entropies) == pytest.approx(entropy, abs=1e-6)


def brute_force(policy: Policy, batch: Batch, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """One forward pass per segment over all logits, sets applied token by token."""
    logprobs, entropies = np.zeros(batch.num_tokens), np.zeros(batch.num_tokens)
    sets = np.split(batch.allowed_ids, np.cumsum(batch.allowed_counts)[:-1])
    for start, end in zip(*segment_bounds(batch), strict=True):
        ids = torch.from_numpy(batch.token_ids[start:end].astype(np.int64))
        logits = policy.model(ids[None]).logits[0].double() / temperature
        for k in range(1, end - start):
            token = start + k
            if not batch.sampled[token]:
                continue
            inside = sets[token] if len(sets[token]) else np.arange(logits.shape[1])
            row = torch.full_like(logits[0], -torch.inf)
            row[inside] = logits[k - 1, inside]
            distribution = torch.distributions.Categorical(logits=row[inside])
            logprobs[token] = row.log_softmax(-1)[ids[k]].item()
            entropies[token] = distribution.entropy().item()
    return logprobs, entropies


@pytest.mark.parametrize("restricted", [False, True, None])
@pytest.mark.parametrize("max_logits", [1 << 20, 24 * 5])
def test_against_brute_force(
    policy: Policy, make_batch: MakeBatch, restricted: bool | None, max_logits: int
) -> None:
    batch = make_batch(5, restricted=bool(restricted))
    if restricted is None:
        free, bound = make_batch(3, seed=1), make_batch(3, seed=2, restricted=True)
        batch = join(free, bound)
    with torch.no_grad():
        logprobs, entropies = brute_force(policy, batch, 0.8)
    wanted = decision_tokens(batch)
    for rows in pack(batch, wanted, pack_tokens=512):
        found = score(policy.model, rows, temperature=0.8, max_logits=max_logits)
        np.testing.assert_allclose(found.logprobs.detach(), logprobs[rows.tokens], atol=2e-5)
        np.testing.assert_allclose(found.entropies.detach(), entropies[rows.tokens], atol=2e-5)
        wanted[rows.tokens] = False
    assert not wanted.any()
    # What is no decision has probability 1.
    np.testing.assert_allclose(logprobs[~decision_tokens(batch)], 0, atol=1e-6)


def join(first: Batch, second: Batch) -> Batch:
    """Return both batches' turns in one batch of one trajectory per turn."""
    from agentrl.trajectory import Allowed, Outcome, Trajectory, Turn

    episodes = []
    for batch in (first, second):
        sets = np.concatenate([[0], np.cumsum(batch.allowed_counts)])
        for t in range(batch.num_turns):
            part = slice(batch.token_offsets[t], batch.token_offsets[t + 1])
            drawn = batch.sampled[part]
            counts = batch.allowed_counts[part][drawn]
            ids = batch.allowed_ids[sets[part.start] : sets[part.stop]]
            turn = Turn(
                "",
                "",
                prompt_ids=batch.token_ids[part][~drawn],
                response_ids=batch.token_ids[part][drawn],
                logprobs=batch.logprobs[part][drawn],
                allowed=Allowed(ids, counts) if counts.any() else None,
            )
            episodes.append(Trajectory(str(len(episodes)), "g", "t", [turn], Outcome.SUCCESS))
    return Batch.from_trajectories(episodes)


def test_chunks_give_the_same_gradients(policy: Policy, make_batch: MakeBatch) -> None:
    batch = make_batch(4, restricted=True)
    rows = pack(batch, decision_tokens(batch), pack_tokens=1 << 20)[0]
    found = []
    for max_logits in (1 << 20, 24 * 3):
        policy.model.zero_grad()
        scores = score(
            policy.model, rows, temperature=1.0, entropy_gradient=True, max_logits=max_logits
        )
        (scores.logprobs.sum() + 0.3 * scores.entropies.square().sum()).backward()
        found.append({n: p.grad.clone() for n, p in policy.trainable().items()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=1e-5, atol=1e-5)


def test_entropy_carries_gradients_only_when_asked(policy: Policy, make_batch: MakeBatch) -> None:
    batch = make_batch(2)
    rows = pack(batch, decision_tokens(batch), pack_tokens=512)[0]
    assert not score(policy.model, rows, temperature=1.0).entropies.requires_grad
    assert score(policy.model, rows, temperature=1.0, entropy_gradient=True).entropies.requires_grad


@pytest.mark.parametrize("family", ["Gemma2", "Granite", "Cohere", "Qwen3"])
def test_head_knows_the_families_that_scale_their_logits(family: str) -> None:
    import transformers

    torch.manual_seed(0)
    settings = {
        "vocab_size": 16,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "initializer_range": 2.0,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 1,
    }
    extra = {
        "Gemma2": {"final_logit_softcapping": 2.0},
        "Granite": {"logits_scaling": 3.0},
        "Cohere": {"logit_scale": 0.25},
    }.get(family, {})
    config = getattr(transformers, f"{family}Config")(**settings, **extra)
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    check_head(model)


def test_an_unknown_head_is_refused(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = type(policy.model).forward

    def odd(self: object, *args: object, **kwargs: object) -> object:
        output = forward(self, *args, **kwargs)
        output.logits = output.logits * 2
        return output

    monkeypatch.setattr(type(policy.model), "forward", odd)
    with pytest.raises(ModelError, match="LlamaForCausalLM"):
        check_head(policy.model)


@pytest.mark.parametrize("with_gradient", [False, True])
def test_entropies_only_where_they_are_wanted(
    policy: Policy, make_batch: MakeBatch, with_gradient: bool
) -> None:
    batch = make_batch(4)
    (rows,) = pack(batch, decision_tokens(batch), pack_tokens=1 << 20)[:1]
    with torch.set_grad_enabled(with_gradient):
        full = score(policy.model, rows, temperature=0.8)
        found = score(policy.model, rows, temperature=0.8, entropy=False)
    torch.testing.assert_close(found.logprobs, full.logprobs)
    assert found.entropies.isnan().all()
    assert full.entropies.isfinite().all()


@pytest.mark.parametrize("entropy", [False, True])
def test_no_tensor_over_tokens_and_vocabulary_is_ever_made(
    policy: Policy,
    make_batch: MakeBatch,
    monkeypatch: pytest.MonkeyPatch,
    entropy: bool,
) -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    batch = make_batch(12, turns=(4, 6))
    rows = pack(batch, decision_tokens(batch), pack_tokens=1 << 20)[0]
    vocabulary, width = policy.model.config.vocab_size, policy.model.config.hidden_size
    limit = 4 * vocabulary
    monkeypatch.setattr("agentrl.learner.logprobs.MAX_READ_LOGITS", limit)
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(
            self,
            function: Callable[..., Any],
            types: Iterable[type],
            arguments: tuple[Any, ...] = (),
            named: dict[str, Any] | None = None,
        ) -> Any:
            nonlocal largest
            result = function(*arguments, **(named or {}))
            is_over_vocabulary = getattr(result, "shape", ())[-1:] == (vocabulary,)
            if is_over_vocabulary and result.shape != (width, vocabulary):  # the head itself
                largest = max(largest, result.numel())
            return result

    with torch.no_grad(), Watch():
        score(policy.model, rows, temperature=0.8, entropy=entropy)
    assert 0 < largest <= limit < len(rows.targets) * vocabulary
