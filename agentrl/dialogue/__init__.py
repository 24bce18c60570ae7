"""Between environment and model: prompts, memory, action formats, rendering to ids and back."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrl.dialogue.codec import Codec, load_codec
    from agentrl.dialogue.conversation import Conversation
    from agentrl.dialogue.factory import ConversationFactory, build_dialogue
    from agentrl.dialogue.formats import FORMATS, ActionFormat

# Imported on first use: the contract in `base` must stay cheap to import.
_HOMES = {
    "FORMATS": "formats",
    "ActionFormat": "formats",
    "Codec": "codec",
    "Conversation": "conversation",
    "ConversationFactory": "factory",
    "build_dialogue": "factory",
    "load_codec": "codec",
}

__all__ = [
    "FORMATS",
    "ActionFormat",
    "Codec",
    "Conversation",
    "ConversationFactory",
    "build_dialogue",
    "load_codec",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'agentrl.dialogue' has no attribute {name!r}")
    return getattr(import_module(f"agentrl.dialogue.{_HOMES[name]}"), name)
