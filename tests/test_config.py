from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from agentrl.config import Config, build_config, dump_config, load_config
from agentrl.errors import ConfigError


def test_defaults_need_no_file() -> None:
    assert load_config(None) == Config()


def test_yaml_then_overrides(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("updates: 7\nenv:\n  name: alfworld\n  options: {difficulty: 2}\n")
    config = load_config(file, ["env.options.difficulty=3", "learner.learning_rate=3e-5", "seed=4"])
    assert (config.updates, config.seed) == (7, 4)
    assert config.env.options == {"difficulty": 3}
    assert config.learner.learning_rate == 3e-5


def test_the_documented_command_line() -> None:
    config = load_config(None, ["env=vault.py:Vault", "credit=[grpo,salt]"])
    assert config.env.name == "vault.py:Vault"
    assert config.credit == ("grpo", "salt")


@pytest.mark.parametrize(
    ("overrides", "name", "options"),
    [
        (["engine=scripted", "engine.options.agent=random"], "scripted", {"agent": "random"}),
        (["engine.options={agent: random}", "engine=scripted"], "scripted", {"agent": "random"}),
        (["engine={name: scripted}"], "scripted", {}),
    ],
)
def test_short_names_mix_with_their_section(overrides, name, options) -> None:
    config = load_config(None, overrides)
    assert (config.engine.name, config.engine.options) == (name, options)


def test_short_names_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("env: vault.py:Vault\npolicy: some/model\n")
    config = load_config(file, ["env.split=test"])
    assert (config.env.name, config.env.split) == ("vault.py:Vault", "test")
    assert config.policy.model == "some/model"


def test_credit_with_parameters() -> None:
    config = load_config(None, ["credit=[{grpo: {normalise: false}}, salt]"])
    assert config.credit == ({"grpo": {"normalise": False}}, "salt")


def test_round_trip_through_yaml(tmp_path: Path) -> None:
    config = load_config(
        None, ["evaluation.sampling.temperature=0", "monitor.trackers=[wandb]", "env.options.x=[1]"]
    )
    file = tmp_path / "config.yaml"
    file.write_text(dump_config(config))
    assert load_config(file) == config
    assert set(yaml.safe_load(file.read_text())) == set(Config.model_fields)


def test_sections_are_frozen() -> None:
    config = Config()
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("updtes=3", "unknown key 'updtes'; did you mean 'updates'?"),
        (
            "learner.lerning_rate=1",
            "unknown key 'learner.lerning_rate'; did you mean 'learning_rate'?",
        ),
        ("learnr.learning_rate=1", "unknown key 'learnr'; did you mean 'learner'?"),
        ("evaluation.sampling.temp=1", "did you mean 'temperature'?"),
        ("zzzz=1", "known: "),
        ("learner.learning_rate=fast", "learner.learning_rate: "),
        ("learner.learning_rate=-1", "greater than 0 (got -1)"),
        ("learner.betas=[0.9]", "learner.betas"),
        ("dialogue.format=prose", "'plain', 'react', 'xml' or 'choice'"),
        ("dialogue=plain", "dialogue: "),
        ("dialogue.format.size=1", "dialogue.format: "),
        ("seed=1.5", "seed: "),
        ("seed=", "seed: "),
        ("credit=grpo", "credit: "),
        ("credit=[3]", "credit.0"),
        ("env.options=3", "env.options: "),
        ("=3", "not of the form section.key=value"),
        ("seed", "not of the form section.key=value"),
        ("seed=[1", "not valid YAML"),
        ("sampling.top_p=1.5", "sampling.top_p"),
    ],
)
def test_wrong_overrides_say_where_and_what(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, [override])
    text = str(caught.value)
    assert message in text
    assert "\n" not in text


def test_a_value_is_no_section() -> None:
    with pytest.raises(ConfigError, match="'seed' is a value, not a section"):
        load_config(None, ["seed=1", "seed.x=2"])


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        build_config({"seeds": 1, "updates": -1}, "run.yaml")
    assert str(caught.value).startswith("run.yaml: ")
    assert "unknown key 'seeds'" in str(caught.value)
    assert "updates" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", "not valid YAML"),
        (b"a:\n\t- b", "not valid YAML"),
        (b"- seed", "must hold a mapping of sections, not a list"),
        (b"seed", "must hold a mapping of sections, not a str"),
        (b"seed: \x80\x81", "not valid YAML"),
        (b"seed: [\x00]", "not valid YAML"),
        (b"seed: !!python/object/apply:os.getcwd []", "not valid YAML"),
        (b"1: 2", "1: Keys should be strings"),
        (b"seed: 1\nseed: 2", "twice"),
        (b"? [a, b]\n: 1", "not valid YAML"),
    ],
)
def test_wrong_files_say_which_file(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*none.yaml: No such file"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path)


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("# nothing\n")
    assert load_config(file) == Config()
