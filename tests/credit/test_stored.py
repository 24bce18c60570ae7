from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrl import storage
from agentrl.batch import Batch
from agentrl.credit import Stored, assign, parse
from agentrl.credit.plain import PlainTrajectory, PlainTurn
from agentrl.errors import ConfigError, DataError
from agentrl.trajectory import Outcome, Trajectory, Turn


def turn(key: str, **more: Any) -> dict[str, Any]:
    return {"state_key": key, "action": f"act in {key}", "observation": f"after {key}", **more}


def record(group: str, name: str, outcome: float, *turns: dict[str, Any]) -> dict[str, Any]:
    return {"group": group, "id": name, "outcome": outcome, "turns": list(turns)}


SCORED = [
    record(
        "g",
        "0",
        1.0,
        turn("a", token_entropy=[0.5, 1.0], answer_logprob_before=-3, answer_logprob=-2),
        turn("b", token_entropy=[0.25], answer_logprob=-1),
        turn("c", token_entropy=[2.0]),
    ),
    record("h", "0", 0.0, turn("a", token_entropy=[3.0])),
    record(
        "g",
        "1",
        0.0,
        turn("a", token_entropy=[0.75], answer_logprob_before=-3.5, answer_logprob=-2.5),
        turn("c", token_entropy=[], answer_logprob_before=-2, answer_logprob=-2),
    ),
]


def test_signals_are_in_the_order_of_the_batch() -> None:
    stored = Stored.from_records(SCORED)
    assert stored.batch.ids == ["0", "1", "0"]
    assert stored.batch.groups == ["g", "h"]
    assert stored.places == [0, 2, 1]
    assert stored.signals["entropy"].tolist() == [0.5, 1.0, 0.25, 2.0, 0.75, 3.0]
    nan = float("nan")
    expected = np.array([[-3, -2], [-2, -1], [-1, nan], [-3.5, -2.5], [-2, -2], [nan, nan]])
    assert np.array_equal(stored.signals["answer_logprob"], expected, equal_nan=True)
    assert stored.lacks.keys() == {"prm_log_ratio", "process_score", "value", "ref_logprob"}


def test_all_signals_of_tokens_and_turns() -> None:
    first = turn("a", logprobs=[-1, -2], ref_logprobs=[-1.5, -2.5], value=0.5, prm_log_ratio=0.1)
    then = turn("b", logprobs=[-3], ref_logprobs=[-4], value=[0.25], prm_log_ratio=-0.2)
    records = [
        {**record("g", "0", 1.0, {**first, "process_score": 0.5}, {**then, "process_score": 1}),
         "final_value": 0.75}
    ]  # fmt: skip
    stored = Stored.from_records(records)
    signals = {name: values.tolist() for name, values in stored.signals.items()}
    assert signals == {
        "prm_log_ratio": [0.1, -0.2],
        "process_score": [0.5, 1.0],
        "value": [0.5, 0.5, 0.25],
        "ref_logprob": [-1.5, -2.5, -4.0],
        "final_value": [0.75],
    }
    assert stored.batch.logprobs.tolist() == [-1, -2, -3]


def test_the_tokens_that_were_read_have_no_entropy() -> None:
    one = turn("a", prompt_ids=[7, 8], response_ids=[9], token_entropy=[0.5])
    stored = Stored.from_records([record("g", "0", 1.0, one)])
    assert stored.signals["entropy"].tolist() == [0, 0, 0.5]


def without(place: int, position: int, *fields: str) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(json.dumps(SCORED))
    for name in fields:
        del records[place]["turns"][position][name]
    return records


