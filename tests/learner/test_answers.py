from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agentrl import credit, registry
from agentrl.answers import (
    AnswerBlock,
    AnswerWriter,
    EngineAnswerScorer,
    prefixes_of,
    score_answers,
    signal_of,
)
from agentrl.batch import Batch
from agentrl.config import DialogueConfig, LearnerConfig, PolicyConfig
from agentrl.dialogue.factory import build_dialogue
from agentrl.errors import EngineFault, ModelError
from agentrl.learner.answers import AnswerScorer
from agentrl.learner.policy import Policy, load_policy
from agentrl.trajectory import Outcome, Trajectory, Turn

MakeBatch = Callable[..., Batch]


def write(answer: str) -> AnswerBlock:
    """Return a block whose opener and answer are as long as the text says, such as `2 3`."""
    opener, length = map(int, answer.split())
    return AnswerBlock(
        np.arange(2, 2 + opener, dtype=np.int32), np.arange(9, 9 + length, dtype=np.int32)
    )


def answered(batch: Batch, answers: list[str | None]) -> Batch:
    filled = [answers[i % len(answers)] for i in range(batch.num_trajectories)]
    return replace(batch, answers=filled)


@torch.no_grad()
def naive(model: Any, batch: Batch, write: Any, context_length: int | None = None) -> np.ndarray:
    """One forward pass over each prefix and its answer, all logits."""
    found = prefixes_of(batch, write, context_length=context_length)
    scores = np.zeros(len(found))
    for index, block in enumerate(found.blocks):
        start, length = int(found.starts[index]), int(found.lengths[index])
        ids = np.concatenate([batch.token_ids[start : start + length], block.opener, block.answer])
        logits = model(torch.from_numpy(ids.astype(np.int64))[None], use_cache=False).logits[0]
        logprobs = logits.double().log_softmax(-1)
        first = len(ids) - len(block.answer)
        scores[index] = np.mean([logprobs[k - 1, ids[k]].item() for k in range(first, len(ids))])
    return signal_of(batch, found, scores)


def packed(policy: Policy, batch: Batch, write: Any = write, **settings: Any) -> np.ndarray:
    config = LearnerConfig(**settings.pop("config", {}))
    scorer = AnswerScorer(policy, config, write, **settings)
    assert scorer.provides == {"answer_logprob"}
    return scorer.measure(batch, {}, temperature=0.7)["answer_logprob"]


SETTINGS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "small packs": {"config": {"pack_tokens": 16}},
    "few copies at a time": {"max_mask": 64},
    "short context": {"context_length": 24},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("windowed", [False, True])
def test_equals_naive_scoring(
    policy: Policy, make_batch: MakeBatch, windowed: bool, settings: dict[str, Any]
) -> None:
    batch = make_batch(9, windowed=windowed, turns=(0, 9))
    batch = answered(batch, ["2 3", "1 1", None, "0 2", "3 5"])
    expected = naive(policy.model, batch, write, settings.get("context_length"))
    found = packed(policy, batch, **settings)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.isfinite(found).any()
    assert np.isnan(found).any()


def random_policy(kind: str, directory: Path, **settings: Any) -> Policy:
    import transformers

    torch.manual_seed(3)
    shape = {
        "vocab_size": 40,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.2,
    }
    config = getattr(transformers, f"{kind}Config")(**shape | settings)
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    return Policy(model, None, str(directory))


@pytest.mark.parametrize("kind", ["Llama", "Qwen2", "Qwen3", "Mistral", "Phi3", "Gemma"])
def test_other_architectures(kind: str, make_batch: MakeBatch, tmp_path: Path) -> None:
    settings = {"pad_token_id": 0} if kind == "Phi3" else {}
    policy = random_policy(kind, tmp_path, **settings)
    batch = answered(make_batch(6, turns=(1, 9)), ["2 3", "4 2"])
    np.testing.assert_allclose(packed(policy, batch), naive(policy.model, batch, write), atol=1e-5)


