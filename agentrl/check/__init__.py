"""The environment checker behind `agentrl env check`."""

from __future__ import annotations

from agentrl.check.report import Finding, Report
from agentrl.check.runner import check_environment

__all__ = ["Finding", "Report", "check_environment"]
