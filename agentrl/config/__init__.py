"""The configuration of a run: one typed tree, YAML in, dotted overrides on the command line.

Unknown keys are rejected with a suggestion; the resolved tree is written into the run directory.
"""

from agentrl.config.drift import DriftConfig
from agentrl.config.files import (
    build_config,
    build_section,
    dump_config,
    find_config,
    load_config,
    read_yaml,
)
from agentrl.config.learner import (
    AdaptiveClipConfig,
    AnswerConfig,
    CriticConfig,
    EntropySmoothingConfig,
    LearnerConfig,
    PrmConfig,
    SecondModelConfig,
)
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
from agentrl.config.tree import Config, CreditEntry

__all__ = [
    "AdaptiveClipConfig",
    "AnswerConfig",
    "Config",
    "CreditEntry",
    "CriticConfig",
    "DialogueConfig",
    "DriftConfig",
    "EngineConfig",
    "EntropySmoothingConfig",
    "EnvironmentConfig",
    "EvaluationConfig",
    "LearnerConfig",
    "MonitorConfig",
    "PolicyConfig",
    "PrmConfig",
    "RolloutConfig",
    "SamplingConfig",
    "ScheduleConfig",
    "SecondModelConfig",
    "Section",
    "build_config",
    "build_section",
    "dump_config",
    "find_config",
    "load_config",
    "read_yaml",
]