def test_eager_attention(make_batch: MakeBatch, tmp_path: Path) -> None:
    policy = random_policy("Llama", tmp_path)
    policy.model.set_attn_implementation("eager")
    batch = answered(make_batch(6), ["2 3", "0 1"])
    np.testing.assert_allclose(packed(policy, batch), naive(policy.model, batch, write), atol=1e-5)


def test_autocast_is_close(policy: Policy, make_batch: MakeBatch) -> None:
    batch = answered(make_batch(6), ["2 3"])
    exact = packed(policy, batch)
    rough = packed(policy, batch, config={"autocast": True})
    np.testing.assert_allclose(rough, exact, atol=0.2)
    assert not np.array_equal(rough, exact, equal_nan=True)


def test_adapters_count(model_dir: Path, make_batch: MakeBatch) -> None:
    policy = load_policy(PolicyConfig(model=str(model_dir), lora_rank=2))
    batch = answered(make_batch(6), ["2 3"])
    before = packed(policy, batch)
    with torch.no_grad():
        for parameter in policy.trainable().values():
            parameter.normal_(std=0.5)
    after = packed(policy, batch)
    assert np.nanmax(np.abs(after - before)) > 0.01
    np.testing.assert_allclose(after, naive(policy.base, batch, write), atol=1e-5)


def test_recomputed_activations_do_not_matter(policy: Policy, make_batch: MakeBatch) -> None:
    batch = answered(make_batch(6), ["2 3"])
    expected = packed(policy, batch)
    policy.model.gradient_checkpointing_enable({"use_reentrant": False})
    policy.model.train()
    np.testing.assert_allclose(packed(policy, batch), expected, atol=1e-6)
    assert policy.model.training


def test_no_gradients_are_kept(policy: Policy, make_batch: MakeBatch) -> None:
    packed(policy, answered(make_batch(3), ["2 3"]))
    assert all(parameter.grad is None for parameter in policy.model.parameters())


@pytest.mark.parametrize("answers", [[None], ["2 0"]])
def test_nothing_to_score(policy: Policy, make_batch: MakeBatch, answers: list[Any]) -> None:
    batch = answered(make_batch(3), answers)
    assert np.isnan(packed(policy, batch)).all()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("Mistral", {"sliding_window": 8}),
        ("Qwen2", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}),
        ("GPTNeo", {"attention_types": [[["global", "local", "local"], 1]], "num_layers": 3}),
    ],
)
def test_windows_are_refused(kind: str, settings: dict[str, Any], tmp_path: Path) -> None:
    policy = random_policy(kind, tmp_path, **settings)
    with pytest.raises(ModelError, match=r"whole prefix.*answer\.scorer=engine"):
        AnswerScorer(policy, LearnerConfig(), write)


def test_a_window_wider_than_the_context_is_none(make_batch: MakeBatch, tmp_path: Path) -> None:
    policy = random_policy("Mistral", tmp_path, sliding_window=256)
    batch = answered(make_batch(4), ["2 3"])
    np.testing.assert_allclose(packed(policy, batch), naive(policy.model, batch, write), atol=1e-5)


def test_a_model_that_does_not_heed_the_mask_is_refused(tmp_path: Path) -> None:
    policy = random_policy("Llama", tmp_path)
    decoder = policy.model.get_decoder()
    run = decoder.forward
    decoder.forward = lambda *args, attention_mask=None, **named: run(*args, **named)
    with pytest.raises(ModelError, match=r"answer\.scorer=engine"):
        AnswerScorer(policy, LearnerConfig(), write)


def test_a_model_that_takes_no_such_arguments_is_refused(tmp_path: Path) -> None:
    policy = random_policy("Llama", tmp_path)

    def forward(input_ids: torch.Tensor) -> None: ...

    policy.model.get_decoder().forward = forward
    with pytest.raises(ModelError, match=r"cannot score answers packed.*answer\.scorer=engine"):
        AnswerScorer(policy, LearnerConfig(), write)


