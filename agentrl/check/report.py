"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["pass", "fail", "skip"]


@dataclass(slots=True)
class Finding:
    """The result of one check."""

    name: str
    """What was looked at."""
    why: str
    """What goes wrong in training when it is not so."""
    problems: list[str] = field(default_factory=list)
    """What is wrong, one line each; none: the check passed."""
    notes: list[str] = field(default_factory=list)
    """Worth knowing, but not wrong."""
    figures: dict[str, float | int | None] = field(default_factory=dict)
    """What was measured."""
    skipped: str | None = None
    """Why the check could not be made, if so."""

    @property
    def status(self) -> Status:
        """Whether the check passed, failed or could not be made."""
        if self.problems:
            return "fail"
        return "skip" if self.skipped is not None else "pass"

    def to_json(self) -> dict[str, Any]:
        """Return the finding as plain values."""
        return {
            "name": self.name,
            "status": self.status,
            "why": self.why,
            "problems": self.problems,
            "notes": self.notes,
            "figures": self.figures,
            "skipped": self.skipped,
        }


HEADLINES = (
    "steps_per_second",
    "reset_seconds",
    "bytes_per_environment",
    "oracle_success",
    "random_success",
)
"""The figures every report has; None where they could not be measured."""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings about one environment."""

    environment: str
    """Its registered name, or `file.py:Class`."""
    split: str
    """The split that was played."""
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> list[str]:
        """What is wrong, each line headed by its check's name."""
        return [f"{one.name}: {problem}" for one in self.findings for problem in one.problems]

    @property
    def figures(self) -> dict[str, float | int | None]:
        """Everything measured, under one name each."""
        merged: dict[str, float | int | None] = dict.fromkeys(HEADLINES)
        for finding in self.findings:
            merged.update(finding.figures)
        return merged

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values: the headline figures, `problems` and `checks`."""
        figures = self.figures
        return {
            "environment": self.environment,
            "split": self.split,
            **{name: figures[name] for name in HEADLINES},
            "problems": self.problems,
            "checks": [finding.to_json() for finding in self.findings],
        }
