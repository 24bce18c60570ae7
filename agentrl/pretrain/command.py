"""What `agentrl pretrain` does: environments, tokenizer, training by stages, model directories."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from agentrl.config import PolicyConfig
from agentrl.errors import ConfigError
from agentrl.learner.policy import load_policy, load_tokenizer, resolve_model, untied
from agentrl.pretrain.demonstrations import Demonstrator, Supply
from agentrl.pretrain.recipe import Recipe, Stage, World
from agentrl.pretrain.tokenizer import grow_tokenizer, train_tokenizer
from agentrl.pretrain.training import Pretraining, build_model, grow_model
from agentrl.registry import make

_POOL = 512
_SAVE_EVERY = 4
_TOKENIZER_EPISODES = 2400
_STATE = "pretraining.pt"


def run_pretraining(out: Path, recipe: Recipe, threads: int = 0) -> None:
    """Make a base policy in `out`, or go on where it was stopped.

    Args:
        out: The model directory; the models of stages before the last lie in `out/stage-0` and so
            on, and `pretraining.jsonl` beside each has its figures.
        recipe: See `agentrl.pretrain.recipe`.
        threads: Of torch; 0 leaves the default.

    Raises:
        ConfigError: A wrong option, or an environment without an expert.
        ModelError: The model to go on from cannot be loaded.
    """
    if threads:
        torch.set_num_threads(threads)
    last = len(recipe.stages) - 1
    before = recipe.init
    for number in range(last + 1):
        folder = out if number == last else out / f"stage-{number}"
        # Exporting ends with the tokenizer's settings, so that they tell a finished stage.
        if not (folder / "tokenizer_config.json").exists():
            _run_stage(folder, before, recipe, number)
        before = str(folder)
    written = yaml.safe_dump(recipe.model_dump(mode="json", exclude_unset=True), sort_keys=False)
    (out / "recipe.yaml").write_text(written)


def _run_stage(out: Path, before: str | None, recipe: Recipe, number: int) -> None:
    """Train a stage on what stood before it and write its model directory."""
    out.mkdir(parents=True, exist_ok=True)
    stage, seed = recipe.stages[number], recipe.seed + number
    supplies = [_supply(world) for world in stage.worlds]
    model, tokenizer = _start(before, recipe, stage, supplies, seed)
    demonstrator = Demonstrator(tokenizer, stage.longest)
    # Seeds of pools start far from the tokenizer's.
    run = Pretraining(model, stage, lambda k: demonstrator.pool(supplies, _POOL, seed * 10**6 + k))
    state = out / _STATE
    if state.exists():
        run.load(state)
    while not run.done:
        figures = run.run_pool()
        _report(out, figures, stage)
        if run.pools % _SAVE_EVERY == 0:
            run.save(state)
    _export(out, model, tokenizer)
    state.unlink(missing_ok=True)


def _start(
    before: str | None, recipe: Recipe, stage: Stage, supplies: Sequence[Supply], seed: int
) -> tuple[Any, Any]:
    """Return the model and the tokenizer that a stage begins with."""
    if before is None:
        assert stage.vocabulary is not None
        tokenizer = train_tokenizer(_texts(supplies, seed), stage.vocabulary)
        model = build_model(recipe.shape, tokenizer, seed)
    else:
        tokenizer = load_tokenizer(resolve_model(before))
        model = load_policy(PolicyConfig(model=before, device="cpu")).model
        if stage.vocabulary is not None and stage.vocabulary > len(tokenizer):
            tokenizer = grow_tokenizer(tokenizer, _texts(supplies, seed), stage.vocabulary)
    grow_model(model, tokenizer, stage.context)
    return model, tokenizer


def _texts(supplies: Sequence[Supply], seed: int) -> Iterator[str]:
    """Yield what is said in episodes that are played half by the expert, half at random."""
    rng = np.random.default_rng([seed, 1])
    for episode in range(_TOKENIZER_EPISODES):
        supply = supplies[episode % len(supplies)]
        env = supply.env
        task = env.tasks.at("train", int(rng.integers(supply.size)))
        observation, info = env.reset(seed=episode, options={"task": task.id})
        done = False
        while not done:
            yield observation
            actions = info["admissible_actions"]
            action = actions[int(rng.integers(len(actions)))]
            if rng.random() < 0.5:
                action = info.get("expert_action", action)
            yield action
            observation, _, terminated, truncated, info = env.step(action)
            done = terminated or truncated
        yield observation


def _export(out: Path, model: Any, tokenizer: Any) -> None:
    """Write a model directory; half precision keeps it small, and loading widens it again."""
    half = {name: weight.to(torch.bfloat16) for name, weight in model.state_dict().items()}
    model.save_pretrained(out, state_dict=untied(model, half))
    config = json.loads((out / "config.json").read_text())
    config["dtype"] = "bfloat16"
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokenizer.save_pretrained(out)


def _report(out: Path, figures: dict[str, float], stage: Stage) -> None:
    with (out / "pretraining.jsonl").open("a") as file:
        file.write(json.dumps(figures) + "\n")
    print(
        f"{figures['tokens'] / 1e6:7.2f}M of {stage.tokens / 1e6:.0f}M tokens"
        f"  loss {figures['loss']:.4f}  expert's tokens guessed {figures['expert_accuracy']:.4f}"
        f"  {figures['tokens_per_second']:,.0f} tok/s",
        flush=True,
    )


def _supply(world: World) -> Supply:
    """Return a world's environment, which must tell what its expert would do."""
    env = make(world.env, **world.options)
    _, info = env.reset(seed=0)
    if "expert_action" not in info or "admissible_actions" not in info:
        raise ConfigError(
            f"environment {world.env!r} gives no expert_action and admissible_actions with these "
            "options; pretraining clones an expert (for most: options: {expert: search})"
        )
    return Supply(
        env,
        share=world.share,
        tasks=world.tasks,
        observation_weight=world.observation_weight,
        noise=world.noise,
        learn_noise=world.learn_noise,
    )
