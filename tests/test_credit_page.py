"""`docs/credit.md` says what the code does: its examples are run, its tables compared."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from agentrl import registry
from agentrl.cli import main
from agentrl.credit import Stored, credit_records, explain, write_credit
from agentrl.credit.plain import PlainTrajectory, PlainTurn, read_plain
from agentrl.credit.stored import FIELDS

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "credit.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


def table(heading: str) -> list[list[str]]:
    """Return the cells of the table whose first heading is this, without its headings."""
    found = re.search(rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.M)
    assert found is not None
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in found[1].splitlines()]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the page's file of trajectories."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rollouts.jsonl").write_text(blocks("json")[1])
    return tmp_path


def test_every_command_prints_what_the_page_shows(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = 0
    for block in blocks("console"):
        for command in re.split(r"^\$ agentrl ", block, flags=re.M)[1:]:
            words, _, shown = command.partition("\n")
            main(shlex.split(words))
            printed = capsys.readouterr()
            lines = (printed.out + printed.err).splitlines()
            assert [line.rstrip() for line in lines] == shown.splitlines()
            count += 1
    assert count >= 4


def test_the_example_for_a_trainer_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    code = blocks("python")[0]
    assert len(code.splitlines()) <= 15
    exec(compile(code, "docs/credit.md", "exec"), {})
    assert capsys.readouterr().out == blocks("text")[0]


def test_the_example_that_reads_a_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = Stored.read("rollouts.jsonl")
    records = credit_records(stored.batch, explain(stored.batch, ["grpo", "salt"]))
    write_credit("runs/mine/credit/update-000010.jsonl.zst", records)
    exec(f"from agentrl import credit\n{blocks('python')[1]}", {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == stored.batch.num_turns
    assert lines[0].startswith("0 0 ")
    assert "'edge': 0, 'action': 'go fridge'" in lines[0]


def test_every_method_is_in_both_tables() -> None:
    registered = registry.names("credit")
    assert sorted(names(row[0])[0] for row in table("method")) == registered
    reasons = PAGE.partition("| method | `because` |")[2].partition("\n\n")[0]
    first = [row.split("|")[1] for row in reasons.splitlines()[2:]]
    assert sorted(name for cell in first for name in names(cell)) == registered


def test_stages_and_needs_are_those_of_the_methods() -> None:
    for name, stage, _, _, need in table("method"):
        method = registry.load("credit", names(name)[0])()
        assert method.stage == stage
        assert method.needs <= set(names(need))


def test_the_keys_are_those_of_the_format(tmp_path: Path) -> None:
    of_episode = {key for row in table("key of an episode") for key in names(row[0])}
    of_turn = {key for row in table("key of a turn") for key in names(row[0])}
    assert of_episode <= set(PlainTrajectory.__struct_fields__)
    assert of_turn <= set(PlainTurn.__struct_fields__)
    assert set(FIELDS.values()) <= of_turn
    path = tmp_path / "format.jsonl"
    path.write_text(blocks("json")[0])
    (line,) = read_plain(path)
    assert len(line.trajectory.turns) == 2
    turns = json.loads(blocks("json")[0])["turns"]
    assert {key for turn in turns for key in turn} <= of_turn
    assert Stored.from_lines([line]).signals.keys() == {
        "entropy",
        "answer_logprob",
        "prm_log_ratio",
    }


@pytest.mark.parametrize("missing", ["group", "id", "outcome", "turns"])
def test_keys_of_an_episode_that_are_required(tmp_path: Path, missing: str) -> None:
    tree = json.loads(blocks("json")[1].splitlines()[0])
    del tree[missing]
    path = tmp_path / "file.jsonl"
    path.write_text(json.dumps(tree))
    assert main(["credit", str(path), "--credit", "grpo"]) == 2
