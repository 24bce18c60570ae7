"""The sections of a run's configuration: environment, policy, dialogue, rollout, evaluation, ….

Defaults are the published settings of the field unless a comment says otherwise.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from agentrl.config.section import Section


class EnvironmentConfig(Section):
    """Which environment, and which of its tasks to train on."""

    name: str = "alfworld"
    """A registered name, or `file.py:Class`."""
    split: str = "train"
    """The split that training tasks are drawn from; held-out splits are refused."""
    tasks: int | None = Field(None, ge=1)
    """Train on the first so many tasks of the split; None: on all."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the environment."""


class PolicyConfig(Section):
    """The model that acts."""

    model: str = "tiny"
    """`tiny` or `tiny-qa` (shipped), a model directory, or a Hugging Face name."""
    lora_rank: int = Field(0, ge=0)
    """Rank of LoRA adapters; 0 trains all weights."""
    lora_alpha: float = Field(16.0, gt=0)
    """LoRA scale numerator."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type the weights are kept in."""
    device: str = "auto"
    """Where they are: auto (cuda where there is one, else cpu), cpu, cuda, cuda:1, …."""


class DialogueConfig(Section):
    """How observations become prompts and completions become actions."""

    format: Literal["plain", "react", "xml", "choice"] = "plain"
    """How an action is written: bare line; Thought/Action; <think>/<action>; one of a list."""
    restrict: bool | Literal["number"] = False
    """With `choice`: sample only among the admissible actions, written out, or with `number` only
    among their numbers in the list shown (the learner normalises alike)."""
    memory: Literal["full", "window"] = "full"
    """Keep the whole history, or the last `window` turns (each turn then starts a new segment)."""
    window: int = Field(3, ge=1)
    """Turns that windowed memory keeps."""
    system: str | None = None
    """System prompt; None: the format's own."""
    max_turn_tokens: int = Field(64, ge=1)
    """Most tokens sampled in one turn."""
    max_episode_tokens: int | None = Field(None, ge=1)
    """Most tokens sampled in one episode."""


class SamplingConfig(Section):
    """How actions are sampled."""

    temperature: float = Field(1.0, ge=0)
    """Divides the logits; 0 takes the most probable token."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Keep the smallest set of tokens with at least this probability."""
    top_k: int = Field(0, ge=0)
    """Keep this many tokens; 0 keeps all."""


class EngineConfig(Section):
    """Who serves the policy."""

    name: str = "transformers"
    """A registered engine."""
    max_batch: int = Field(128, ge=1)
    """Sequences decoded together."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the engine."""


class RolloutConfig(Section):
    """How episodes are collected."""

    tasks: int = Field(16, ge=1)
    """Tasks per update."""
    group_size: int = Field(8, ge=1)
    """Episodes per task."""
    workers: int = Field(0, ge=0)
    """Worker processes for blocking environments; 0 runs the environment in process."""
    concurrency: int = Field(128, ge=1)
    """Episodes in flight."""
    turn_seconds: float | None = Field(60.0, gt=0)
    """Wall-clock deadline of one environment call (needs workers to interrupt a hung one)."""
    episode_seconds: float | None = Field(600.0, gt=0)
    """Wall-clock deadline of an episode."""
    retries: int = Field(2, ge=0)
    """How often an episode lost to infrastructure is played again."""
    max_invalid_actions: int | None = Field(None, ge=1)
    """Invalid actions after which an episode is ended."""


class ScheduleConfig(Section):
    """How collecting episodes and training the policy follow each other."""

    kind: Literal["sync", "one_step_off", "async"] = "sync"
    """`sync`: in turns, all episodes by the policy that they train. `one_step_off`: an update
    trains on episodes of the policy before, while the next ones are played. `async`: episodes
    never wait; the weights change under those in flight."""
    max_staleness: int = Field(4, ge=1)
    """With `async`: most updates between the policy that begins an episode and the policy it
    trains. Held by waiting for old episodes; none is thrown away."""
    share_device: bool = False
    """With `sync`: pause the engine while the policy is trained; one that can sleep frees the
    device's memory."""


class EvaluationConfig(Section):
    """Held-out evaluation, while training and after."""

    split: str = "test"
    """The split to evaluate on."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Environment options that differ from training."""
    tasks: int = Field(200, ge=1)
    """Size of the task panel: the first tasks of the split."""
    attempts: int = Field(1, ge=1)
    """Episodes per task."""
    every: int = Field(0, ge=0)
    """Updates between evaluations while training (before the first and after the last too);
    0: none."""
    sampling: SamplingConfig | None = None
    """None: as in training."""


class MonitorConfig(Section):
    """Where figures go besides `metrics.jsonl`."""

    tensorboard: bool = True
    """Write TensorBoard event files."""
    trackers: tuple[Literal["wandb", "mlflow", "trackio"], ...] = ()
    """Experiment trackers to report to; each is an extra."""
    project: str = "agentrl"
    """The project name that trackers file the run under."""
    keep_trajectories: bool = True
    """Write every episode to `trajectories/`, and what its turns earned and why to `credit/`."""
