from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import agentrl
from agentrl.env import Step, is_text_env, parse_int
from agentrl.errors import ConfigError, TaskError


class Counter(agentrl.TextEnv):
    """Counts its actions; `win`, `lose` and `what` do as they say."""

    tasks = agentrl.TaskSet.seeded(train=100, test=10)
    max_turns: int | None = 5

    def on_reset(self, task: agentrl.Task, rng: np.random.Generator) -> str:
        self.start = int(rng.integers(10**9))
        self.count = 0
        return f"{task.id} {self.start}"

    def on_step(self, action: str) -> Step:
        self.count += 1
        answers = {"win": self.success, "lose": self.failure, "what": self.invalid}
        return answers.get(action, self.observe)(f"{self.count} {action}")

    def state_key(self) -> str:
        return str(self.count)

    def snapshot_state(self) -> Any:
        return self.count

    def restore_state(self, state: Any) -> None:
        self.count = state


@pytest.fixture
def env() -> Counter:
    env = Counter()
    env.reset(seed=0, options={"task": "train/3"})
    return env


def test_task_and_seed_decide_the_start() -> None:
    def first(task: str, seed: int | None) -> str:
        return Counter().reset(seed=seed, options={"task": task})[0]

    assert first("train/3", 0) == first("train/3", 0)
    assert first("train/3", None) == first("train/3", None)
    assert first("train/3", 0) != first("train/4", 0)
    assert first("train/3", 0) != first("train/3", 1)


def test_without_a_name_tasks_are_drawn_from_the_split() -> None:
    env = Counter(split="test")
    env.reset(seed=1)
    drawn = [env.reset()[1]["task_id"] for _ in range(40)]
    assert {task_id.split("/")[0] for task_id in drawn} == {"test"}
    assert len(set(drawn)) > 5
    env.reset(seed=1)
    assert [env.reset()[1]["task_id"] for _ in range(40)] == drawn


def test_a_task_of_another_split_can_be_named() -> None:
    _, info = Counter(split="train").reset(options={"task": "test/2"})
    assert info["task_id"] == "test/2"


def test_info_of_each_kind_of_step(env: Counter) -> None:
    observation, reward, terminated, truncated, info = env.step("go")
    assert (observation, reward, terminated, truncated) == ("1 go", 0.0, False, False)
    assert info == {"task_id": "train/3", "success": False, "invalid": False, "state_key": "1"}
    assert env.step("what")[4]["invalid"] is True
    _, reward, terminated, _, info = env.step("win")
    assert (reward, terminated, info["success"]) == (1.0, True, True)


def test_failure_ends_without_success(env: Counter) -> None:
    _, reward, terminated, _, info = env.step("lose")
    assert (reward, terminated, info["success"]) == (0.0, True, False)


@pytest.mark.parametrize("words", [{}, {"max_turns": 3}, {"max_turns": 1}])
def test_the_turn_limit_truncates(words: dict[str, int]) -> None:
    env = Counter(**words)
    env.reset(options={"task": "train/0"})
    ends = [env.step("go")[2:4] for _ in range(words.get("max_turns", 5))]
    assert ends[:-1] == [(False, False)] * (len(ends) - 1)
    assert ends[-1] == (False, True)


def test_success_at_the_limit_is_no_truncation() -> None:
    env = Counter(max_turns=1)
    env.reset(options={"task": "train/0"})
    assert env.step("win")[2:4] == (True, False)


def test_no_limit() -> None:
    env = Counter()
    env.max_turns = None
    env.reset(options={"task": "train/0"})
    assert not any(env.step("go")[3] for _ in range(200))


def test_stepping_needs_a_running_episode(env: Counter) -> None:
    with pytest.raises(TaskError, match=r"Counter\.step needs a running episode: call reset first"):
        Counter().step("go")
    env.step("win")
    with pytest.raises(TaskError, match="call reset first"):
        env.step("go")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Counter(split="tets"), r"unknown split 'tets'; did you mean 'test'\?"),
        (lambda: Counter().reset(options={"task": "train/100"}), "unknown task 'train/100'"),
        (lambda: Counter().reset(options={"task": ""}), "unknown task ''"),
    ],
)
def test_unknown_names_are_told(call, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        call()


@pytest.mark.parametrize("words", [{"max_turns": 0}, {"max_turns": "4"}, {"render_mode": "human"}])
def test_options_that_make_no_sense_are_refused(words: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Counter(**words)


def test_snapshot_and_restore(env: Counter) -> None:
    env.step("go")
    snapshot = env.snapshot()
    later = [env.step(action) for action in ("a", "what", "win")]
    env.restore(snapshot)
    assert env.render() == "1 go"
    assert [env.step(action) for action in ("a", "what", "win")] == later
    other = Counter()
    other.restore(snapshot)
    assert [other.step(action) for action in ("a", "what", "win")] == later


def test_snapshots_are_refused_by_name() -> None:
    class Plain(agentrl.TextEnv):
        tasks = agentrl.TaskSet.seeded(train=1)

        def on_reset(self, task: agentrl.Task, rng: np.random.Generator) -> str:
            return "Hello."

    env = Plain()
    env.reset()
    with pytest.raises(NotImplementedError, match="Plain does not support snapshots"):
        env.snapshot()
    with pytest.raises(NotImplementedError):
        env.step("anything")


def test_lone_surrogates_are_not_echoed(env: Counter) -> None:
    observation = env.step("\ud800 é")[0]
    assert observation == "1 ? é"
    assert env.render() == observation


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("42", 42), ("the code is 7.", 7), ("-3", -3), ("+3", 3), ("3.9", 3), ("a1b2", 1),
        ("", None), ("none", None), ("-", None), ("²", None), ("1" * 18, int("1" * 18)),
        ("x" * 200_000 + "5", None), ("9" * 5000, int("9" * 18)),
    ],
)  # fmt: skip
def test_parse_int(text: str, number: int | None) -> None:
    assert parse_int(text) == number


@given(st.text(alphabet=st.characters()))
def test_parse_int_never_raises(text: str) -> None:
    assert parse_int(text) is None or isinstance(parse_int(text), int)


def test_is_text_env_sees_through_wrappers() -> None:
    assert is_text_env(gymnasium.wrappers.OrderEnforcing(Counter()))
    assert not is_text_env(gymnasium.make("CartPole-v1"))
