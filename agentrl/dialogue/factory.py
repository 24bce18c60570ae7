"""Builds the dialogue of a run from its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentrl.dialogue.choices import ChoiceEncoder
from agentrl.dialogue.codec import BaseCodec, Codec, load_codec
from agentrl.dialogue.conversation import Conversation, Rules
from agentrl.dialogue.formats import FORMATS, ActionFormat
from agentrl.errors import ConfigError, MissingExtraError, ModelError, did_you_mean

if TYPE_CHECKING:
    from agentrl.config import DialogueConfig


class ConversationFactory:
    """Makes a conversation for each episode.

    Attributes:
        codec: Renders text to ids and back.
        rules: What all conversations share.
    """

    def __init__(self, rules: Rules) -> None:
        """Make conversations by `rules`."""
        self.rules = rules
        self.codec: Codec = rules.codec

    def __call__(self) -> Conversation:
        """Start an episode's conversation."""
        return Conversation(self.rules)


def build_dialogue(
    tokenizer: Any,
    config: DialogueConfig,
    context_length: int,
    *,
    action_format: ActionFormat | None = None,
) -> ConversationFactory:
    """Return the factory of a run's conversations.

    Args:
        tokenizer: A Hugging Face tokenizer, a model directory or a model's name; or a codec.
        config: The configuration's `dialogue` section.
        context_length: Most ids that prompt and completion may have together.
        action_format: A format of the caller's own instead of the one the configuration names.

    Raises:
        ModelError: The tokenizer cannot be loaded or gives no way to render a conversation.
        ConfigError: The settings contradict each other.
        MissingExtraError: An optional package is missing.
    """
    if config.restrict and config.format != "choice" and action_format is None:
        raise ConfigError(
            f"dialogue.restrict needs dialogue.format=choice (got {config.format!r}): "
            "only a list of actions can restrict decoding"
        )
    if isinstance(tokenizer, str | Path):
        tokenizer = load_tokenizer(tokenizer)
    codec = tokenizer if isinstance(tokenizer, BaseCodec) else load_codec(tokenizer)
    chosen = action_format if action_format is not None else _format(config)
    system = config.system
    if system is None and codec.takes_instructions:
        system = chosen.instructions
    return ConversationFactory(
        Rules(
            codec=codec,
            restrict=ChoiceEncoder(codec.encode, codec.eos),
            format=chosen,
            system=system or None,
            memory=config.memory,
            window=config.window,
            max_turn_tokens=config.max_turn_tokens,
            max_episode_tokens=config.max_episode_tokens,
            context_length=context_length,
            needs_actions=action_format is None and config.format == "choice",
        )
    )


def load_tokenizer(name: str | Path) -> Any:
    """Return the tokenizer of a model directory or of a Hugging Face name.

    Raises:
        ModelError: There is no such model, or it has no usable tokenizer.
        MissingExtraError: `transformers` is not installed.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise MissingExtraError("transformers", "train", "loading a tokenizer") from None
    looks_local = isinstance(name, Path) or name.startswith(("/", ".", "~"))
    path = Path(name).expanduser()
    if looks_local and not path.is_dir():
        raise ModelError(f"no model directory {str(name)!r}; check policy.model")
    try:
        return AutoTokenizer.from_pretrained(str(path) if path.is_dir() else str(name))
    except Exception as error:
        # transformers raises OSError, ValueError, KeyError, … for one and the same cause.
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"cannot load the tokenizer of {str(name)!r}: {reason}") from error


def _format(config: DialogueConfig) -> ActionFormat:
    make = FORMATS.get(config.format)
    if make is None:
        raise ConfigError(
            f"unknown dialogue.format {config.format!r}; {did_you_mean(config.format, FORMATS)}"
        )
    return make(config.restrict)
