from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agentrl.errors import ConfigError, DataError
from agentrl.evaluation.compare import (
    Comparison,
    Evaluated,
    candidates,
    compare,
    describe,
    find_pair,
)
from agentrl.evaluation.results import read_results

Write = Callable[..., Path]
WEAK = {f"t{i}": [i % 3 == 0, i % 5 == 0] for i in range(60)}
STRONG = {f"t{i}": [i % 3 != 1, i % 5 != 1] for i in range(60)}


def pair(a: Path, b: Path) -> Comparison:
    return compare(Evaluated(a, read_results(a)), Evaluated(b, read_results(b)))


def test_b_minus_a_on_common_tasks(tmp_path: Path, write_results: Write) -> None:
    a = write_results(tmp_path / "a.jsonl", WEAK | {"only a": [True]})
    b = write_results(tmp_path / "b.jsonl", STRONG | {"x": [True], "y": [False]})
    result = pair(a, b)
    assert (result.tasks, result.only_a, result.only_b) == (60, 1, 2)
    weak = sum(sum(v) for v in WEAK.values()) / 120
    strong = sum(sum(v) for v in STRONG.values()) / 120
    assert (result.success_a, result.success_b) == pytest.approx((weak, strong))
    assert result.success.value == pytest.approx(strong - weak)
    assert result.success.is_significant
    assert result.score.value == pytest.approx(result.success.value)
    assert "B succeeds more often" in describe(result)
    assert result.as_dict()["success_difference"]["value"] == result.success.value
    assert "B succeeds less often" in describe(pair(b, a))


def test_no_difference_is_told_with_what_could_have_been_found(
    tmp_path: Path, write_results: Write
) -> None:
    a = write_results(tmp_path / "a.jsonl", WEAK)
    shifted = dict(zip(WEAK, [*list(WEAK.values())[1:], [True, True]], strict=True))
    b = write_results(tmp_path / "b.jsonl", shifted)
    result = pair(a, b)
    assert not result.success.is_significant
    assert f"about {result.success.detectable:.2f}" in describe(result)


def test_few_tasks_show_no_difference_whatever_their_interval(
    tmp_path: Path, write_results: Write
) -> None:
    lost = {f"t{i}": [False, False] for i in range(5)}
    won = lost | {f"t{i}": [True, True] for i in range(1, 5)} | {"t0": [True, False]}
    a, b = write_results(tmp_path / "a.jsonl", lost), write_results(tmp_path / "b.jsonl", won)
    result = pair(a, b)
    assert result.success.low > 0
    assert "shown with fewer than 6 common tasks (here 5)" in describe(result)


def test_lost_attempts_count_for_nobody(tmp_path: Path, write_results: Write) -> None:
    a = write_results(tmp_path / "a.jsonl", {"t": [True, None], "u": [None], "v": [False]})
    b = write_results(tmp_path / "b.jsonl", {"t": [True, True], "u": [True], "v": [True]})
    result = pair(a, b)
    assert result.tasks == 2
    assert result.success_a == 0.5
    assert any("A 2, B 0" in note for note in result.notes)
    assert any("few" in note for note in result.notes)


def test_what_cannot_be_compared(tmp_path: Path, write_results: Write) -> None:
    a = write_results(tmp_path / "a.jsonl", WEAK)
    with pytest.raises(ConfigError, match="share no task"):
        pair(a, write_results(tmp_path / "b.jsonl", {"other": [True]}))
    with pytest.raises(ConfigError, match="game split valid"):
        pair(a, write_results(tmp_path / "c.jsonl", WEAK, split="valid"))
    with pytest.raises(ConfigError, match=r"\(level=2\)"):
        pair(a, write_results(tmp_path / "d.jsonl", WEAK, options={"level": 2}))
    with pytest.raises(DataError, match="60 of 60 common tasks"):
        pair(a, write_results(tmp_path / "e.jsonl", WEAK, "another"))