@pytest.mark.parametrize(
    ("records", "methods", "message"),
    [
        (
            without(2, 0, "token_entropy"),
            ["grpo", "empg"],
            r"'empg' needs the signal 'entropy', but turn 0 of trajectory '1' \(line 3\) has no "
            r"'token_entropy'; give 'token_entropy' on every turn, one number per sampled token",
        ),
        (
            without(0, 0, "answer_logprob_before"),
            ["grpo", "igpo"],
            r"'igpo' .* turn 0 of trajectory '0' \(line 1\) has no 'answer_logprob_before'; give",
        ),
        (
            without(0, 1, "answer_logprob"),
            ["grpo", "igpo"],
            r"turn 1 of trajectory '0' \(line 1\) has no 'answer_logprob'",
        ),
        (SCORED, ["grpo", "oprl"], r"'oprl' .* but no turn has 'prm_log_ratio'; give"),
        (SCORED, ["gae"], r"'gae' needs the signal 'value', but no turn has 'value'; give"),
        (
            SCORED,
            [{"reinforce_pp": {"kl_coefficient": 0.1}}],
            "'reinforce_pp' needs the signal 'ref_logprob', but no turn has 'ref_logprobs'",
        ),
    ],
)
def test_a_missing_signal_is_one_line_that_names_the_place(
    records: list[dict[str, Any]], methods: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Stored.from_records(records).check(parse(methods))
    assert "\n" not in str(caught.value)


def test_a_signal_that_nobody_needs_may_be_missing() -> None:
    stored = Stored.from_records(without(2, 0, "token_entropy"))
    stored.check(parse(["grpo", "igpo"]))
    assert "entropy" not in stored.signals


def test_reference_probabilities_need_those_of_the_policy() -> None:
    stored = Stored.from_records([record("g", "0", 1.0, turn("a", ref_logprobs=[-1.0]))])
    assert "has no 'logprobs'" in stored.lacks["ref_logprob"]


def test_numpy_numbers_in_memory_are_numbers() -> None:
    one = turn("a", token_entropy=np.array([0.5, 1.0]), reward=np.float32(1.0))
    stored = Stored.from_records([{**record("g", "0", 1.0, one), "outcome": np.float64(1)}])
    assert stored.signals["entropy"].tolist() == [0.5, 1.0]
    assert stored.batch.returns.tolist() == [1.0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"outcome": float("nan")}, "record 2: trajectory 'x' has the outcome nan"),
        ({"turns": [{**turn("a"), "acton": 1}]}, "record 2: turn 0 of trajectory 'x' .*'action'"),
        ({"turns": 3}, "record 2: trajectory 'x': turns: Expected `array`, got `int`"),
        ({"id": "0"}, "the records, line 2: trajectory '0' of group 'g' is on line 1 already"),
    ],
)
def test_mistakes_in_memory_name_the_record(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Stored.from_records([record("g", "0", 1.0), {**record("g", "x", 1.0), **wrong}])


def episode(group: str, name: str, outcome: Outcome, *rewards: float) -> Trajectory:
    turns = [
        Turn(f"see {t}", f"do {t}", reward, response_ids=np.arange(2, dtype=np.int32))
        for t, reward in enumerate(rewards)
    ]
    for one in turns:
        one.logprobs = np.array([-0.5, -1.0], np.float32)
    return Trajectory(name, group, "task", turns, outcome, final_observation="end")


OWN = [
    episode("g", "0", Outcome.SUCCESS, 0.0, 1.0),
    episode("h", "1", Outcome.TRUNCATED_TURNS, 0.0),
    episode("g", "2", Outcome.TIMEOUT, float("nan")),
    episode("g", "3", Outcome.FAILURE, -0.1, 0.0, 0.0),
    episode("h", "4", Outcome.ENV_ERROR),
    episode("h", "5", Outcome.SUCCESS, 1.0),
]


def columns(batch: Batch) -> dict[str, Any]:
    found = {name: getattr(batch, name) for name in batch.__slots__}
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in found.items()}


