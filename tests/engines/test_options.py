"""What `engine.options` may hold, before an engine starts anything."""

from __future__ import annotations

from typing import Any

import pytest

from agentrl import registry
from agentrl.engines.options import check_engine_options
from agentrl.errors import ConfigError


@pytest.mark.parametrize(
    ("engine", "options", "words"),
    [
        ("vllm", {"transprt": "folder"}, "did you mean 'transport'"),
        ("vllm", {"request_second": 5}, "did you mean 'request_seconds'"),
        ("vllm", {"context_lenght": 5}, "did you mean 'context_length'"),
        ("vllm", {"request_seconds": "abc"}, "request_seconds: .*number"),
        ("vllm", {"urls": [5]}, "urls"),
        ("vllm", {"urls": 5}, "urls"),
        ("vllm", {"port": "abc"}, "port"),
        ("vllm", {"server": [1]}, "server"),
        ("vllm", {"environment": "abc"}, "environment"),
        ("vllm", {"max_batch": 4}, "set engine.max_batch"),
        ("vllm", {"say": 1}, "unknown key 'say'"),
        ("vllm", {"version": 3}, "unknown key 'version'"),
        ("vllm", {"deployment": 1}, "unknown key 'deployment'"),
        ("vllm", {"needs": 1}, "unknown key 'needs'"),
        ("transformers", {"nonsense": 1}, "unknown key 'nonsense'"),
        ("transformers", {"cache_tokens": "many"}, "cache_tokens"),
        ("scripted", {}, "serves no policy of a run"),
    ],
)
def test_wrong_options_are_one_clear_line(engine: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        check_engine_options(engine, registry.load("engines", engine), options)
    assert "\n" not in str(caught.value)


def test_right_options_come_as_the_engine_wants_them() -> None:
    given = {
        "urls": ["http://a:1", "http://b:1"],
        "port": "8000",
        "environment": {"VLLM_CPU_KVCACHE_SPACE": 1},
        "server": {"enforce_eager": True},
        "weights_folder": None,
    }
    read = check_engine_options("vllm", registry.load("engines", "vllm"), given)
    assert read == given | {"port": 8000}
    read = check_engine_options("vllm", registry.load("engines", "vllm"), {"urls": "http://a:1"})
    assert read == {"urls": "http://a:1"}


def test_an_engine_may_take_anything() -> None:
    def build(model: Any, *, max_batch: int, **more: Any) -> None: ...

    assert check_engine_options("own", build, {"speed": 3}) == {"speed": 3}
