from __future__ import annotations

import sys
from pathlib import Path

import gymnasium
import pytest

import agentrl
from agentrl import registry
from agentrl.env import TextEnv
from agentrl.errors import ConfigError, RegistryError
from agentrl.gymnasium_ids import gymnasium_id, register_all

VAULT = '''
import numpy as np
import agentrl


class Vault(agentrl.TextEnv):
    """A vault."""

    tasks = agentrl.TaskSet.seeded(train=10, test=5)

    def __init__(self, *, dials=3, **options):
        super().__init__(**options)
        self.dials = dials

    def on_reset(self, task, rng):
        return f"A vault with {self.dials} dials."

    def on_step(self, action):
        return self.success("Open.") if action == "open" else self.observe("Closed.")


class Strict(Vault):
    def __init__(self, *, size, split="train"):
        super().__init__(split=split)


class Raises(Vault):
    def __init__(self, **options):
        super().__init__(**options)
        len(3)


def function(dials=3, split="train"):
    return Vault(dials=dials, split=split)


def nothing(**options):
    return None


NUMBER = 3
'''


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    file = tmp_path / "vault.py"
    file.write_text(VAULT)
    return file


def plugin(folder: Path, name: str, entry: str, module: str = "") -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[agentrl.environments]\n{entry}\n")
    if module:
        (folder / f"{name}_module.py").write_text(module)


def test_built_ins_are_registered_like_plugins() -> None:
    assert "alfworld" in registry.names("environments")
    assert {"transformers", "scripted"} <= set(registry.names("engines"))
    assert {"grpo", "dr_grpo", "rloo", "reinforce_pp"} <= set(registry.names("credit"))
    assert registry.names("tools") == []


@pytest.mark.parametrize("kind", ["environments", "engines", "credit"])
def test_every_registered_name_loads(kind: registry.Kind) -> None:
    for name in registry.names(kind):
        assert registry.load(kind, name) is not None


@pytest.mark.parametrize(
    ("kind", "name", "hint"),
    [
        ("environments", "alfwrld", "did you mean 'alfworld'?"),
        ("environments", "ALFWorld", "did you mean 'alfworld'?"),
        ("credit", "grppo", "did you mean 'grpo'?"),
        ("engines", "zzz", "known: "),
        ("tools", "zzz", "known: none"),
    ],
)
def test_unknown_names_are_told_with_a_hint(kind, name, hint) -> None:
    with pytest.raises(RegistryError) as caught:
        registry.load(kind, name)
    assert f"unknown name {name!r} in {kind}" in str(caught.value)
    assert hint in str(caught.value)


def test_make_from_a_file(vault: Path) -> None:
    env = agentrl.make(f"{vault}:Vault", dials=4, split="test")
    assert isinstance(env, TextEnv)
    assert env.reset(seed=0)[0] == "A vault with 4 dials."
    assert env.split == "test"
    assert agentrl.make(f"{vault}:function", dials=2).reset()[0] == "A vault with 2 dials."


def test_files_of_the_same_name_are_kept_apart(tmp_path: Path) -> None:
    for number in ("1", "2"):
        (tmp_path / number).mkdir()
        (tmp_path / number / "same.py").write_text(f"VALUE = {number}\n")
    assert [registry.load("credit", f"{tmp_path}/{n}/same.py:VALUE") for n in "12"] == [1, 2]


def test_a_file_is_imported_once(vault: Path) -> None:
    one, two = (registry.load("environments", f"{vault}:Vault") for _ in range(2))
    assert one is two
    assert sys.modules[one.__module__].Vault is one


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("Voult", {}, RegistryError, "did you mean 'Vault'?"),
        ("NUMBER", {}, RegistryError, "is a int, not an environment class"),
        ("nothing", {}, RegistryError, "made a NoneType, which is not an agentrl.TextEnv"),
        ("Vault", {"dails": 3}, ConfigError, "no option 'dails'; did you mean 'dials'?"),
        ("Vault", {"max_turn": 3}, ConfigError, "did you mean 'max_turns'?"),
        ("Strict", {"size": 1, "max_turns": 3}, ConfigError, "no option 'max_turns'"),
        ("Strict", {}, ConfigError, "missing a required argument: 'size'"),
        ("function", {"dails": 3}, ConfigError, "did you mean 'dials'?"),
    ],
)
def test_wrong_names_and_options_are_told(vault: Path, name, options, error, message) -> None:
    with pytest.raises(error) as caught:
        agentrl.make(f"{vault}:{name}", **options)
    assert message in str(caught.value)


