from __future__ import annotations

import json
import logging
import shutil
import sys
import time
from collections.abc import Callable
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agentrl.batch import Batch
from agentrl.config import LearnerConfig, PolicyConfig
from agentrl.errors import MissingExtraError, ModelError
from agentrl.learner import policy as module
from agentrl.learner.learner import Learner
from agentrl.learner.policy import Policy, Reference, load_policy, load_tokenizer, resolve_model


@pytest.fixture
def copied(model_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_dir, tmp_path / "model"))


def load(directory: Path, **settings: object) -> Policy:
    return load_policy(PolicyConfig(model=str(directory), **settings))  # type: ignore[arg-type]


def refusal(directory: Path | str) -> str:
    with pytest.raises(ModelError) as caught:
        load_policy(PolicyConfig(model=str(directory)))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_loads_a_directory(model_dir: Path) -> None:
    policy = load(model_dir)
    assert policy.model.dtype is torch.float32
    assert policy.tokenizer.encode("w3 w4") == [3, 4]
    assert not policy.model.training
    assert policy.path == str(model_dir)
    assert policy.device.type == "cpu"


def test_dropout_is_switched_off(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "attention_dropout": 0.5}))
    policy = load(copied)
    policy.model.train()
    ids = torch.arange(8)[None]
    assert torch.equal(policy.model(ids).logits, policy.model(ids).logits)


def test_weights_stored_in_bfloat16_are_cast(copied: Path) -> None:
    load(copied).model.to(torch.bfloat16).save_pretrained(copied)
    assert load(copied).model.dtype is torch.float32
    with pytest.warns(UserWarning, match="rounded away"):
        assert load(copied, dtype="bfloat16").model.dtype is torch.bfloat16


@pytest.mark.parametrize("name", module.SHIPPED)
def test_shipped_models_are_directories(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    assert (Path(resolve_model(name)) / "model.safetensors").is_file()
    monkeypatch.setattr(module, "ASSETS", tmp_path)
    with pytest.raises(ModelError, match=f"'{name}'.*agentrl pretrain"):
        resolve_model(name)
    (tmp_path / name).mkdir()
    assert resolve_model(name) == tmp_path / name


def test_names_that_may_be_on_the_hub_stay_names(tmp_path: Path) -> None:
    assert resolve_model("org/name") == "org/name"
    assert resolve_model(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("name", ["/no/such/model", "./missing", "a/b/c"])
def test_a_path_that_is_not_there(name: str) -> None:
    assert f"there is no model directory {name}" in refusal(name)


def test_a_file_is_no_model(copied: Path) -> None:
    assert "takes the directory" in refusal(copied / "config.json")


def test_an_unreachable_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    message = refusal("no-such-organisation-of-ours/no-such-model")
    assert "Hugging Face Hub" in message
    assert "set policy.model to the directory" in message


def test_the_hubs_retries_are_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import huggingface_hub.constants

    # The endpoint is cut off: nothing listens there, and the pauses between retries are none.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    listener = BufferingHandler(100)
    listener.setLevel(logging.WARNING)
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.addHandler(listener)
    try:
        assert "Hugging Face Hub" in refusal("no-such-organisation-of-ours/no-such-model")
    finally:
        hub.removeHandler(listener)
    assert listener.buffer == []
    assert hub.level == level


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("config.json", "no config.json"),
        ("tokenizer.json", "no tokenizer"),
        ("model.safetensors", "model.safetensors"),
    ],
)
def test_missing_files(copied: Path, name: str, expected: str) -> None:
    (copied / name).unlink()
    assert expected in refusal(copied)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("keep", [0, 0.5])
def test_damaged_files(copied: Path, name: str, keep: float) -> None:
    content = (copied / name).read_bytes()
    (copied / name).write_bytes(content[: int(len(content) * keep)])
    message = refusal(copied)
    assert str(copied) in message
    assert "again" in message