@pytest.fixture(scope="module")
def tiny() -> Policy:
    return load_policy(PolicyConfig(model="tiny"))


@pytest.fixture(scope="module")
def played(tiny: Policy) -> Batch:
    """Questions searched and answered by the expert, in the tiny policy's own ids."""
    from agentrl.engines.base import Completion

    env = registry.make("searchqa", expert=True)
    dialogues = build_dialogue(tiny.tokenizer, DialogueConfig(), 4096)
    episodes = []
    for number in range(4):
        dialogue, turns, done = dialogues(), [], False
        observation, info = env.reset(seed=number)
        while not done:
            dialogue.observe(observation, info)
            prompt = dialogue.prompt()
            assert prompt is not None
            codec = dialogues.codec
            said = np.append(codec.encode(info["expert_action"]), codec.eos).astype(np.int32)
            reply = dialogue.receive(Completion(said, np.zeros(len(said), np.float32), "stop", 0))
            turns.append(
                Turn(observation, reply.action, prompt_ids=prompt.new_ids, response_ids=said,
                     starts_segment=prompt.starts_segment)
            )  # fmt: skip
            observation, _, terminated, truncated, info = env.step(reply.action)
            done = terminated or truncated
        episodes.append(
            Trajectory(f"t{number}", "g", "x", turns, Outcome.SUCCESS, answer=info["answer"])
        )
    return Batch.from_trajectories(episodes)


async def test_learner_engine_and_naive_scoring_agree_on_the_tiny_policy(
    tiny: Policy, played: Batch
) -> None:
    from agentrl.engines.transformers import TransformersEngine

    writer = AnswerWriter(tiny.tokenizer, "answer[{answer}]")
    expected = naive(tiny.model, played, writer)
    np.testing.assert_allclose(packed(tiny, played, writer), expected, atol=1e-5)
    engine = TransformersEngine(tiny.model, max_batch=8)
    try:
        found = await EngineAnswerScorer(engine, writer).measure(played, {}, temperature=0.5)
    finally:
        await engine.close()
    np.testing.assert_allclose(found["answer_logprob"], expected, atol=1e-5)
    # The expert has seen the answer when it gives it, and IGPO can tell.
    values = credit.assign(played, ["grpo", "igpo"], found)
    assert np.isfinite(values).all()
    assert expected[played.turn_offsets[1:] - 1, 0].mean() > expected[:, 0].mean()


class Counting:
    """An engine that scores -1, 0, -1, 0, … and notes how many calls run at once."""

    context_length = 64

    def __init__(self, fail_at: int | None = None) -> None:
        self.calls = self.running = self.most = 0
        self.fail_at = fail_at

    async def score(self, ids: np.ndarray) -> np.ndarray:
        import asyncio

        self.calls += 1
        if self.calls == self.fail_at:
            raise EngineFault("the engine died")
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        return -(np.arange(len(ids) - 1, 0, -1) % 2).astype(np.float32)


async def test_an_engine_gets_a_bounded_number_of_calls(make_batch: MakeBatch) -> None:
    batch = answered(make_batch(9), ["2 4"])
    engine: Any = Counting()
    found = (await score_answers(engine, batch, write, concurrency=3))["answer_logprob"]
    assert engine.most == 3
    assert engine.calls == np.isfinite(found[:, 0]).sum() == batch.num_turns
    assert set(found[:, 0]) == {-0.5}


async def test_a_dying_engine_is_reported_as_such(make_batch: MakeBatch) -> None:
    batch = answered(make_batch(9), ["2 4"])
    engine: Any = Counting(fail_at=4)
    with pytest.raises(EngineFault, match="died"):
        await score_answers(engine, batch, write, concurrency=3)


async def test_an_engine_is_asked_nothing_without_answers(make_batch: MakeBatch) -> None:
    engine: Any = Counting()
    found = await score_answers(engine, answered(make_batch(2), [None]), write)
    assert engine.calls == 0
    assert np.isnan(found["answer_logprob"]).all()