def test_a_bug_in_a_constructor_is_not_taken_for_a_wrong_option(vault: Path) -> None:
    with pytest.raises(TypeError, match="has no len"):
        agentrl.make(f"{vault}:Raises")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import no_such_package\n", "No module named 'no_such_package'"),
        ("x = 1\ny = x / 0\n", "ZeroDivisionError: division by zero"),
        ("def (:\n", "SyntaxError: "),
    ],
)
def test_a_file_that_cannot_be_imported(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "broken.py"
    file.write_text(content)
    with pytest.raises(RegistryError) as caught:
        agentrl.make(f"{file}:Env")
    assert message in str(caught.value)
    assert "broken.py" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_place_of_an_import_error_is_told(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text("\n\n1 / 0\n")
    with pytest.raises(RegistryError, match="line 3"):
        agentrl.make(f"{file}:Env")


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(RegistryError, match=r"no file 'nowhere.py'"):
        agentrl.make("nowhere.py:Env")


def test_a_plugin_on_the_path_is_found(tmp_path: Path, monkeypatch) -> None:
    plugin(tmp_path, "bank", "vault = bank_module:Vault", VAULT)
    before = registry.names("environments")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert registry.names("environments") == sorted([*before, "vault"])
    assert agentrl.make("vault", dials=5).reset()[0] == "A vault with 5 dials."
    assert registry.distribution(registry.points("environments")["vault"][0]) == "bank"


def test_a_broken_plugin_is_one_clear_line_and_harms_no_other(tmp_path: Path, monkeypatch) -> None:
    plugin(tmp_path, "burglar", "crowbar = burglar_module:Nope", "import no_such_package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RegistryError) as caught:
        agentrl.make("crowbar")
    message = str(caught.value)
    assert "importing burglar_module:Nope of burglar failed" in message
    assert "No module named 'no_such_package'" in message
    assert "\n" not in message
    assert agentrl.make("alfworld", difficulty=1)


def test_a_plugin_whose_object_is_missing(tmp_path: Path, monkeypatch) -> None:
    plugin(tmp_path, "heist", "safe = heist_module:Nope", "VALUE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RegistryError, match="Nope"):
        agentrl.make("safe")


def test_two_plugins_of_one_name_conflict(tmp_path: Path, monkeypatch) -> None:
    plugin(tmp_path / "a", "first", "safe = first_module:Vault", VAULT)
    plugin(tmp_path / "b", "second", "safe = second_module:Vault", VAULT)
    monkeypatch.syspath_prepend(str(tmp_path / "a"))
    monkeypatch.syspath_prepend(str(tmp_path / "b"))
    with pytest.raises(RegistryError) as caught:
        agentrl.make("safe")
    assert "first (first_module:Vault)" in str(caught.value)
    assert "second (second_module:Vault)" in str(caught.value)


def test_gymnasium_makes_every_built_in_with_its_checker_on() -> None:
    for name in registry.names("environments"):
        env = gymnasium.make(gymnasium_id(name))
        assert "PassiveEnvChecker" in str(env)
        observation, info = env.reset(seed=1)
        assert isinstance(observation, str)
        env.step("look")
        assert env.spec is not None
        again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json()))
        assert again.reset(seed=1)[0] == observation
        assert info["task_id"]


def test_gymnasium_passes_options_on() -> None:
    env = gymnasium.make("agentrl/alfworld-v0", difficulty=1, split="test", max_turns=2)
    assert env.unwrapped.max_turns == 2
    assert env.reset(seed=0)[1]["task_id"].startswith("test/")
    with pytest.raises(ConfigError, match="did you mean 'difficulty'"):
        gymnasium.make("agentrl/alfworld-v0", dificulty=1)


def test_registering_again_changes_nothing() -> None:
    before = dict(gymnasium.registry)
    register_all()
    assert dict(gymnasium.registry) == before


def test_names_gymnasium_cannot_hold_are_left_out(tmp_path: Path, monkeypatch) -> None:
    plugin(tmp_path, "odd", "two words = odd_module:Vault", VAULT)
    monkeypatch.syspath_prepend(str(tmp_path))
    register_all()
    assert not any("two words" in env_id for env_id in gymnasium.registry)
    assert agentrl.make("two words")
