"""Settings for the whole suite."""

from __future__ import annotations

from hypothesis import settings

# No test asserts wall-clock time, not even through Hypothesis: a busy machine is no failure.
settings.register_profile("agentrl", deadline=None)
settings.load_profile("agentrl")
