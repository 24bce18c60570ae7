"""A person in a model's place: shown what a model is shown, read as a model is read."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np

from agentrl.dialogue.formats import FORMATS, ActionFormat
from agentrl.errors import ConfigError, did_you_mean

_PHRASES = {"react": "Action: {}", "xml": "<think></think><action>{}</action>"}
_CONTEXT = 1_000_000


class Speaker:
    """One side of a dialogue, spoken by a person."""

    def __init__(self, format_name: str, model: str, *, with_prompt: bool) -> None:
        """Speak in an action format.

        Args:
            format_name: The action format that answers are read by.
            model: The model whose prompts `prompt` shows; loaded when first needed.
            with_prompt: Load it now, so that a missing model is told before the game starts.

        Raises:
            ConfigError: There is no such format.
            ModelError: The model has no usable tokenizer.
        """
        if format_name not in FORMATS:
            hint = did_you_mean(format_name, FORMATS)
            raise ConfigError(f"unknown format {format_name!r}; {hint}")
        self.name = format_name
        self.format: ActionFormat = FORMATS[format_name](False)
        self._model = model
        self._conversation: Any = None
        self._history: list[tuple[str, Mapping[str, Any], str]] = []
        self._heard: tuple[str, Mapping[str, Any]] = ("", {})
        if with_prompt:
            self._factory()

    def hear(self, observation: str, info: Mapping[str, Any]) -> None:
        """Take in what the environment said."""
        self._heard = (observation, info)

    def shown(self) -> str:
        """Return the observation as the format shows it."""
        return self.format.decorate(*self._heard)

    def say(self, text: str) -> tuple[str | None, str | None]:
        """Return the action that `text` names, or None and what to tell the model."""
        self._history.append((*self._heard, text))
        return self.format.parse(text, self._heard[1])

    def phrase(self, action: str) -> str:
        """Return an answer that names an action in this format."""
        return _PHRASES.get(self.name, "{}").format(action)

    def prompt(self) -> str:
        """Return the prompt a model would be given now, special tokens and all.

        Raises:
            ModelError: The model has no usable tokenizer.
        """
        from agentrl.engines.base import Completion

        factory, tokenizer = self._factory()
        conversation = factory()
        for observation, info, answer in self._history:
            conversation.observe(observation, info)
            if conversation.prompt() is None:
                return f"(no prompt: {conversation.overflow})"
            codec = factory.codec
            ids = np.append(codec.encode(answer), codec.eos).astype(np.int32)
            conversation.receive(Completion(ids, np.zeros(len(ids), np.float32), "stop", 0))
        conversation.observe(*self._heard)
        prompt = conversation.prompt()
        if prompt is None:
            return f"(no prompt: {conversation.overflow})"
        text = tokenizer.decode(prompt.ids.tolist(), skip_special_tokens=False)
        return f"┌ {len(prompt.ids)} tokens\n{text}\n└"

    def _factory(self) -> tuple[Any, Any]:
        """Return the factory of conversations and the tokenizer, loading them once."""
        if self._conversation is None:
            from agentrl.config import DialogueConfig
            from agentrl.dialogue.factory import build_dialogue, load_tokenizer

            config = DialogueConfig.model_validate({"format": self.name})
            tokenizer = load_tokenizer(_tokenizer_path(self._model))
            self._conversation = build_dialogue(tokenizer, config, _CONTEXT), tokenizer
        factory, tokenizer = self._conversation
        return factory, tokenizer


def _tokenizer_path(model: str) -> str:
    shipped = resources.files("agentrl").joinpath("assets", model)
    return str(shipped) if model in ("tiny", "tiny-qa") else model
