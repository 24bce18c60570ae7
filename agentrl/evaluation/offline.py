"""Evaluates a policy from its files: what `agentrl eval` does, as a function."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from agentrl import blocking, registry
from agentrl.config import PolicyConfig
from agentrl.engines.base import Engine
from agentrl.evaluation.conditions import Conditions
from agentrl.evaluation.evaluate import Progress, evaluate
from agentrl.evaluation.held_out import panel_of
from agentrl.evaluation.report import Report
from agentrl.evaluation.target import Target


def evaluate_target(
    target: Target,
    *,
    split: str | None = None,
    attempts: int | None = None,
    tasks: int | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    on_progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Load a policy, play the panel and return the report.

    Args:
        target: See `agentrl.evaluation.target`.
        split: None: `evaluation.split` of the settings.
        attempts: Per task; None: `evaluation.attempts`.
        tasks: Size of the panel; None: `evaluation.tasks`.
        options: Environment options on top of those in the settings.
        seed: Seeds environments and sampling.
        on_progress: Called after each attempt.

    Raises:
        AgentRLError: The policy, environment or panel cannot be used; see `evaluate`.
    """
    from agentrl.dialogue.factory import build_dialogue

    config = target.config
    conditions = _conditions(target, split, dict(options or {}), seed)
    size = config.evaluation.tasks if tasks is None else tasks
    panel, held_out = panel_of(conditions, target.folder, size)

    async def play() -> Report:
        engine, tokenizer = await _serve(target)
        try:
            return await evaluate(
                conditions,
                engine,
                build_dialogue(tokenizer, config.dialogue, engine.context_length),
                panel,
                results_path=conditions.results_file(target.folder),
                attempts=config.evaluation.attempts if attempts is None else attempts,
                rollout=config.rollout,
                on_progress=on_progress,
            )
        finally:
            await engine.close()

    return dataclasses.replace(blocking.run(play()), held_out=held_out)


def _conditions(
    target: Target, split: str | None, options: dict[str, Any], seed: int
) -> Conditions:
    asked = target.endpoint
    found = Conditions.of(
        target.config, target.policy, split=split, options=options, endpoint=asked, seed=seed
    )
    unsent = asked.get("omit", ())
    told = {name: value for name, value in found.sampling.items() if name not in unsent}
    return msgspec.structs.replace(found, sampling=told)


async def _serve(target: Target) -> tuple[Engine, Any]:
    """Return an engine that serves the policy, and what renders conversations for it."""
    config = target.config
    factory = registry.load("engines", config.engine.name)
    if getattr(factory, "speaks_text", False):
        speaker = factory(target.model, **config.engine.options)
        return speaker, speaker.codec
    from agentrl.learner.policy import load_policy
    from agentrl.parts import build_engine

    # A server has the device to itself.
    device = "cpu" if getattr(factory, "takes_directory", False) else config.policy.device
    settings = PolicyConfig(model=target.model, dtype=config.policy.dtype, device=device)
    policy = load_policy(settings, seed=config.seed)
    engine = build_engine(config.engine, policy)
    try:
        # A running server may still hold what was trained last.
        await engine.load_weights(0, policy.weights())
    except BaseException:
        await engine.close()
        raise
    return engine, policy.tokenizer
