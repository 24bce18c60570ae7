"""The configuration of a run: one typed tree, YAML in, dotted overrides on the command line.

Unknown keys are rejected with a suggestion; the resolved tree is written into the run directory.
Defaults are the published settings of the field unless a comment says otherwise.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentrl.errors import ConfigError, did_you_mean


class Section(BaseModel):
    """Base of all sections: frozen, and no key that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


S = TypeVar("S", bound=Section)


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
    """`tiny` (shipped), a model directory, or a Hugging Face name."""
    lora_rank: int = Field(0, ge=0)
    """Rank of LoRA adapters; 0 trains all weights."""
    lora_alpha: float = Field(16.0, gt=0)
    """LoRA scale numerator."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type the weights are kept in."""


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


class EntropySmoothingConfig(Section):
    """Entropy regularisation held near its own history (EPO)."""

    weight: float = Field(0.001, gt=0)
    """Weight of the whole term in the loss."""
    penalty: float = Field(0.1, ge=0)
    """Weight of leaving the corridor (published: 0.1 ALFWorld, 0.05 ScienceWorld)."""
    low: float = Field(0.0, ge=0)
    """The corridor begins at this multiple of the mean entropy of the updates so far."""
    high: float = Field(2.0, gt=0)
    """The corridor ends at this multiple."""
    decay: float = Field(3.0, ge=0)
    """The corridor's share is 1 + exp(-decay k / half), k updates into a run of 2 half."""


class AdaptiveClipConfig(Section):
    """Clip bounds searched anew for each minibatch (BAPO), as ratios, not distances from 1."""

    target: float = Field(0.4, gt=0, lt=1)
    """The share of the surrogate that tokens with positive advantage must reach (not verified:
    a summary of the paper says 0.4, the authors' code 0.5)."""
    first: Literal["high", "low"] = "high"
    """The bound that is raised first: the upper one as in the paper, or the lower one as in the
    authors' code."""
    low: tuple[float, float] = (0.6, 0.9)
    """Where the lower bound starts, and how far it may be raised."""
    high: tuple[float, float] = (1.2, 3.0)
    """Where the upper bound starts, and how far it may be raised."""
    low_step: float = Field(0.02, gt=0)
    """By how much the lower bound is raised at a time."""
    high_step: float = Field(0.05, gt=0)
    """By how much the upper bound is raised at a time."""
    by_probability: bool = True
    """Weigh each token by the probability it was drawn with (the paper does, the code does not)."""


