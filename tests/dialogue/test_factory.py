"""From configuration to dialogue."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from agentrl.config import DialogueConfig
from agentrl.dialogue import FORMATS, ActionFormat, build_dialogue
from agentrl.dialogue.base import Dialogue, DialogueFactory
from agentrl.errors import ConfigError, MissingExtraError, ModelError


def first_text(tokenizer: Any, **options: Any) -> str:
    build = build_dialogue(tokenizer, DialogueConfig(**options), 1000)
    dialogue = build()
    dialogue.observe("a desk", {"admissible_actions": ["look"]})
    prompt = dialogue.prompt()
    assert prompt is not None
    return str(tokenizer.decode(prompt.ids))


def test_it_keeps_the_contract(tokenizer_of: Any) -> None:
    build: DialogueFactory = build_dialogue(tokenizer_of("line"), DialogueConfig(), 1000)
    dialogue: Dialogue = build()
    assert dialogue is not build()


@pytest.mark.parametrize("name", ["plain", "react", "xml", "choice"])
def test_chat_models_get_the_format_s_instructions(tokenizer_of: Any, name: Any) -> None:
    tokenizer = tokenizer_of("chatml")
    text = first_text(tokenizer, format=name)
    assert text.startswith(f"<|im_start|>system\n{FORMATS[name](False).instructions}<|im_end|>")
    assert first_text(tokenizer, format=name, system="Act.").startswith(
        "<|im_start|>system\nAct.<|im_end|>"
    )
    assert first_text(tokenizer, format=name, system="").startswith("<|im_start|>user\n")


def test_small_policies_get_none(tokenizer_of: Any) -> None:
    assert first_text(tokenizer_of("line")) == "<|observation|>a desk<|action|>"
    assert first_text(tokenizer_of("line"), system="Act.").startswith("Act.<|observation|>")


def test_a_format_of_the_caller_s_own(tokenizer_of: Any, complete: Any) -> None:
    class Shout:
        instructions = "SHOUT."

        def decorate(self, observation: str, info: Mapping[str, Any]) -> str:
            return observation.upper()

        def parse(self, text: str, info: Mapping[str, Any]) -> tuple[str | None, str | None]:
            return (text.lower(), None) if text.isupper() else (None, "LOUDER")

        def choices(self, info: Mapping[str, Any]) -> Sequence[str] | None:
            return None

    shout: ActionFormat = Shout()
    build = build_dialogue(tokenizer_of("chatml"), DialogueConfig(), 1000, action_format=shout)
    dialogue = build()
    dialogue.observe("a desk", {})
    prompt = dialogue.prompt()
    assert prompt is not None
    text = tokenizer_of("chatml").decode(prompt.ids)
    assert "SHOUT." in text
    assert "A DESK" in text
    assert dialogue.receive(complete(build.codec.encode("LOOK"))).action == "look"
    dialogue.observe("b", {})
    assert dialogue.prompt() is not None
    assert dialogue.receive(complete(build.codec.encode("look"))).problem == "LOUDER"


def test_a_model_directory(tokenizer_of: Any, tmp_path: Path) -> None:
    tokenizer_of("line").save_pretrained(tmp_path)
    for name in (tmp_path, str(tmp_path)):
        build = build_dialogue(name, DialogueConfig(), 1000)
        assert type(build.codec).__name__ == "LineCodec"


def test_wrong_directories_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model directory .*check policy\.model"):
        build_dialogue(tmp_path / "nowhere", DialogueConfig(), 1000)
    with pytest.raises(ModelError, match="cannot load the tokenizer") as caught:
        build_dialogue(tmp_path, DialogueConfig(), 1000)
    assert "\n" not in str(caught.value)
    (tmp_path / "tokenizer.json").write_text("{")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot load the tokenizer"):
        build_dialogue(tmp_path, DialogueConfig(), 1000)


def test_contradictions(tokenizer_of: Any) -> None:
    with pytest.raises(ConfigError, match=r"needs dialogue\.format=choice \(got 'react'\)"):
        build_dialogue(tokenizer_of("line"), DialogueConfig(format="react", restrict=True), 1000)
    odd = DialogueConfig.model_construct(**{**DialogueConfig().model_dump(), "format": "reakt"})
    with pytest.raises(ConfigError, match="did you mean 'react'"):
        build_dialogue(tokenizer_of("line"), odd, 1000)


def test_missing_packages_name_the_extra(
    tokenizer_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "renderers", None)
    with pytest.raises(MissingExtraError, match=r"agentrl-framework\[train\]"):
        build_dialogue(tokenizer_of("chatml"), DialogueConfig(), 1000)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match="transformers"):
        build_dialogue("some/model", DialogueConfig(), 1000)


def test_importing_the_dialogue_imports_nothing_heavy() -> None:
    program = (
        "import sys; from agentrl.dialogue import build_dialogue, Conversation, FORMATS; "
        "heavy = {'torch', 'transformers', 'tokenizers', 'renderers', 'pydantic'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