def test_incomplete_weights_are_never_filled_with_noise(copied: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(copied / "model.safetensors")
    dropped = "model.layers.1.mlp.up_proj.weight"
    del weights[dropped]
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    assert dropped in refusal(copied)


def test_saved_policy_loads_as_it_was(policy: Policy, tmp_path: Path) -> None:
    policy.save(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert again.weights().keys() == policy.weights().keys()
    assert all(torch.equal(again.weights()[n], w) for n, w in policy.weights().items())
    assert load_tokenizer(tmp_path / "saved").encode("w5") == [5]


def test_lora_trains_adapters_and_serves_merged_weights(
    model_dir: Path, make_batch: Callable[..., Batch], tmp_path: Path
) -> None:
    policy, plain = load(model_dir, lora_rank=4), load(model_dir)
    assert all("lora_" in name for name in policy.trainable())
    frozen = {n: p.clone() for n, p in policy.model.named_parameters() if not p.requires_grad}
    batch = make_batch(4)
    learner = Learner(policy, LearnerConfig(learning_rate=1e-2, kl="loss"), seed=0)
    learner.update(batch, np.ones(batch.num_turns))
    after = dict(policy.model.named_parameters())
    assert all(torch.equal(after[n], p) for n, p in frozen.items())

    ids = torch.arange(12)[None]
    policy.save(tmp_path / "merged")
    merged = load(tmp_path / "merged")
    assert merged.weights().keys() == plain.weights().keys() == policy.weights().keys()
    assert not torch.allclose(merged.model(ids).logits, plain.model(ids).logits)
    torch.testing.assert_close(
        merged.model(ids).logits, policy.model(ids).logits, rtol=1e-4, atol=1e-4
    )
    # Serving leaves no rounding in the frozen weights.
    assert all(torch.equal(after[n], p) for n, p in frozen.items())


def test_adapters_on_bfloat16_weights_learn_in_float32(
    model_dir: Path, make_batch: Callable[..., Batch], tmp_path: Path
) -> None:
    policy = load(model_dir, lora_rank=4, dtype="bfloat16")
    assert {p.dtype for p in policy.trainable().values()} == {torch.float32}
    before = {n: p.clone() for n, p in policy.trainable().items()}
    learner = Learner(policy, LearnerConfig(checkpoint_activations=True), seed=0)
    batch = make_batch(4)
    assert learner.update(batch, np.ones(batch.num_turns))["grad_norm"] > 0
    # Steps of 1e-6: bfloat16 would have lost them.
    assert any(not torch.equal(p, before[n]) for n, p in policy.trainable().items())
    policy.save(tmp_path / "merged")
    saved = load(tmp_path / "merged", dtype="bfloat16", lora_rank=1).base
    assert {p.dtype for n, p in saved.named_parameters() if "lora_" not in n} == {torch.bfloat16}


@pytest.mark.parametrize("settings", [{}, {"lora_rank": 4}, {"lora_rank": 4, "dtype": "bfloat16"}])
def test_a_copy_is_plain_and_stays_as_it_is(model_dir: Path, settings: dict[str, Any]) -> None:
    policy = load(model_dir, **settings)
    with torch.no_grad():
        for parameter in policy.trainable().values():
            parameter.add_(0.1)
    copy, weights = policy.copied(), policy.weights()
    assert {n: w.dtype for n, w in copy.state_dict().items()} == {
        n: w.dtype for n, w in weights.items()
    }
    kept = {n: w.clone() for n, w in weights.items()}
    with torch.no_grad():
        for parameter in policy.trainable().values():
            parameter.zero_()
    assert all(torch.equal(copy.state_dict()[n], w) for n, w in kept.items())


def test_adapters_alone_are_what_peft_loads_on_the_base(model_dir: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from safetensors.torch import save_file

    policy, plain = load(model_dir, lora_rank=4), load(model_dir)
    assert (policy.adapter_rank, plain.adapter_rank) == (4, 0)
    with torch.no_grad():
        for parameter in policy.trainable().values():
            parameter.normal_(0, 0.3)
    adapters = policy.adapters()
    save_file(dict(adapters.weights), tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps(dict(adapters.settings)))
    loaded = PeftModel.from_pretrained(plain.model, str(tmp_path)).eval()
    ids = torch.arange(12)[None]
    torch.testing.assert_close(loaded(ids).logits, policy.model(ids).logits)


def test_lora_reference_is_the_base_without_a_copy(model_dir: Path) -> None:
    policy, plain = load(model_dir, lora_rank=4), load(model_dir)
    with torch.no_grad():
        for parameter in policy.trainable().values():
            parameter.add_(0.5)
    ids = torch.arange(6)[None]
    with Reference(policy).model() as reference:
        assert reference is policy.base
        torch.testing.assert_close(reference(ids).logits, plain.model(ids).logits)
    assert not torch.allclose(policy.model(ids).logits, plain.model(ids).logits)


def test_adapters_are_seeded_and_leave_the_global_stream_alone(model_dir: Path) -> None:
    state = torch.get_rng_state()
    first = load(model_dir, lora_rank=2).trainable()
    second = load(model_dir, lora_rank=2).trainable()
    assert all(torch.equal(p, second[n]) for n, p in first.items())
    assert torch.equal(torch.get_rng_state(), state)


def test_full_reference_is_a_frozen_copy(policy: Policy) -> None:
    reference = Reference(policy)
    ids = torch.arange(6)[None]
    before = policy.model(ids).logits.detach()
    with torch.no_grad():
        policy.model.model.norm.weight.mul_(2)
    with reference.model() as model:
        assert torch.equal(model(ids).logits, before)
        assert not any(p.requires_grad for p in model.parameters())


def test_lora_without_peft(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"agentrl-framework\[lora\]"):
        load(model_dir, lora_rank=4)
