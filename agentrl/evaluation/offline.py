"""Evaluates a policy from its files: what `agentrl eval` does, as a function."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from agentrl import blocking
from agentrl.config import PolicyConfig
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
        target: See `agentrl.evaluation.target.find_target`.
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
    from agentrl.learner.policy import load_policy
    from agentrl.parts import build_engine

    config = target.config
    conditions = Conditions.of(
        config, target.policy, split=split, options=dict(options or {}), seed=seed
    )
    size = config.evaluation.tasks if tasks is None else tasks
    panel, held_out = panel_of(conditions, target.folder, size)
    settings = PolicyConfig(model=target.model, dtype=config.policy.dtype)
    policy = load_policy(settings, seed=config.seed)

    async def play() -> Report:
        engine = build_engine(config.engine, policy)
        try:
            # A running server may still hold what was trained last.
            await engine.load_weights(0, policy.weights())
            return await evaluate(
                conditions,
                engine,
                build_dialogue(policy.tokenizer, config.dialogue, engine.context_length),
                panel,
                results_path=conditions.results_file(target.folder),
                attempts=config.evaluation.attempts if attempts is None else attempts,
                rollout=config.rollout,
                on_progress=on_progress,
            )
        finally:
            await engine.close()

    return dataclasses.replace(blocking.run(play()), held_out=held_out)
