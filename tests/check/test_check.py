from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentrl.check import check_environment
from agentrl.check.report import HEADLINES
from agentrl.check.runner import CHECKS
from agentrl.errors import ConfigError, RegistryError, TaskError

HERE = Path(__file__).parent
GOOD = HERE / "good.py"
BROKEN = HERE / "broken.py"

FAULTS = [
    ("UnseededReset", "determinism", "turn 0: observation was"),
    ("UnseededStep", "determinism", "Cl"),
    ("ClockInInfo", "determinism", "info['now']"),
    ("SetOrder", "determinism", "in another process"),
    ("LeaksBetweenEpisodes", "determinism", "again on the same instance"),
    ("SharedState", "determinism", "while another instance plays"),
    ("SharedIds", "splits", "'train' and 'test' share 1 ids"),
    ("SharedLazyIds", "splits", "'train' and 'test' share"),
    ("SharedContents", "splits", "share the content of 100"),
    ("SharedFingerprints", "splits", "share the content of 100"),
    ("RepeatedIds", "splits", "more than once"),
    ("RaisesOnEmpty", "hostile actions", "step('') raised IndexError"),
    ("RaisesOnForeignDigits", "hostile actions", "raised ValueError"),
    ("KeyTooCoarse", "state_key", "answer the same actions differently"),
    ("KeyIgnoresActions", "state_key", "not the same actions"),
    ("KeyCountsTurns", "state_key", "leave counters out"),
    ("KeyCountsTurnsQuietly", "state_key", "no key came twice"),
    ("KeyNow", "state_key", "key"),
    ("KeySometimes", "state_key", "others none"),
    ("TerminatesAtLimit", "turn limit", "must set `truncated`"),
    ("MergesFlags", "turn limit", "must set `truncated`"),
    ("IgnoresLimit", "turn limit", "must be truncated there"),
    ("ShallowSnapshot", "snapshots", "restored after the episode went on"),
    ("ForgetfulSnapshot", "snapshots", "restored after"),
    ("EchoesSurrogates", "hostile actions", "lone surrogate"),
    ("NumberObservation", "answers", "is a int, not text"),
    ("NanReward", "answers", "not a finite number"),
    ("WrongInfo", "answers", "info['success'] is 1, not bool"),
    ("MetricsInWords", "answers", "info['metrics'] holds 'recall': 'half'"),
    ("RepeatsActions", "answers", "lists 'lamp' more than once"),
    ("ExpertWrong", "agents", "100.0% of the expert's own actions were invalid, such as 'dance'"),
    ("TakesAnyTask", "answers", "an unknown task was accepted"),
    ("RaisesOnReset", "speed", "raised ValueError: odd"),
    ("CannotBeMade", "construction", "ZeroDivisionError: oh"),
]


@pytest.mark.parametrize(("name", "check", "text"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_each_fault_is_caught(name: str, check: str, text: str) -> None:
    only = {check} & set(CHECKS)
    report = check_environment(f"{BROKEN}:{name}", episodes=4, fuzz=300, only=only)
    findings = {finding.name: finding for finding in report.findings}
    assert findings[check].status == "fail"
    assert any(text in problem for problem in findings[check].problems), findings[check].problems


@pytest.mark.parametrize("name", ["Vault", "Corridor"])
def test_sound_environments_pass(name: str) -> None:
    report = check_environment(f"{GOOD}:{name}", episodes=8, fuzz=1500)
    assert report.problems == []
    assert report.figures["fuzzed_actions"] == 1500


def test_figures_of_a_sound_environment() -> None:
    report = check_environment(f"{GOOD}:Corridor", episodes=8, fuzz=100)
    figures = report.figures
    assert figures["oracle_success"] == 1.0
    assert 0 < figures["random_success"] <= 1
    assert figures["steps_per_second"] > 0
    assert figures["bytes_per_environment"] > 0
    assert figures["step_seconds_p50"] <= figures["step_seconds_p99"]


def test_checks_that_do_not_apply_are_skipped_with_a_reason() -> None:
    report = check_environment(f"{GOOD}:Vault", episodes=2, fuzz=10)
    skipped = {f.name: f.skipped for f in report.findings if f.status == "skip"}
    assert set(skipped) == {"state_key", "snapshots"}
    assert all(skipped.values())
    assert report.figures["oracle_success"] is None


def test_a_split_without_data_is_a_note() -> None:
    report = check_environment(f"{BROKEN}:SplitNotHere", only=["splits"])
    assert report.problems == []
    assert "'secret' was left out: its file is not there" in report.findings[0].notes[0]


def test_json_holds_the_documented_keys() -> None:
    report = check_environment(f"{BROKEN}:RaisesOnEmpty", episodes=2, fuzz=10)
    document = json.loads(json.dumps(report.to_json()))
    assert {*HEADLINES, "problems", "checks", "environment", "split"} == set(document)
    assert len(document["problems"]) == 1
    assert document["problems"][0].startswith("hostile actions: ")


def test_options_and_split_reach_the_environment() -> None:
    report = check_environment(
        f"{GOOD}:Corridor", split="test", options={"length": 2}, episodes=2, fuzz=10
    )
    assert (report.split, report.problems) == ("test", [])


@pytest.mark.parametrize(
    ("name", "more", "error"),
    [
        ("no_such_environment", {}, RegistryError),
        (f"{GOOD}:Vaul", {}, RegistryError),
        (f"{GOOD}:Vault", {"split": "tets"}, TaskError),
        (f"{GOOD}:Vault", {"options": {"lenght": 3}}, ConfigError),
        (f"{GOOD}:Vault", {"episodes": 0}, ConfigError),
    ],
)
def test_what_the_caller_can_mend_is_raised(name: str, more: dict, error: type) -> None:
    with pytest.raises(error):
        check_environment(name, **more)


def test_progress_is_announced() -> None:
    seen: list[str] = []
    report = check_environment(f"{GOOD}:Vault", episodes=1, fuzz=1, on_start=seen.append)
    assert seen == [finding.name for finding in report.findings]
