from __future__ import annotations

import sys
from subprocess import run
from typing import Any

import pytest

from agentrl import registry
from agentrl.answers import EngineAnswerScorer
from agentrl.answers.source import answer_source
from agentrl.config import Config, load_config
from agentrl.dialogue.factory import build_dialogue
from agentrl.errors import ConfigError
from agentrl.learner.answers import AnswerScorer
from agentrl.learner.policy import load_policy


def source_for(*overrides: str, env: str = "searchqa") -> Any:
    class Engine:
        context_length = 128

    config: Config = load_config(None, [f"env={env}", "policy=tiny", *overrides])
    policy = load_policy(config.policy)
    dialogues = build_dialogue(policy.tokenizer, config.dialogue, 128)
    engine: Any = Engine()
    return answer_source(config, registry.make(env), dialogues, policy, engine)


def test_the_configuration_chooses_who_scores() -> None:
    assert isinstance(source_for(), AnswerScorer)
    assert isinstance(source_for("answer.scorer=engine"), EngineAnswerScorer)


def test_an_environment_without_answers_is_refused_with_the_mend() -> None:
    with pytest.raises(ConfigError, match=r"set answer\.template"):
        source_for(env="alfworld")
    assert source_for("answer.template='say {answer}'", env="alfworld").provides


def test_answers_need_no_torch() -> None:
    code = "import agentrl.answers.source, sys; sys.exit('torch' in sys.modules)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0
