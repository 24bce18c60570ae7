"""Checks options against what an engine takes, before it starts anything."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from pydantic import ConfigDict, create_model

from agentrl.config.files import build_section
from agentrl.config.section import Section
from agentrl.errors import ConfigError

_NOT_OPTIONS = {"model", "max_batch", "version", "deployment", "needs", "say"}
"""Parameters that come from elsewhere than `engine.options`."""


class _Options(Section):
    model_config = ConfigDict(arbitrary_types_allowed=True)


def check_engine_options(
    name: str, factory: Callable[..., Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return options in the types that an engine's parameters are annotated with.

    Args:
        name: The engine's.
        factory: Makes the engine. Its keyword parameters are the options; where it has `**`, so are
            those of the functions in its attribute `option_sources`, or without one any at all.
        options: `engine.options` of a configuration.

    Raises:
        ConfigError: The engine has no such option, or it is of another type; or the engine cannot
            serve the policy of a run.
    """
    taken = inspect.signature(factory).parameters
    if "max_batch" not in taken:
        raise ConfigError(
            f"engine={name} serves no policy of a run, and is used from Python alone; "
            "use engine=transformers or engine=vllm"
        )
    if "max_batch" in options:
        raise ConfigError("engine.options has no max_batch; set engine.max_batch")
    sources = getattr(factory, "option_sources", ())
    has_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in taken.values())
    if has_any and not sources:
        return dict(options)
    fields = {key: hint for each in (factory, *sources) for key, hint in _parameters(each).items()}
    # Its overloads know no fields that are found at run time.
    kind = create_model(  # type: ignore[call-overload]
        "Options", __base__=_Options, **{key: (hint, None) for key, hint in fields.items()}
    )
    read = build_section(kind, options, f"engine.options of {name}")
    return {key: getattr(read, key) for key in options}


def _parameters(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the types of the keyword parameters that options can set."""
    annotated = function.__init__ if inspect.isclass(function) else function
    hints = get_type_hints(annotated)
    return {
        name: hints.get(name, Any)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in _NOT_OPTIONS
    }