class LearnerConfig(Section):
    """How the policy is updated."""

    learning_rate: float = Field(1e-6, gt=0)
    """Step size of AdamW, after warm-up."""
    schedule: Literal["constant", "cosine"] = "constant"
    """How the learning rate goes on after warm-up; `cosine` falls to zero at the last update."""
    warmup_steps: int = Field(0, ge=0)
    """Optimiser steps over which the learning rate rises from zero."""
    weight_decay: float = Field(0.01, ge=0)
    """Of AdamW, decoupled."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Of AdamW."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients longer than this are scaled down to it."""
    epochs: int = Field(1, ge=1)
    """Passes over each batch."""
    minibatches: int = Field(1, ge=1)
    """Optimiser steps per pass."""
    pack_tokens: int = Field(8192, ge=1)
    """Tokens per forward pass; gradients accumulate over the packs of a minibatch."""
    loss: Literal["ppo", "gspo", "cispo"] = "ppo"
    """ppo: clip each token's objective; gspo: clip by the ratio of whole sequences; cispo: clip
    the ratio as a constant weight, so that every token keeps a gradient."""
    clip_low: float | None = Field(None, gt=0)
    """The probability ratio is clipped at 1 - clip_low; None: 0.2 (ppo), 0.0003 (gspo), no bound
    (cispo)."""
    clip_high: float | None = Field(None, gt=0)
    """And at 1 + clip_high (above clip_low: clip-higher, DAPO 0.28); None: 0.2 (ppo), 0.0004
    (gspo), 0.28 (cispo; not verified, the paper gives no number)."""
    dual_clip: float | None = Field(3.0, gt=1)
    """With ppo: bound on the loss of tokens with negative advantage; None: off."""
    adaptive_clip: AdaptiveClipConfig | None = None
    """With ppo: search the clip bounds (BAPO); None: they are fixed."""
    sequence: Literal["segment", "turn"] = "segment"
    """What a sequence is to gspo and to importance weights: all that the policy chose in a training
    segment (the whole episode under full memory), or in one turn."""
    aggregation: (
        Literal[
            "token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm"
        ]
        | None
    ) = None
    """How token losses become one number, over episodes (gspo: over its sequences); None:
    token-mean (ppo, cispo), seq-mean-token-mean (gspo)."""
    norm_length: int = Field(1024, ge=1)
    """The constant of `seq-mean-token-sum-norm`."""
    kl: Literal["none", "loss", "reward"] = "none"
    """Where the KL to the reference (the initial policy) acts."""
    kl_coefficient: float = Field(0.01, ge=0)
    """Weight of the KL term."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    """k1: log-ratio; k2: half its square; k3: unbiased and never negative."""
    entropy_coefficient: float = Field(0.0, ge=0)
    """Weight of the entropy bonus."""
    entropy_smoothing: EntropySmoothingConfig | None = None
    """Entropy bonus held in a corridor around its history (EPO); None: off."""
    covariance: Literal["none", "clip", "kl"] = "none"
    """With ppo, against entropy collapse: mute some tokens of high covariance between advantage
    and log-probability (Clip-Cov), or hold the highest with a KL penalty and clip none (KL-Cov)."""
    covariance_share: float = Field(2e-4, gt=0, le=1)
    """Share of a minibatch's tokens that is picked, at least one."""
    covariance_low: float = 1.0
    """Clip-Cov picks among covariances above this."""
    covariance_high: float = 5.0
    """Clip-Cov picks among covariances below this."""
    covariance_penalty: float = Field(1.0, ge=0)
    """Weight of the KL penalty of KL-Cov."""
    importance: Literal["none", "tis", "icepop"] = "tis"
    """How token losses are weighted by the ratio of the learner's probability to the engine's:
    tis: truncated at `importance_cap`; icepop: 0 outside `importance_low` to `importance_high`."""
    importance_level: Literal["token", "sequence"] | None = None
    """Whose ratio it is; None: token (ppo, cispo), sequence (gspo)."""
    importance_cap: float = Field(2.0, gt=0)
    """The largest weight under tis."""
    importance_low: float = Field(0.5, ge=0)
    """The smallest ratio that counts under icepop."""
    importance_high: float = Field(5.0, gt=0)
    """The largest ratio that counts under icepop."""
    importance_mask: Literal["none", "token", "sequence", "geometric", "worst"] = "none"
    """Reject, as if never sampled, tokens whose ratio is out of range, or sequences: by their
    ratio, its geometric mean per token, or their worst token (MIS)."""
    importance_mask_low: float | None = Field(None, ge=0)
    """Reject ratios below; None: 0.6 (token), 0.5 (sequence), 1/1.001 (geometric), 0.0001 (worst).
    The last two are typical values, not verified."""
    importance_mask_high: float | None = Field(None, gt=0)
    """Reject ratios above; None: 1.4 (token), 2 (sequence), 1.001 (geometric), 10000 (worst)."""
    autocast: bool = False
    """bfloat16 autocast in forward and backward."""
    checkpoint_activations: bool = False
    """Recompute activations in the backward pass: slower, less memory."""


class AnswerConfig(Section):
    """How the policy's belief in the reference answer is measured (signal `answer_logprob`)."""

    template: str | None = None
    """The completion that gives the answer, with `{answer}` in its place; None: as the environment
    and the dialogue's format write it."""
    scorer: Literal["learner", "engine"] = "learner"
    """Who computes it: the learner in one packed forward, or the engine, prefix by prefix."""


class PrmConfig(Section):
    """The implicit process reward model (signal `prm_log_ratio`)."""

    weights: Literal["copy", "lora"] = "copy"
    """A full copy of the policy, or LoRA adapters on the same base weights."""
    lora_rank: int = Field(16, ge=1)
    """Rank of the adapters."""
    lora_alpha: float = Field(32.0, gt=0)
    """LoRA scale numerator."""
    learning_rate: float = Field(1e-6, gt=0)
    """Step size of AdamW, without weight decay."""
    max_grad_norm: float = Field(10.0, gt=0)
    """Gradients longer than this are scaled down to it."""
    learns: bool = True
    """Whether it learns from each batch, after its scores of the batch were used."""
    reduce: Literal["sum", "mean"] = "sum"
    """How the step rewards of an episode become its score."""
    margin: float | None = Field(None, gt=0)
    """Pair episodes whose outcomes differ by this much; None: successes with failures."""
    threshold: float = 0.0
    """The outcome that a success exceeds."""


