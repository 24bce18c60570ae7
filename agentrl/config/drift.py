"""When a run stops because what was sampled is not fit to learn from."""

from __future__ import annotations

from pydantic import Field

from agentrl.config.section import Section


class DriftConfig(Section):
    """Limits on the figures of the drift meter; a run that leaves one stops before it learns."""

    max_gap_mean: float | None = Field(0.2, gt=0)
    """Most nats per token between engine and learner, over tokens that the current weights sampled;
    None: no limit, as below."""
    max_gap_p99: float | None = Field(None, gt=0)
    """The same for all but the worst hundredth of these tokens."""
    max_stale_gap_mean: float | None = Field(None, gt=0)
    """The same as the first for tokens that older weights sampled."""
    min_ess: float | None = Field(0.1, ge=0, le=1)
    """Least effective sample size of the importance weights, as a share of the tokens."""
    min_ess_episodes: float | None = Field(None, ge=0, le=1)
    """The same for weights of whole episodes, as a share of the episodes."""
    max_prefix_breaks: float | None = Field(None, ge=0, le=1)
    """Largest share of later turns whose prompt does not go on from the turn before."""
    max_truncated: float | None = Field(None, ge=0, le=1)
    """Largest share of turns that ended at the token limit."""
    max_episodes_truncated: float | None = Field(None, ge=0, le=1)
    """Largest share of episodes that were cut off before the environment ended them."""
