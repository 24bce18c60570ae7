from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from agentrl.engines.vllm.command import ServerOptions
from agentrl.errors import MissingExtraError


def options(**more) -> ServerOptions:
    return ServerOptions(Path("/model"), 8123, 256, 32, python="/other/python", **more)


def test_the_command_line() -> None:
    words = [word for word in options().command() if not word.startswith("--no-")]
    assert words[:3] == ["/other/python", "-m", "vllm.entrypoints.openai.api_server"]
    pairs = dict(zip(words[3::2], words[4::2], strict=True))
    assert pairs["--model"] == "/model"
    assert (pairs["--port"], pairs["--max-model-len"], pairs["--max-num-seqs"]) == (
        "8123",
        "256",
        "32",
    )
    assert pairs["--logprobs-mode"] == "processed_logprobs"
    assert pairs["--generation-config"] == "vllm"


@pytest.mark.parametrize("has_gpu", [True, False])
def test_what_a_server_without_a_gpu_needs(monkeypatch, has_gpu: bool) -> None:
    places = ("/no/such/place", "/" if has_gpu else "/nor/such")
    monkeypatch.setattr("agentrl.engines.vllm.command._NVIDIA", places)
    monkeypatch.delenv("VLLM_USE_AOT_COMPILE", raising=False)
    assert options().full_environment().get("VLLM_USE_AOT_COMPILE") == (None if has_gpu else "0")
    words = options().command()
    assert ("--no-enable-chunked-prefill" in words) != has_gpu
    assert ("agentrl_worker.TiedHead" in words) != has_gpu


def test_options_of_all_kinds() -> None:
    more = {
        "enforce_eager": True,
        "enable-prefix-caching": False,
        "gpu_memory_utilization": 0.4,
        "weight_transfer_config": {"backend": "nccl"},
        "middleware": ["a", "b"],
        "dtype": None,
    }
    words = options(arguments=more).command()
    text = " ".join(words)
    assert "--enforce-eager --no-enable-prefix-caching --gpu-memory-utilization 0.4" in text
    assert '--weight-transfer-config {"backend": "nccl"} --middleware a b' in text
    assert "--dtype" not in words


def test_the_environment_opens_the_endpoints(monkeypatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "9")
    monkeypatch.setenv("SEEN", "too")
    environment = options(environment={"VLLM_SERVER_DEV_MODE": 0, "MORE": 1}).full_environment()
    assert environment["VLLM_CPU_KVCACHE_SPACE"] == "9"
    assert environment["VLLM_SERVER_DEV_MODE"] == "0"
    assert (environment["SEEN"], environment["MORE"]) == ("too", "1")


def test_servers_find_what_runs_inside_them(monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    first, second = options().full_environment()["PYTHONPATH"].split(":")
    assert (Path(first) / "agentrl_worker.py").is_file()
    assert second == "/mine"


def test_without_vllm_it_names_the_extra(monkeypatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "vllm" else found(name)
    )
    with pytest.raises(MissingExtraError, match="agentrl-framework"):
        ServerOptions(Path("/model"), 1, 2, 3).command()
    assert sys.executable
