"""From a configuration to the parts of the ring: environment, dialogue, engine, learner."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrl import credit, registry
from agentrl.answers.source import answer_source
from agentrl.config import Config, EngineConfig, ScheduleConfig
from agentrl.credit.base import CreditMethod
from agentrl.credit.compatibility import check_run
from agentrl.dialogue.factory import ConversationFactory, build_dialogue
from agentrl.engines.base import Deployment, Engine
from agentrl.engines.options import check_engine_options
from agentrl.errors import ConfigError, HeldOutError
from agentrl.learner.learner import Learner
from agentrl.learner.policy import Policy, load_policy
from agentrl.learner.sources import SignalSource, TrainedSource
from agentrl.learner.wanted import build_sources, wanted_signals
from agentrl.rewards import compose as rewards
from agentrl.rewards.base import RewardTransform
from agentrl.rollout.collector import Collector
from agentrl.rollout.environments import EnvSpec
from agentrl.rollout.probe import check_info
from agentrl.rollout.schedule import Schedule
from agentrl.tasks import TaskSet


@dataclass(slots=True)
class Parts:
    """What a training run is made of."""

    policy: Policy
    learner: Learner
    engine: Engine
    dialogues: ConversationFactory
    collector: Collector
    tasks: TaskSet
    rewards: list[RewardTransform]
    methods: list[CreditMethod]
    sources: list[SignalSource]

    @property
    def trained_sources(self) -> dict[str, TrainedSource]:
        """The sources with weights of their own, by the signal they give."""
        return {
            min(source.provides): source
            for source in self.sources
            if isinstance(source, TrainedSource)
        }

    async def sync(self, version: int) -> None:
        """Let the engine serve the learner's weights as policy `version`."""
        takes_adapters = getattr(self.engine, "takes_adapters", False)
        # Without adapters the embedded engine reads the learner's own tensors: nothing to copy.
        weights = self.policy.adapters() if takes_adapters else self.policy.weights()
        await self.engine.load_weights(version, weights)

    async def close(self) -> None:
        """Stop environments and engine."""
        await self.collector.close()
        await self.engine.close()


def build_parts(config: Config, folder: Path | None = None) -> Parts:
    """Build every part of a training run; of them only a server that the engine owns is started.

    Args:
        config: What to build.
        folder: The run's directory, where such a server logs; None: a temporary file.

    Raises:
        HeldOutError: `env.split` is held out.
        AgentRLError: A part cannot be built.
    """
    methods = credit.parse(list(config.credit))
    transforms = rewards.parse(list(config.rewards))
    check_run(config, methods, transforms)
    Schedule.of(config.schedule)  # refuses settings that clash, before a model is loaded
    refuse_text_engine(config.engine.name)
    options = {"split": config.env.split, **config.env.options}
    env = registry.make(config.env.name, **options)
    refuse_held_out(env.tasks, config.env.split, config.env.name)
    spec = EnvSpec(config.env.name, options)
    check_info(methods, spec, config.rollout, env.tasks.ids(config.env.split)[0])
    policy = load_policy(config.policy, seed=config.seed)
    steps = config.updates * config.learner.epochs * config.learner.minibatches
    names = wanted_signals(config, [*transforms, *methods])
    learner = Learner(
        policy,
        config.learner,
        seed=config.seed,
        total_steps=steps,
        reference=True if "ref_logprob" in names else None,
    )
    engine = build_engine(config.engine, policy, folder, schedule=config.schedule)
    dialogues = build_dialogue(policy.tokenizer, config.dialogue, engine.context_length)
    collector = Collector(spec, dialogues, engine, config.rollout, config.sampling)
    sources = build_sources(names, config, methods, learner)
    if "answer_logprob" in names:
        sources.append(answer_source(config, env, dialogues, policy, engine))
    return Parts(
        policy, learner, engine, dialogues, collector, env.tasks, transforms, methods, sources
    )


def build_engine(
    config: EngineConfig,
    policy: Policy,
    folder: Path | None = None,
    *,
    schedule: ScheduleConfig | None = None,
) -> Engine:
    """Return the engine that serves a policy: on its live weights, or on a copy.

    Args:
        config: Which engine.
        policy: With LoRA a copy is served; by an engine in another process, its directory.
        folder: Where such an engine logs; None: a temporary file.
        schedule: Of the training; None: the policy is not trained.
    """
    refuse_text_engine(config.name)
    schedule = schedule or ScheduleConfig()
    factory: Any = registry.load("engines", config.name)
    options = check_engine_options(config.name, factory, config.options)
    if getattr(factory, "takes_directory", False):
        options.setdefault("dtype", str(policy.base.dtype).removeprefix("torch."))
        if folder is not None:
            options.setdefault("log", folder / f"{config.name}.log")
        options["deployment"] = Deployment(
            learner_device=str(policy.device),
            shares_device=schedule.share_device,
            interrupts=schedule.kind == "async",
            adapter_rank=policy.adapter_rank,
            adapter_modules=policy.adapter_modules,
        )
        model = policy.path
    else:
        is_apart = Schedule.of(schedule).ahead > 0
        model = policy.copied() if policy.is_lora or is_apart else policy.model
    engine: Engine = factory(model, max_batch=config.max_batch, **options)
    return engine


def refuse_text_engine(name: str) -> None:
    """Raise `ConfigError` for an engine that serves no policy of ours."""
    if getattr(registry.load("engines", name), "speaks_text", False):
        raise ConfigError(
            f"engine={name} serves a model of its own and tells no log-probabilities: it cannot "
            "train or serve a run's policy; use engine=transformers or engine=vllm, and evaluate "
            "endpoints with: agentrl eval --model URL --env NAME"
        )


def refuse_held_out(tasks: TaskSet, split: str, name: str) -> None:
    """Raise `HeldOutError` for a split that must not be trained on."""
    if tasks.is_held_out(split):
        allowed = ", ".join(sorted(tasks.training))
        raise HeldOutError(
            f"split {split!r} of {name!r} is held out and cannot be trained on; train on: {allowed}"
        )
