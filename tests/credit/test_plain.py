"""The plain format: what each field means, and one clear line for each mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from agentrl.credit import Stored, assign
from agentrl.credit.lines import read_lines
from agentrl.credit.plain import read_plain
from agentrl.errors import DataError
from agentrl.trajectory import Outcome

TURN = {"state_key": "hall", "action": "go", "observation": "A kitchen."}


def line(name: str = "a", group: str = "g", **more: Any) -> dict[str, Any]:
    return {"group": group, "id": name, "outcome": 1.0, "turns": [dict(TURN)], **more}


def write(folder: Path, *lines: Any, name: str = "file.jsonl") -> Path:
    path = folder / name
    text = [one if isinstance(one, str) else json.dumps(one) for one in lines]
    path.write_text("".join(f"{one}\n" for one in text))
    return path


def test_the_format_of_the_issue(tmp_path: Path) -> None:
    first = {
        "agent": "planner",
        "state_key": "hall",
        "action": "go north",
        "observation": "A kitchen.",
        "reward": 0.25,
        "tokens": 2,
        "token_entropy": [0.5, 0.7],
        "answer_logprob_before": -3.0,
        "answer_logprob": -2.0,
        "prm_log_ratio": 0.1,
    }
    last = {"state_key": "kitchen", "action": "take key", "observation": "You have won."}
    (found,) = read_plain(write(tmp_path, line(turns=[first, last])))
    trajectory = found.trajectory
    assert trajectory.reward == 1.0
    assert [turn.reward for turn in trajectory.turns] == [0.25, 0.75]
    assert [turn.observation for turn in trajectory.turns] == ["hall", "A kitchen."]
    assert trajectory.final_observation == "You have won."
    assert [turn.agent for turn in trajectory.turns] == ["planner", "agent"]
    assert [turn.state_key for turn in trajectory.turns] == ["hall", "kitchen"]
    assert [len(turn.response_ids) for turn in trajectory.turns] == [2, 1]
    assert trajectory.outcome is Outcome.SUCCESS


@pytest.mark.parametrize(
    ("more", "outcome"),
    [
        ({}, Outcome.SUCCESS),
        ({"outcome": 0}, Outcome.FAILURE),
        ({"outcome": False}, Outcome.FAILURE),
        ({"outcome": 0.4, "success": False}, Outcome.FAILURE),
        ({"outcome": -1, "success": True}, Outcome.SUCCESS),
        ({"truncated": True}, Outcome.TRUNCATED_TURNS),
        ({"truncated": False, "success": None}, Outcome.SUCCESS),
        ({"ended": "invalid_action_limit"}, Outcome.INVALID_ACTION_LIMIT),
    ],
)
def test_how_an_episode_ended(tmp_path: Path, more: dict[str, Any], outcome: Outcome) -> None:
    assert read_plain(write(tmp_path, line(**more)))[0].trajectory.outcome is outcome


@pytest.mark.parametrize(
    ("outcome", "rewards", "paid"),
    [
        (1.0, [None, None], [0.0, 1.0]),
        (1.0, [0.5, 0.5], [0.5, 0.5]),
        (1.0, [-0.1, None], [-0.1, 1.1]),
        (0.0, [0.3, None], [0.3, -0.3]),
        (None, [0.3, 0.4], [0.3, 0.4]),
        (None, [None, 0.4], [0.0, 0.4]),
    ],
)
def test_the_last_turn_is_paid_what_rewards_lack_to_the_outcome(
    tmp_path: Path, outcome: float | None, rewards: list[float | None], paid: list[float]
) -> None:
    turns = [{**TURN, "reward": reward} for reward in rewards]
    (found,) = read_plain(write(tmp_path, line(outcome=outcome, turns=turns)))
    assert [turn.reward for turn in found.trajectory.turns] == pytest.approx(paid)
    assert found.trajectory.reward == pytest.approx(sum(paid))


def test_an_episode_without_turns_counts_in_its_group(tmp_path: Path) -> None:
    path = write(tmp_path, line("a", turns=[]), line("b", outcome=0.0))
    stored = Stored.read(path)
    assert assign(stored.batch, "dr_grpo").tolist() == [-0.5]


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({}, 1),
        ({"tokens": 3}, 3),
        ({"tokens": 0}, 0),
        ({"token_entropy": [0.1, 0.2]}, 2),
        ({"value": [0.1, 0.2, 0.3]}, 3),
        ({"value": 0.1}, 1),
        ({"logprobs": [-0.1, -0.2]}, 2),
        ({"response_ids": [4, 5], "logprobs": [-0.1, -0.2], "token_entropy": [1, 2]}, 2),
    ],
)
def test_how_many_tokens_were_sampled(tmp_path: Path, fields: dict[str, Any], count: int) -> None:
    (found,) = read_plain(write(tmp_path, line(turns=[{**TURN, **fields}])))
    (turn,) = found.trajectory.turns
    assert len(turn.response_ids) == count
    expected = fields.get("logprobs", [np.nan] * count)
    assert np.allclose(turn.logprobs, expected, equal_nan=True)


WRONG: list[tuple[Any, str]] = [
    ("[1]", r"line 2: not a trajectory .* write one JSON object a line"),
    ("{", r"line 2 is not JSON .* one trajectory a line"),
    ("\x00\x01", "line 2 is not JSON"),
    ("[" * 100_000, "line 2: not a trajectory"),
    ('{"turns": ' + "[" * 100_000, "line 2"),
    ('{"metrics": ' + '{"a": ' * 100_000, "line 2"),
    (line("b", outcome="high"), "line 2: trajectory 'b': outcome: "),
    (line("b", outcome="nan"), "line 2: trajectory 'b' has the outcome nan; rewards must be"),
    (line("b", outcome=None), "line 2: trajectory 'b' has no 'outcome'; give what it earned"),
    (json.dumps(line("b")).replace("1.0", "NaN"), "line 2 holds NaN, which is no number"),
    (json.dumps(line("b")).replace("1.0", "-Infinity"), "line 2 holds -Infinity"),
    (json.dumps(line("b")).replace("1.0", "1e999"), "line 2"),
    (line("b", tasks=3), "line 2: trajectory 'b' has the unknown key 'tasks'; did you mean 'task"),
    (line("b", turns=[{**TURN, "actoin": ""}]), "turn 0 of trajectory 'b' has the unknown key"),
    (line("b", turns=[{**TURN, "token_entropies": []}]), "did you mean 'token_entropy'"),
    (line("b", turns=[TURN, {"state_key": "x"}]), "turn 1 of trajectory 'b' has no 'action'"),
    (line("b", turns=[TURN, {"action": "x"}]), "turn 1 of trajectory 'b' has no 'state_key'; give"),
    (line("b", turns=[{**TURN, "reward": "1"}]), "turn 0 of trajectory 'b': reward: "),
    (line("b", turns=[{**TURN, "reward": "inf"}]), "turn 0 of trajectory 'b' has the reward inf"),
    (line("b", turns=[{**TURN, "action": 3}]), "turn 0 of trajectory 'b': action: Expected `str`"),
    (line("b", turns=[{**TURN, "tokens": -1}]), "turn 0 of trajectory 'b' has tokens -1"),
    (line("b", turns=[{**TURN, "tokens": 10**12}]), "has tokens 1000000000000"),
    (
        line("b", turns=[{**TURN, "tokens": 3, "token_entropy": [0.1]}]),
        r"different numbers of sampled tokens \(tokens: 3, token_entropy: 1\)",
    ),
    (line("b", turns={}), "line 2: trajectory 'b': turns: Expected `array`"),
    ({"id": "b", "outcome": 1, "turns": []}, "line 2: trajectory 'b' has no 'group'"),
    ({"group": "g", "outcome": 1, "turns": []}, "line 2: the trajectory has no 'id'"),
    (line("b", success=True, truncated=True), "both 'success' and 'truncated'"),
    (line("b", ended="success", success=True), "both 'ended' and 'success'"),
    (line("b", ended="won"), "line 2: trajectory 'b': ended: Invalid enum value 'won'"),
    (line("a"), "line 2: trajectory 'a' of group 'g' is on line 1 already"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG, ids=[m for _, m in WRONG])
def test_a_mistake_is_one_line_that_names_the_place(
    tmp_path: Path, wrong: Any, message: str
) -> None:
    path = write(tmp_path, line("a"), wrong, line("c"))
    with pytest.raises(DataError, match=message) as caught:
        read_plain(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_id_in_two_groups_is_no_mistake(tmp_path: Path) -> None:
    assert len(read_plain(write(tmp_path, line("a", "g"), line("a", "h")))) == 2


def test_blank_lines_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeff" + json.dumps(line("a")), "", "  ", line("b"))
    assert [found.number for found in read_plain(path)] == [1, 4]


def test_lone_surrogates_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, line("a", turns=[{**TURN, "action": "\ud800"}]))
    assert read_plain(path)[0].trajectory.turns[0].action == "\ud800"


def test_compression_shows_in_the_content_and_not_in_the_name(tmp_path: Path) -> None:
    plain = write(tmp_path, line("a"), line("b"), name="plain.zst")
    packed = tmp_path / "packed.jsonl"
    whole = plain.read_bytes()
    half = len(whole) // 2
    frames = [zstandard.compress(whole[:half]), zstandard.compress(whole[half:])]
    packed.write_bytes(b"".join(frames))
    assert list(read_lines(packed)) == list(read_lines(plain))
    assert [found.trajectory.id for found in read_plain(packed)] == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no trajectories: it is empty"),
        (b"\n\n", "holds no trajectories: it is empty"),
        (zstandard.compress(b""), "holds no trajectories: it is empty"),
        (zstandard.compress(b'{"a"\n' * 5000)[:-4], "is cut off after line"),
        (zstandard.compress(b"x" * 1000)[:7] + bytes(range(99)), "damaged|cut off|not JSON"),
        (b"\x1f\x8b rest", "compressed with gzip"),
        (b"PK\x03\x04 rest", "compressed with zip"),
        (bytes(range(256)), "line 1 is not JSON"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_plain(path)
    assert "\n" not in str(caught.value)


def test_a_file_without_line_breaks_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentrl.credit.lines.LONGEST", 1 << 20)
    for content in (bytes(3 << 20), zstandard.compress(bytes(3 << 20))):
        path = tmp_path / "zeros"
        path.write_bytes(content)
        with pytest.raises(DataError, match="line 1 is longer than 1 MiB"):
            read_plain(path)


@pytest.mark.parametrize("missing", ["nothing.jsonl", "."])
def test_files_that_cannot_be_read(tmp_path: Path, missing: str) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_plain(tmp_path / missing)
