"""Settings written as `key=value` with the value in YAML, as flags of commands take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentrl.errors import ConfigError


def read_options(words: Sequence[str], flag: str) -> dict[str, Any]:
    """Return what words of the form `key=value` say.

    Args:
        words: Such as `difficulty=[1, 2]`.
        flag: Where they were written, such as `--set`; errors name it.

    Raises:
        ConfigError: A word is of another form, or its value is not YAML.
    """
    import yaml

    options: dict[str, Any] = {}
    for word in words:
        key, separator, text = word.partition("=")
        if not separator or not key.isidentifier():
            raise ConfigError(f"{flag} {word!r} is not of the form key=value")
        try:
            options[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"the value of {flag} {word!r} is not valid YAML") from None
    return options
