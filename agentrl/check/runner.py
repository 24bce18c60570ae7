"""Runs all checks on one environment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from agentrl.check.agents import measure_agents
from agentrl.check.contract import check_answers, check_gymnasium, check_turn_limit
from agentrl.check.determinism import check_determinism
from agentrl.check.fuzz import check_fuzz
from agentrl.check.play import RaisedError
from agentrl.check.report import Finding, Report
from agentrl.check.situations import check_situations
from agentrl.check.snapshots import check_snapshots
from agentrl.check.speed import measure_speed
from agentrl.check.splits import check_splits
from agentrl.check.subject import Subject
from agentrl.errors import AgentRLError, ConfigError, did_you_mean, explain

Check = Callable[[Subject], Finding]

CHECKS: Mapping[str, Check] = {
    "gymnasium": check_gymnasium,
    "answers": check_answers,
    "turn limit": check_turn_limit,
    "splits": check_splits,
    "determinism": check_determinism,
    "state_key": check_situations,
    "snapshots": check_snapshots,
    "hostile actions": check_fuzz,
    "agents": measure_agents,
    "speed": measure_speed,
}


def check_environment(
    name: str,
    *,
    split: str = "train",
    options: Mapping[str, Any] | None = None,
    episodes: int = 16,
    fuzz: int = 3000,
    seed: int = 0,
    only: Collection[str] = (),
    on_start: Callable[[str], None] = lambda check: None,
) -> Report:
    """Return what is right and wrong with an environment.

    Args:
        name: A registered name, or `file.py:Class`.
        split: The split to play.
        options: Keyword arguments of the environment.
        episodes: Episodes each check plays, at most.
        fuzz: Hostile actions to try.
        seed: Seeds the choice of tasks and actions.
        only: Names of the checks to make; none: all of `CHECKS`.
        on_start: Called with the name of each check before it is made.

    Raises:
        AgentRLError: The environment cannot be made: unknown name, split or option, missing data.
    """
    if episodes < 1 or fuzz < 1:
        raise ConfigError(f"episodes and fuzz must be at least 1, not {episodes} and {fuzz}")
    for unknown in set(only) - set(CHECKS):
        raise ConfigError(f"unknown check {unknown!r}; {did_you_mean(unknown, CHECKS)}")
    subject = Subject(name, split, dict(options or {}), episodes, fuzz, seed)
    broken = _cannot_be_made(subject)
    if broken is not None:
        return Report(name, split, (broken,))
    findings = []
    for check in (check for check in CHECKS if not only or check in only):
        on_start(check)
        findings.append(_guarded(check, subject))
    return Report(name, split, tuple(findings))


def _cannot_be_made(subject: Subject) -> Finding | None:
    """Return why no instance can be made or reset; what the caller can mend is raised."""
    try:
        subject.make().reset(seed=0)
    except AgentRLError:
        raise
    except Exception as error:
        problem = f"making and resetting it raised {explain(error)}"
        return Finding("construction", "nothing works without an instance", [problem])
    return None


def _guarded(check: str, subject: Subject) -> Finding:
    """Return a check's finding; whatever the environment raises in it is a problem of its own."""
    try:
        return CHECKS[check](subject)
    except RaisedError as error:
        return Finding(check, "an exception loses the episode", [str(error)])
    except Exception as error:
        return Finding(check, "an exception loses the episode", [f"raised {explain(error)}"])
