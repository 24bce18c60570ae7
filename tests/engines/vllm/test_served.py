"""What only a real server can show: that weights and probabilities are the learner's."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from agentrl.config import build_config
from agentrl.engines.base import Request, Sampling
from agentrl.engines.vllm.client import VllmClient
from agentrl.engines.vllm.engine import VllmEngine
from agentrl.errors import ConfigError, EngineFault

LONG = np.arange(200, dtype=np.int32) % 64
"""Longer than a block of the prefix cache on a CPU."""


def plain_logprobs(served: Any, engine: Any, ids: np.ndarray) -> np.ndarray:
    rows = torch.from_numpy(served.logits(engine, ids)).log_softmax(-1).numpy()
    return rows[np.arange(len(ids) - 1), ids[1:]]


async def test_after_an_update_probabilities_are_the_learners(served_vllm) -> None:
    engine = served_vllm.build()
    request = Request(LONG, Sampling(max_tokens=8, seed=3), "s/0")
    for version in range(2, 5):
        await engine.load_weights(version, dict(served_vllm.model(version).state_dict()))
        completion = await engine.generate(request)
        ids = np.concatenate([LONG, completion.token_ids])
        plain = plain_logprobs(served_vllm, engine, ids)
        np.testing.assert_allclose(completion.logprobs, plain[len(LONG) - 1 :], atol=1e-4)
        np.testing.assert_allclose(await engine.score(ids), plain, atol=1e-4)
        assert completion.policy_version == version
    await engine.close()


async def test_a_stale_prefix_cache_would_be_caught(served_vllm, monkeypatch) -> None:
    control = VllmClient.control

    async def keeping(client: VllmClient, path: str, body: Any = None, **parameters: Any) -> Any:
        return await control(client, path, body, **parameters | {"clear_cache": "false"})

    engine = served_vllm.build()
    request = Request(LONG, Sampling(max_tokens=8, seed=3), "s/0")
    await engine.generate(request)
    monkeypatch.setattr(VllmClient, "control", keeping)
    await engine.load_weights(2, dict(served_vllm.model(2).state_dict()))
    completion = await engine.generate(request)
    ids = np.concatenate([LONG, completion.token_ids])
    plain = plain_logprobs(served_vllm, engine, ids)[len(LONG) - 1 :]
    assert np.abs(completion.logprobs - plain).max() > 1e-2
    await engine.close()


async def test_a_sequence_as_long_as_the_context_is_scored(served_vllm) -> None:
    engine = served_vllm.build()
    ids = np.random.default_rng(0).integers(0, 64, engine.context_length).astype(np.int32)
    plain = plain_logprobs(served_vllm, engine, ids)
    np.testing.assert_allclose(await engine.score(ids), plain, atol=1e-4)
    await engine.close()


async def test_many_long_prompts_with_seeds_at_once(served_vllm) -> None:
    """More than one step's worth: vLLM 0.32 on a CPU died where it read a prompt in two."""
    engine = served_vllm.build()
    rng = np.random.default_rng(1)
    prompts = [rng.integers(0, 64, 200).astype(np.int32) for _ in range(64)]
    requests = [Request(ids, Sampling(max_tokens=4, seed=i)) for i, ids in enumerate(prompts)]
    completions = await asyncio.gather(*[engine.generate(request) for request in requests])
    assert all(len(completion.token_ids) == 4 for completion in completions)
    await engine.close()


async def test_a_cancelled_request_ends_on_the_server_too(served_vllm) -> None:
    engine = served_vllm.build()
    request = Request(LONG[:8], Sampling(max_tokens=240, seed=1))
    tasks = [asyncio.create_task(engine.generate(request)) for _ in range(8)]
    await asyncio.sleep(0.2)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # The server pauses only when nothing runs.
    await engine.load_weights(2, dict(served_vllm.model(2).state_dict()))
    await engine.close()


def test_another_model_is_refused(served_vllm, model_folder: Path) -> None:
    with pytest.raises(ConfigError, match="another model"):
        VllmEngine(model_folder, urls=[served_vllm.url()])


def test_an_option_that_vllm_does_not_know_is_one_clear_line(served_vllm, tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(EngineFault, match="does not know an option") as caught:
        VllmEngine(
            served_vllm.model_folder(),
            server={"no_such_option": 1},
            log=tmp_path / "vllm.log",
            say=told.append,
        )
    assert "\n" not in str(caught.value)
    assert any("no-such-option" in line for line in told)


@pytest.mark.parametrize(("kind", "rank"), [("sync", 4), ("async", 0)])
def test_a_run_is_trained_with_it(served_vllm, kind: str, rank: int, tmp_path: Path) -> None:
    """Adapters in turns, and whole weights all the time: its probabilities stay the learner's."""
    from agentrl.monitor.metrics import read_metrics
    from agentrl.parts import build_parts
    from agentrl.run import RunDirectory
    from agentrl.storage.ledger import balance
    from agentrl.trainer import train

    doors = Path(__file__).parents[2] / "trainer" / "doors.py"
    tree = {
        "updates": 3,
        "schedule": {"kind": kind},
        "env": {"name": f"{doors}:Doors"},
        "policy": {"model": "tiny", "lora_rank": rank},
        "dialogue": {"format": "choice", "restrict": True, "max_turn_tokens": 24},
        "rollout": {"tasks": 4, "group_size": 8},
        "engine": {
            "name": "vllm",
            "max_batch": 16,
            "options": {"context_length": 512, "server": {"enforce_eager": True}},
        },
        "monitor": {"tensorboard": False},
    }
    config = build_config(tree, "test")
    path = tmp_path / "run"
    parts = build_parts(config, path)
    url = parts.engine.urls[0]
    run = RunDirectory.create(path, config)
    assert train(config, run, parts)
    assert (path / "vllm.log").is_file()
    rows = read_metrics(run.metrics_file)
    assert len(rows) == 3
    # The server has followed the learner. What older weights sampled is another matter, and groups
    # that are all won or lost are not measured.
    measured = [row for row in rows if row.get("drift/stale_tokens", 1.0) < 1]
    name = "drift/fresh_gap_p99"
    gaps = [row[name] if name in row else row["drift/gap_p99"] for row in measured]
    assert gaps
    assert balance(run.ledger_file).is_even
    assert max(gaps) < 1e-3
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{url}/health")