def test_attempts_at_what_a_task_was_before_are_not_compared(
    tmp_path: Path, write_results: Write
) -> None:
    """Both files begin with tasks whose content was another one, which B has won."""
    write_results(tmp_path / "a.jsonl", {"t": [False], "u": [False]}, "old")
    a = write_results(tmp_path / "a.jsonl", {"t": [True], "u": [True]}, "new")
    write_results(tmp_path / "b.jsonl", {"t": [True, True], "u": [None]}, "older")
    b = write_results(tmp_path / "b.jsonl", {"t": [False], "u": [False]}, "new")
    result = pair(a, b)
    assert (result.tasks, result.success_a, result.success_b) == (2, 1.0, 0.0)
    assert not any("lost" in note or "content" in note for note in result.notes)
    stale = write_results(tmp_path / "c.jsonl", {"t": [True, True], "u": [True]}, "old")
    result = pair(a, stale)
    assert (result.success_a, result.success_b) == (0.0, 1.0)
    assert any("2 tasks are compared as they were before" in note for note in result.notes)
    # Its first attempt is at the same content, its second is at another one.
    write_results(tmp_path / "d.jsonl", {"t": [False]}, "new")
    mixed = write_results(tmp_path / "d.jsonl", {"t": [True, True]}, "old")
    result = pair(a, mixed)
    assert (result.tasks, result.only_a, result.success_b) == (1, 1, 0.0)


def test_other_settings_are_noted(tmp_path: Path, write_results: Write) -> None:
    a = write_results(tmp_path / "a.jsonl", WEAK)
    others = {"max_invalid_actions": 2, "endpoint": {"context_length": 512}}
    b = write_results(tmp_path / "b.jsonl", STRONG, sampling={"temperature": 0.4}, seed=3, **others)
    notes = " ".join(pair(a, b).notes)
    for name in ("sampling", "seed", *others):
        assert f"different {name} settings" in notes


@pytest.fixture
def runs(tmp_path: Path, write_results: Write) -> Path:
    """Two runs, evaluated at several steps."""
    for run in ("a", "b"):
        folder = tmp_path / run / "evaluations"
        for policy in ("base", "step-000002", "step-000010"):
            for split in ("test", "valid"):
                name = f"{split}-{policy}-x.jsonl"
                write_results(folder / name, WEAK, policy=policy, split=split)
        (folder / "panel-test-x.json").write_text("{}")
    return tmp_path


def test_the_latest_step_that_both_have(runs: Path, write_results: Write) -> None:
    left, right = find_pair(f"{runs}/a", f"{runs}/b", "test")
    assert left.path == runs / "a/evaluations/test-step-000010-x.jsonl"
    assert right.path == runs / "b/evaluations/test-step-000010-x.jsonl"
    left, right = find_pair(f"{runs}/a@base", f"{runs}/a@2", "valid")
    assert left.path.name == "valid-base-x.jsonl"
    assert right.path.name == "valid-step-000002-x.jsonl"
    file = write_results(runs / "mine.jsonl", WEAK, policy="mine")
    left, right = find_pair(str(file), f"{runs}/b")
    assert (left.path, right.results.conditions.split) == (file, "test")


def test_played_the_same_way_is_preferred(runs: Path, write_results: Write) -> None:
    greedy = {"sampling": {"temperature": 0.0}, "policy": "step-000010"}
    folder = runs / "b/evaluations"
    write_results(folder / "test-step-000010-greedy.jsonl", STRONG, **greedy)
    _, right = find_pair(f"{runs}/a", f"{runs}/b", "test")
    assert right.path.name == "test-step-000010-x.jsonl"


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("none", None, "neither a run directory nor a results file"),
        ("a@7", None, r"no evaluation of step 7; .*--step 7"),
        ("a", "tset", r"no evaluation of split 'tset'; .*agentrl eval .*a --split tset"),
    ],
)
def test_what_is_not_there(runs: Path, name: str, split: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        candidates(f"{runs}/{name}", split)


def test_runs_evaluated_on_different_splits(tmp_path: Path, write_results: Write) -> None:
    write_results(tmp_path / "a/evaluations/test-base-x.jsonl", WEAK)
    write_results(tmp_path / "b/evaluations/valid-base-x.jsonl", WEAK, split="valid")
    with pytest.raises(ConfigError, match=r"split test and .* split valid: evaluate both"):
        find_pair(f"{tmp_path}/a", f"{tmp_path}/b")
