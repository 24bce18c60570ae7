"""How a base policy is made: the recipe that `agentrl pretrain` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from agentrl.config import Section, build_section, read_yaml
from agentrl.errors import ConfigError

_ASSETS = Path(__file__).resolve().parents[1] / "assets"
_SHIPPED = {name: _ASSETS / name / "recipe.yaml" for name in ("tiny", "tiny-qa")}


class World(Section):
    """An environment whose expert is cloned."""

    env: str
    """A registered name, or `file.py:Class`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the environment; one of them makes it tell `expert_action`."""
    share: float = Field(1.0, gt=0)
    """Its share of the episodes, beside the other worlds'."""
    tasks: int | None = Field(None, ge=1)
    """Play the first so many training tasks; None: all."""
    observation_weight: float = Field(0.2, ge=0)
    """Weight of observation tokens in the loss, beside 1 for learned moves."""
    noise: tuple[float, ...] = Field((0.0, 0.0, 0.1, 0.3), min_length=1)
    """Shares of random moves; each episode draws one of them."""
    learn_noise: bool = False
    """Learn the random moves too: a base that can play well and badly."""


class Shape(Section):
    """The size of a fresh model."""

    hidden: int = Field(256, ge=1)
    layers: int = Field(3, ge=1)
    heads: int = Field(4, ge=1)
    intermediate: int = Field(640, ge=1)


class Stage(Section):
    """One course of training, with an optimiser and a schedule of its own."""

    worlds: tuple[World, ...] = Field(min_length=1)
    """What is played."""
    tokens: int = Field(ge=1)
    """Training tokens, padding not counted."""
    vocabulary: int | None = Field(None, ge=1)
    """Ids the tokenizer grows to before the stage, by these worlds' texts; None: as it is."""
    context: int = Field(2048, ge=1)
    """Positions the model is said to have from this stage on."""
    longest: int = Field(1200, ge=1)
    """Tokens after which an episode is cut, after a whole turn."""
    batch_tokens: int = Field(8192, ge=1)
    """Tokens of one optimiser step, padding included."""
    learning_rate: float = Field(3e-3, gt=0)
    """The highest; see `agentrl.pretrain.training`."""
    warmup: float = Field(0.01, ge=0, lt=1)
    """Share of the stage."""
    weight_decay: float = Field(0.01, ge=0)
    bfloat16: bool = True
    """Compute in half precision."""
    compile: bool = False
    """Compile the forward pass: minutes at the start, then up to 1.4 times as fast."""


class Recipe(Section):
    """A base policy: a fresh model or one to go on from, and the stages of its training."""

    seed: int = 0
    """Decides weights, tasks and noise."""
    init: str | None = None
    """A model directory or `tiny` to go on from; None starts from scratch."""
    shape: Shape = Shape()
    """Of a fresh model."""
    stages: tuple[Stage, ...] = Field(min_length=1)
    """In order."""


def load_recipe(path: Path) -> Recipe:
    """Return the recipe of a YAML file, or of a shipped policy such as `tiny`.

    Raises:
        ConfigError: The file cannot be read, or a key or value is wrong.
    """
    file = path if path.exists() else _SHIPPED.get(str(path), path)
    recipe = build_section(Recipe, read_yaml(file), str(file))
    if recipe.init is None and recipe.stages[0].vocabulary is None:
        raise ConfigError(f"{file}: a policy from scratch needs stages.0.vocabulary, such as 1024")
    return recipe
