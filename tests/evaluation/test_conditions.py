from __future__ import annotations

from pathlib import Path

from agentrl.config import Config, build_config
from agentrl.evaluation.conditions import Conditions


def test_conditions_of_a_configuration() -> None:
    config = build_config(
        {
            "seed": 3,
            "env": {"name": "alfworld", "options": {"level": 1, "steps": 9, "split": "train"}},
            "evaluation": {"split": "valid", "options": {"level": 2}},
        },
        source="test",
    )
    conditions = Conditions.of(config, "base", options={"extra": (1, 2)})
    assert conditions.options == {"level": 2, "steps": 9, "extra": [1, 2]}
    assert (conditions.split, conditions.seed, conditions.policy) == ("valid", 0, "base")
    assert conditions.sampling["temperature"] == 1.0
    own = build_config({"evaluation": {"sampling": {"temperature": 0.4}}}, source="test")
    assert Conditions.of(own, "base").sampling["temperature"] == 0.4


def test_files_differ_where_conditions_do() -> None:
    one = Conditions.of(Config(), "step-000010")
    folder = Path("evaluations")
    assert one.results_file(folder) == Conditions.of(Config(), "step-000010").results_file(folder)
    assert one.results_file(folder).name.startswith("test-step-000010-")
    others = [
        Conditions.of(Config(), "step-000020"),
        Conditions.of(Config(), "step-000010", split="valid"),
        Conditions.of(Config(), "step-000010", options={"a": 1}),
        Conditions.of(Config(), "step-000010", seed=1),
    ]
    limited = build_config({"rollout": {"max_invalid_actions": 3}}, source="test")
    others += [
        Conditions.of(limited, "step-000010"),
        Conditions.of(Config(), "step-000010", endpoint={"omit": ("max_tokens",)}),
    ]
    assert others[-2].max_invalid_actions == 3
    assert others[-1].endpoint == {"omit": ["max_tokens"]}
    files = {c.results_file(folder) for c in [one, *others]}
    assert len(files) == 7
    assert one.panel_file(folder) == others[0].panel_file(folder)
    assert one.panel_file(folder) == others[3].panel_file(folder)
    assert one.panel_file(folder) != others[2].panel_file(folder)


def test_names_are_safe_as_file_names() -> None:
    wild = Conditions(environment="../x.py:Y", split="a/b", policy="Qwen/Qwen2.5 1B")
    assert wild.results_file(Path("e")).parent == Path("e")
    assert wild.results_file(Path("e")).name.startswith("a-b-Qwen-Qwen2.5-1B-")
    assert wild.panel_file(Path("e")).parent == Path("e")