class CriticConfig(Section):
    """The critic (signal `value`)."""

    weights: Literal["copy", "lora"] = "copy"
    """A full copy of the policy, or LoRA adapters on the same base weights; a value head on top."""
    lora_rank: int = Field(16, ge=1)
    """Rank of the adapters."""
    lora_alpha: float = Field(32.0, gt=0)
    """LoRA scale numerator."""
    learning_rate: float = Field(1e-5, gt=0)
    """Step size of AdamW, without weight decay."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients longer than this are scaled down to it."""
    clip: float | None = Field(0.5, gt=0)
    """How far a value may move in one update before it earns nothing more; None: off."""
    epochs: int = Field(1, ge=1)
    """Passes over each batch."""
    minibatches: int = Field(1, ge=1)
    """Optimiser steps per pass."""


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
    rewards: tuple[CreditEntry, ...] = ()
    """Reward transforms in order: of the outcome, over turns, then prices such as
    `{invalid_action: {penalty: 0.1}}`."""
    credit: tuple[CreditEntry, ...] = ("grpo",)
    """Credit methods in order: an outcome estimator, then refiners and modulators."""
    answer: AnswerConfig = AnswerConfig()
    prm: PrmConfig = PrmConfig()
    critic: CriticConfig = CriticConfig()
    learner: LearnerConfig = LearnerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    monitor: MonitorConfig = MonitorConfig()
    checkpoint_every: int = Field(10, ge=1)
    """Updates between checkpoints; one is always written at the end and on Ctrl-C."""
    keep_checkpoints: int = Field(2, ge=1)
    """Older checkpoints are removed."""


def load_config(path: Path | None, overrides: Sequence[str] = ()) -> Config:
    """Return the configuration of a YAML file with dotted overrides applied.

    Args:
        path: A YAML file, or the name of a shipped one such as `quickstart`; None starts from
            the defaults.
        overrides: `section.key=value` with the value in YAML; `env=NAME` is short for `env.name`.

    Raises:
        ConfigError: The file cannot be read, or a key or value is wrong.
    """
    tree = read_yaml(find_config(path)) if path is not None else {}
    for override in overrides:
        _apply(tree, override)
    return build_config(tree, source=str(path) if path is not None else "the overrides")


def find_config(path: Path) -> Path:
    """Return the file that a path or the name of a shipped configuration stands for.

    Raises:
        ConfigError: There is no such file.
    """
    if path.exists() or len(path.parts) > 1:
        return path
    shipped = {file.stem: file for file in _SHIPPED.glob("*.yaml")}
    if path.stem in shipped and path.suffix in ("", ".yaml"):
        return shipped[path.stem]
    raise ConfigError(
        f"no configuration {str(path)!r}: neither a file nor one that is shipped; "
        f"{did_you_mean(path.stem, shipped)}"
    )


def build_config(tree: Mapping[str, Any], source: str) -> Config:
    """Return a validated configuration, or raise `ConfigError` with one line per problem."""
    tree = {k: {_SHORT[k]: v} if k in _SHORT and isinstance(v, str) else v for k, v in tree.items()}
    return build_section(Config, tree, source)


def build_section(kind: type[S], tree: Mapping[str, Any], source: str) -> S:
    """Return a validated section, or raise `ConfigError` with one line for all problems."""
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        problems = "; ".join(_explain(kind, item) for item in error.errors())
        raise ConfigError(f"{source}: {problems}") from None


def dump_config(config: Config) -> str:
    """Return the configuration as YAML that `load_config` reads back."""
    return str(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


_SHIPPED = Path(__file__).resolve().parent / "configs"
_SHORT = {"env": "name", "policy": "model", "engine": "name"}


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key written twice is an error, not the loss of the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key.value, str)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is written twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping a YAML file holds, or raise `ConfigError` in one line."""
    try:
        tree = yaml.load(path.read_bytes(), _Loader)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if tree is not None and not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold a mapping of sections, not a {type(tree).__name__}")
    return tree or {}


def _apply(tree: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"override {override!r} is not of the form section.key=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"the value of override {override!r} is not valid YAML") from None
    *parents, last = key.split(".")
    if not parents and last in _SHORT and isinstance(value, str):
        parents, last = [last], _SHORT[last]
    for name in parents:
        child = tree.setdefault(name, {})
        if name in _SHORT and isinstance(child, str):
            child = tree[name] = {_SHORT[name]: child}
        if not isinstance(child, dict):
            raise ConfigError(f"override {override!r}: {name!r} is a value, not a section")
        tree = child
    tree[last] = value


def _explain(kind: type[Section], problem: Mapping[str, Any]) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    if problem["type"] != "extra_forbidden":
        return f"{key}: {problem['msg']} (got {reprlib.repr(problem['input'])})"
    section: Any = kind
    for name in location[:-1]:
        if not name.isdigit():
            section = _section_in(section.model_fields[name].annotation)
    return f"unknown key {key!r}; {did_you_mean(location[-1], section.model_fields)}"


def _section_in(annotation: Any) -> Any:
    """Return the section that `Section | None` or `tuple[Section, ...]` is made of."""
    parts = [part for part in get_args(annotation) if part not in (type(None), ...)]
    return _section_in(parts[0]) if parts else annotation