@pytest.mark.parametrize("name", ["own.jsonl", "own.jsonl.zst", "own.parquet"])
def test_files_of_our_own_are_told_by_their_content(tmp_path: Path, name: str) -> None:
    storage.write(tmp_path / name, OWN)
    path = (tmp_path / name).rename(tmp_path / "renamed")
    stored = Stored.read(path)
    assert columns(stored.batch) == columns(Batch.from_trajectories(OWN))
    assert stored.places == [0, 2, None, 1, None, 3]
    assert [t.id for t in stored.trajectories] == [t.id for t in OWN]
    with pytest.raises(ConfigError, match="'empg' needs the signal 'entropy'"):
        stored.check(parse(["grpo", "empg"]))


def test_damaged_parquet_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"PAR1 nothing more")
    with pytest.raises(DataError, match="damaged") as caught:
        Stored.read(path)
    assert "\n" not in str(caught.value)


def test_values_come_back_in_the_order_they_were_stored() -> None:
    stored = Stored.from_trajectories(OWN)
    parts = stored.per_trajectory(np.arange(7.0))
    assert [part.tolist() for part in parts] == [[0, 1], [5], [], [2, 3, 4], [], [6]]
    tokens = stored.per_trajectory(np.arange(14.0))
    assert [len(part) for part in tokens] == [4, 2, 0, 6, 0, 2]
    with pytest.raises(ConfigError, match="fit neither"):
        stored.per_trajectory(np.zeros(3))
    assert Stored.from_trajectories([]).per_trajectory(np.zeros(0)) == []


outcomes = st.lists(st.tuples(st.sampled_from("ghi"), st.integers(0, 2), st.integers(0, 3)))


@settings(max_examples=40, deadline=None)
@given(outcomes, st.integers(0, 1000))
def test_the_order_of_lines_changes_no_value(shape: list[tuple[str, int, int]], seed: int) -> None:
    records = [
        record(group, str(i), outcome, *(turn("xyz"[(t + i) % 3]) for t in range(length)))
        for i, (group, outcome, length) in enumerate(shape)
    ]
    shuffled = list(records)
    random.Random(seed).shuffle(shuffled)
    found = []
    for order in (records, shuffled):
        stored = Stored.from_records(order)
        values = stored.per_trajectory(assign(stored.batch, ["grpo", "salt"]))
        found.append({r["id"]: v.tolist() for r, v in zip(order, values, strict=True)})
    assert found[0].keys() == found[1].keys()
    for name, values in found[0].items():
        assert values == pytest.approx(found[1][name])


def test_stored_trajectories_need_no_heavy_package() -> None:
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'transformers', 'gymnasium', 'pyarrow',\n"
        "                                      'pydantic', 'rich', 'typer'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from agentrl import credit\n"
        "turns = [{'state_key': 'a', 'action': 'go', 'observation': 'b'}]\n"
        "records = [{'group': 'g', 'id': str(i), 'outcome': i, 'turns': turns} for i in (0, 1)]\n"
        "stored = credit.Stored.from_records(records)\n"
        "explained = credit.explain(stored.batch, ['dr_grpo', {'salt': {'history': 1}}])\n"
        "print(explained.per_turn.tolist(), len(credit.credit_records(stored.batch, explained)))\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.stdout.strip() == "[0.0, 0.0] 2", shown.stderr


text = st.text(max_size=5)
values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from([*PlainTurn.__struct_fields__, "x"])
turns = st.fixed_dictionaries({"state_key": values, "action": values}) | st.dictionaries(
    keys, values, max_size=4
)
lines = st.one_of(
    values,
    st.dictionaries(st.sampled_from([*PlainTrajectory.__struct_fields__, "x"]), values),
    st.fixed_dictionaries(
        {"group": text, "id": text, "outcome": values, "turns": st.lists(turns, max_size=3)}
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=30), lines.map(json.dumps)), max_size=3))
def test_whatever_a_file_holds_it_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, written: list[bytes | str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.jsonl"
    path.write_bytes(b"\n".join(w if isinstance(w, bytes) else w.encode() for w in written))
    problem = ""
    finite = True
    try:
        stored = Stored.read(path)
        finite = bool(np.isfinite(assign(stored.batch, "grpo")).all())
    except DataError as error:
        problem = str(error)
    assert "\n" not in problem
    assert finite
