"""A model behind an endpoint as something to evaluate."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from agentrl.config import Config
from agentrl.engines.openai.options import Options, find_endpoint, is_url, read_options
from agentrl.engines.openai.probe import find_model
from agentrl.errors import ConfigError
from agentrl.evaluation.target import Target, results_folder

ENGINE = "openai"
_LONGEST_EXTRA = 80


def endpoint_target(name: str, config: Config) -> Target:
    """Return a model behind an endpoint, once that has answered.

    Where the settings leave it open, as many episodes run as requests may, so that a stopped
    evaluation has lost few, and none has a deadline: it would count the waiting for rate limits.

    Args:
        name: The model's name there, or the endpoint's URL, which then has one model.
        config: What to play and how.

    Raises:
        ConfigError: A setting is wrong, or the endpoint has no such model.
        EngineFault: Nothing answers.
    """
    options = read_options(_options(name, config))
    if config.dialogue.restrict:
        raise ConfigError(
            "an endpoint cannot be restricted to the admissible actions; set "
            "dialogue.restrict=false (dialogue.format=choice lists them in the prompt)"
        )
    endpoint = find_endpoint(options)
    model = find_model(endpoint, None if is_url(name) else name)
    label = f"{model}@{endpoint.name}{_extra(options)}"
    settings = {**options.model_dump(), "base_url": endpoint.url}
    adapted = _adapted(config, settings)
    return Target(adapted, model, label, results_folder(), _asked_otherwise(options))


def _options(name: str, config: Config) -> dict[str, Any]:
    given = dict(config.engine.options)
    if not is_url(name):
        return given
    if config.engine.name != ENGINE and "name" in config.engine.model_fields_set:
        raise ConfigError(
            f"a URL is evaluated with engine={ENGINE}; leave out engine={config.engine.name}, or "
            "name a model instead"
        )
    if given.get("base_url", name) != name:
        raise ConfigError(f"--model {name} and engine.options.base_url differ; give one of them")
    return {**given, "base_url": name}


def _adapted(config: Config, options: dict[str, Any]) -> Config:
    rollout = config.rollout
    changes: dict[str, Any] = {"concurrency": options["max_concurrency"], "episode_seconds": None}
    open_ = {key: value for key, value in changes.items() if key not in rollout.model_fields_set}
    engine = config.engine.model_copy(update={"name": ENGINE, "options": options})
    return config.model_copy(update={"engine": engine, "rollout": rollout.model_copy(update=open_)})


def _asked_otherwise(options: Options) -> dict[str, Any]:
    """Return the options that change results, `extra` apart, which the label names."""
    asked = {"context_length": options.context_length, "omit": sorted(set(options.omit))}
    return {name: value for name, value in asked.items() if value}


def _extra(options: Options) -> str:
    """Return the extra fields of requests for a label: they are part of who answers."""
    if not options.extra:
        return ""
    text = json.dumps(options.extra, sort_keys=True, default=str)
    if len(text) > _LONGEST_EXTRA:
        return f" extra-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return " " + " ".join(f"{key}={value}" for key, value in sorted(options.extra.items()))
