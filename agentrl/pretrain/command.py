"""What `agentrl pretrain` does: environments, tokenizer, training, model directory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agentrl.config import PolicyConfig
from agentrl.env import TextEnv
from agentrl.errors import ConfigError, did_you_mean
from agentrl.learner.policy import load_policy, load_tokenizer, untied
from agentrl.options import read_options
from agentrl.pretrain.demonstrations import Demonstrator
from agentrl.pretrain.tokenizer import train_tokenizer
from agentrl.pretrain.training import Pretraining, Recipe, build_model
from agentrl.registry import make

_POOL = 512
_SAVE_EVERY = 20
_LONGEST = 1200
_TOKENIZER_EPISODES = 2400


def run_pretraining(
    out: Path,
    env: str,
    options: Sequence[str],
    variants: str,
    recipe: Sequence[str],
    vocabulary: int,
    seed: int,
    threads: int,
    init: Path | None = None,
) -> None:
    """Make a base policy in `out`; see `agentrl.cli.pretrain` for the arguments.

    Raises:
        ConfigError: A wrong option, or an environment without an expert.
    """
    if threads:
        torch.set_num_threads(threads)
    plan = _recipe(recipe)
    common = read_options(options, "--set")
    ((key, values),) = read_options([variants], "--variants").items()
    envs = [make(env, **common, **{key: value}) for value in values]
    _require_expert(envs[0], env)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer(init) if init else train_tokenizer(_texts(envs, seed), vocabulary)
    demonstrator = Demonstrator(tokenizer, plan.noise, _LONGEST, learn_noise=plan.learn_noise)
    model = build_model(plan, tokenizer, seed) if init is None else _load(init)
    # Seeds of pools start far from the tokenizer's; both stay far from any held-out split.
    run = Pretraining(
        model, plan, lambda k: demonstrator.pool(envs, "train", _POOL, seed * 10**6 + k)
    )
    state = out / "pretraining.pt"
    if state.exists():
        run.load(state)
    while not run.done:
        figures = run.run_pool()
        _report(out, figures, plan)
        if run.pools % _SAVE_EVERY == 0:
            run.save(state)
            _export(out, model, tokenizer)
    _export(out, model, tokenizer)
    state.unlink(missing_ok=True)
    made = {"env": env, "options": common, key: values, "seed": seed, **asdict(plan)}
    made["init"] = init.name if init is not None else None
    (out / "recipe.json").write_text(json.dumps(made, indent=2) + "\n")


def _load(directory: Path) -> Any:
    return load_policy(PolicyConfig(model=str(directory))).model


def _texts(envs: Sequence[TextEnv], seed: int) -> Iterator[str]:
    """Yield what is said in episodes that are played half by the expert, half at random."""
    rng = np.random.default_rng([seed, 1])
    for episode in range(_TOKENIZER_EPISODES):
        env = envs[episode % len(envs)]
        task = env.tasks.at("train", int(rng.integers(env.tasks.size("train"))))
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


def _report(out: Path, figures: dict[str, float], recipe: Recipe) -> None:
    with (out / "pretraining.jsonl").open("a") as file:
        file.write(json.dumps(figures) + "\n")
    print(
        f"{figures['tokens'] / 1e6:7.2f}M of {recipe.tokens / 1e6:.0f}M tokens"
        f"  loss {figures['loss']:.4f}  expert's tokens guessed {figures['expert_accuracy']:.4f}"
        f"  {figures['tokens_per_second']:,.0f} tok/s",
        flush=True,
    )


def _require_expert(env: TextEnv, name: str) -> None:
    _, info = env.reset(seed=0)
    if "expert_action" not in info or "admissible_actions" not in info:
        raise ConfigError(
            f"environment {name!r} gives no expert_action and admissible_actions with these "
            "options; pretraining clones an expert (for alfworld: --set expert=search)"
        )


def _recipe(entries: Sequence[str]) -> Recipe:
    fields = read_options(entries, "--recipe")
    for field in fields:
        if field not in Recipe.__dataclass_fields__:
            hint = did_you_mean(field, Recipe.__dataclass_fields__)
            raise ConfigError(f"unknown recipe field {field!r}; {hint}")
    return Recipe(**fields)
