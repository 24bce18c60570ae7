from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agentrl.errors import ConfigError, DataError
from agentrl.evaluation.conditions import Conditions
from agentrl.evaluation.results import Attempt, ResultsFile, read_results
from agentrl.trajectory import Outcome, Trajectory, Turn

CONDITIONS = Conditions(environment="game", split="test", policy="base", options={"a": (1,)})


def attempt(task: str, number: int = 0, outcome: Outcome = Outcome.FAILURE) -> Attempt:
    return Attempt(
        task=task, attempt=number, fingerprint="f", outcome=outcome, score=0.5, turns=2, error="é"
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "r.jsonl"
    written = [attempt("a"), attempt("a", 1, Outcome.TIMEOUT), attempt("b\n")]
    with ResultsFile(path, CONDITIONS) as file:
        for one in written:
            file.append(one)
    results = read_results(path)
    assert results.conditions == CONDITIONS
    assert results.attempts == written
    with ResultsFile(path, CONDITIONS) as file:
        assert file.results.attempts == written
        file.append(attempt("c"))
    assert [a.task for a in read_results(path).attempts] == ["a", "a", "b\n", "c"]


def test_an_attempt_of_an_episode() -> None:
    turns = [Turn("o", "a", 0.25, valid=False), Turn("o", "a", 0.5)]
    figures = {"recall": 0.5, "retries": 1.0}
    trajectory = Trajectory("x", "g", "task", turns, Outcome.SUCCESS, metrics=figures)
    made = Attempt.of(trajectory, 3, "f")
    assert (made.task, made.attempt, made.score, made.turns) == ("task", 3, 0.75, 2)
    assert made.invalid_turns == 1
    assert made.metrics == {"recall": 0.5}
    assert made.is_scored


def test_a_scored_attempt_counts_more_than_a_lost_one(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with ResultsFile(path, CONDITIONS) as file:
        file.append(attempt("a", 0, Outcome.TIMEOUT))
        file.append(attempt("a", 0, Outcome.SUCCESS))
        file.append(attempt("a", 0, Outcome.ENV_ERROR))
        file.append(attempt("b", 0, Outcome.TIMEOUT))
        file.append(attempt("b", 0, Outcome.CANCELLED))
    final = read_results(path).final()
    assert final["a", "f", 0].outcome is Outcome.SUCCESS
    assert final["b", "f", 0].outcome is Outcome.CANCELLED


def test_a_cut_at_any_byte_loses_at_most_one_attempt(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with ResultsFile(path, CONDITIONS) as file:
        for task in "abc":
            file.append(attempt(task))
    whole = path.read_bytes()
    breaks = [i + 1 for i, byte in enumerate(whole) if byte == 10]
    near = {end + off for end in breaks for off in (-2, -1, 0, 1)}
    for cut in sorted(near | set(range(0, len(whole), 9))):
        path.write_bytes(whole[:cut])
        with ResultsFile(path, CONDITIONS) as file:
            complete = max(0, sum(end <= cut for end in breaks) - 1)
            assert [a.task for a in file.results.attempts] == list("abc")[:complete]
            file.append(attempt("z"))
        assert [a.task for a in read_results(path).attempts] == [*list("abc")[:complete], "z"]


def test_other_conditions_are_refused_and_named(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    ResultsFile(path, CONDITIONS).close()
    other = Conditions(environment="game", split="test", policy="other")
    with pytest.raises(ConfigError, match="policy was 'base', is 'other'"):
        ResultsFile(path, other)
    ResultsFile(path, CONDITIONS).close()


def test_two_evaluations_at_once_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with ResultsFile(path, CONDITIONS), pytest.raises(ConfigError, match="another evaluation"):
        ResultsFile(path, CONDITIONS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no evaluation"),
        (b"{}\n", "line 1"),
        (b'{"group": "g", "id": "a"}\n', "line 1"),
        (b'{"conditions": {"environment": "e", "split": "s", "policy": "p"}}\n[]\n', "line 2"),
        (b'{"conditions": {"environment": "e", "split": "s", "policy": "p"}}\n\xff\n', "line 2"),
    ],
)
def test_damage_names_file_and_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"r\.jsonl.*{message}"):
        read_results(path)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_results(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="cannot write"):
        ResultsFile(tmp_path, CONDITIONS)


def test_a_full_disk_keeps_what_was_written(
    tmp_path: Path, write_results: Callable[..., Path]
) -> None:
    path = write_results(tmp_path / "r.jsonl", {f"t{i}": [True] for i in range(20)})
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from agentrl.evaluation.results import Attempt, ResultsFile, read_results\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "path = Path(sys.argv[1])\n"
        "old = read_results(path)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 250,) * 2)\n"
        "with ResultsFile(path, old.conditions) as file:\n"
        "    for _ in range(9): file.append(old.attempts[0])\n"
    )
    shown = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert "DataError: cannot write" in shown.stderr
    assert "attempts before are kept" in shown.stderr
    assert 20 < len(read_results(path).attempts) < 29
    assert path.read_bytes().endswith(b"\n")
