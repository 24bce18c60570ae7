"""The whole configuration: one typed tree."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from agentrl.config.drift import DriftConfig
from agentrl.config.learner import AnswerConfig, CriticConfig, LearnerConfig, PrmConfig
from agentrl.config.section import Section
from agentrl.config.sections import (
    DialogueConfig,
    EngineConfig,
    EnvironmentConfig,
    EvaluationConfig,
    MonitorConfig,
    PolicyConfig,
    RolloutConfig,
    SamplingConfig,
    ScheduleConfig,
)

CreditEntry = str | dict[str, dict[str, Any]]
"""A name, or `{name: {parameter: value}}`: of a credit method, or of a reward transform."""


class Config(Section):
    """Everything a training run depends on."""

    seed: int = 0
    """Decides tasks, episodes and initial adapters; the same seed gives the same run."""
    updates: int = Field(100, ge=0)
    """Policy updates; each collects fresh episodes."""
    env: EnvironmentConfig = EnvironmentConfig()
    policy: PolicyConfig = PolicyConfig()
    dialogue: DialogueConfig = DialogueConfig()
    sampling: SamplingConfig = SamplingConfig()
    engine: EngineConfig = EngineConfig()
    rollout: RolloutConfig = RolloutConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    rewards: tuple[CreditEntry, ...] = ()
    """Reward transforms in order: of the outcome, over turns, then prices such as
    `{invalid_action: {penalty: 0.1}}`."""
    credit: tuple[CreditEntry, ...] = ("grpo",)
    """Credit methods in order: an outcome estimator, then refiners and modulators."""
    answer: AnswerConfig = AnswerConfig()
    prm: PrmConfig = PrmConfig()
    critic: CriticConfig = CriticConfig()
    learner: LearnerConfig = LearnerConfig()
    drift: DriftConfig = DriftConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    monitor: MonitorConfig = MonitorConfig()
    checkpoint_every: int = Field(10, ge=1)
    """Updates between checkpoints; one is always written at the end and on Ctrl-C."""
    keep_checkpoints: int = Field(2, ge=1)
    """Older checkpoints are removed."""
