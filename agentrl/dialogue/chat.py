"""Rendering through chat templates, on the `renderers` package.

Known model families come with a renderer of their own, whose `bridge_to_next_turn` says what
stands between two turns; for any other chat template the same is found by rendering a marked
conversation once. After that a turn costs one (cached) encoding of its observation.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from agentrl.dialogue.codec import BaseCodec
from agentrl.dialogue.frames import Cutter
from agentrl.dialogue.slots import Slot, fit_slot
from agentrl.dialogue.text import frozen
from agentrl.engines.base import Ids
from agentrl.errors import MissingExtraError, ModelError

_FIRST, _ANSWER, _MARK = "first agentrl text", "agentrl answer", "marked agentrl text"

Message = dict[str, str]


class ChatCodec(BaseCodec):
    """Renders conversations as a model's chat template does, by appending ids only."""

    def __init__(self, tokenizer: Any, renderer: Any = None) -> None:
        """Learn the template's fixed parts.

        Args:
            tokenizer: A Hugging Face tokenizer.
            renderer: A renderer of the `renderers` package; None chooses one.

        Raises:
            ModelError: The template fails, or cannot be extended turn by turn.
            MissingExtraError: `renderers` is not installed.
        """
        super().__init__(tokenizer)
        self._name = getattr(tokenizer, "name_or_path", "") or "the tokenizer"
        self._renderer = renderer if renderer is not None else choose_renderer(tokenizer)
        controls = frozenset([*tokenizer.added_tokens_decoder, *tokenizer.all_special_ids])
        self._cutter = Cutter(controls, self.text.spell)
        self._opening = self._render(_turns(_FIRST))
        self._answer = self.encode(_ANSWER).tolist()
        self._has_system = self._shows_system()
        self._next, close = self._learn_next()
        stops = [*close[-1:], *self._renderer.get_stop_token_ids()]
        self.stop_ids = tuple(dict.fromkeys(stops))
        if not self.stop_ids:
            raise ModelError(
                f"{self._name}: nothing ends a response; give the tokenizer an eos_token"
            )
        self._close = close
        self._protect_controls(tokenizer)
        self._first_slot = lru_cache(64)(self._learn_first)
        self._first_block = lru_cache(2048)(self._fill_first)
        self._next_block = lru_cache(8192)(self._fill_next)

    def start(self, system: str | None, observation: str) -> Ids:
        """Return a first prompt; see `Codec.start`."""
        fill = self._first_block if len(observation) <= 4096 else self._fill_first
        return fill(system, observation)

    def extend(self, prompt_ids: Ids, response_ids: Ids, observation: str) -> Ids:
        """Return what follows a response; see `Codec.extend`."""
        block = (self._next_block if len(observation) <= 4096 else self._fill_next)(observation)
        if len(response_ids) and response_ids[-1] == self.stop_ids[0]:
            return block
        closing = self._closing(prompt_ids.tolist(), response_ids.tolist())
        return frozen([*closing, *block]) if closing else block

    def _fill_first(self, system: str | None, observation: str) -> Ids:
        if system and not self._has_system:
            return frozen(self._first_slot(None).fill(f"{system}\n\n{observation}"))
        return frozen(self._first_slot(system or None).fill(observation))

    def _fill_next(self, observation: str) -> Ids:
        return frozen(self._next.fill(observation))

    def _closing(self, prompt: list[int], response: list[int]) -> Sequence[int]:
        """Return the ids that close a response which did not end with the template's stop id."""
        sampled = [*prompt, *response]
        bridged = self._bridge(prompt, response, _MARK)
        if bridged is None or bridged[: len(sampled)] != sampled:
            return self._close
        extension = bridged[len(sampled) :]
        following = self._next.fill(_MARK)
        closing = extension[: len(extension) - len(following)]
        return closing if [*closing, *following] == extension else self._close

    def _learn_next(self) -> tuple[Slot, tuple[int, ...]]:
        """Return the slot that follows a closed answer, and the ids that close it."""
        closed = [*self._answer, *self._renderer.get_stop_token_ids()[:1]]
        bridged = self._bridge(self._opening, closed, _MARK)
        if bridged is not None:
            frame = self._cutter.cut(bridged[len(self._opening) + len(closed) :], _MARK)
            if frame is not None:
                slot = fit_slot(
                    frame, self.text, lambda text: self._bridge(self._opening, closed, text) or []
                )
                if slot is not None:
                    return slot, tuple(closed[-1:])
        found = self._cutter.cut_after(self._render(_turns(_FIRST, _MARK)), _ANSWER, _MARK)
        if found is None:
            raise self._unusable("its rendering of a conversation does not hold the messages' text")
        trail, close, frame = found
        slot = fit_slot(frame, self.text, lambda text: self._render(_turns(_FIRST, text)))
        if slot is None:
            raise self._unusable("it changes the text of user messages")
        return slot, (*self.encode(trail).tolist(), *close) if trail else close

    def _learn_first(self, system: str | None) -> Slot:
        frame = self._cutter.cut(self._render(_turns(_MARK, system=system)), _MARK)
        if frame is None:
            raise self._unusable("its rendering of a conversation does not hold the first message")
        slot = fit_slot(frame, self.text, lambda text: self._render(_turns(text, system=system)))
        if slot is None:
            raise self._unusable("it changes the text of the first user message")
        return slot

    def _protect_controls(self, tokenizer: Any) -> None:
        frame = self._next.frame
        used = {*self._opening, *frame.head, *frame.tail, *self._close, *self.stop_ids}
        forgeable = (used & self._cutter.controls) - set(tokenizer.all_special_ids)
        if forgeable:
            self.text.protect(forgeable)

    def _shows_system(self) -> bool:
        try:
            ids = self._render(_turns(_FIRST, system=_MARK))
        except ModelError:
            return False
        return self._cutter.cut(ids, _MARK) is not None

    def _render(self, messages: list[Message]) -> list[int]:
        try:
            return list(self._renderer.render_ids(messages, add_generation_prompt=True))
        except Exception as error:
            # Templates are programs of strangers and raise whatever they like.
            reason = " ".join(str(error).split())[:200]
            raise self._unusable(f"rendering fails with {reason!r}") from error

    def _bridge(self, prompt: list[int], response: list[int], text: str) -> list[int] | None:
        bridged = self._renderer.bridge_to_next_turn(prompt, response, _turns(text))
        return None if bridged is None else list(bridged.token_ids)

    def _unusable(self, why: str) -> ModelError:
        return ModelError(
            f"{self._name}: the chat template cannot be used turn by turn: {why}; "
            "put another chat_template into its tokenizer_config.json"
        )


def knows(tokenizer: Any) -> bool:
    """Return whether `renderers` has a renderer for the tokenizer's model family."""
    return _family(tokenizer) is not None


def choose_renderer(tokenizer: Any) -> Any:
    """Return the renderer of the tokenizer's family, or the one that runs its chat template.

    A local copy of a known model (by the directory's name) gets the family's renderer where that
    agrees with the copy's own chat template.

    Raises:
        MissingExtraError: `renderers` is not installed.
    """
    try:
        from renderers import DefaultRendererConfig, create_renderer
    except ImportError:
        raise MissingExtraError("renderers", "train", "rendering chat templates") from None
    own = getattr(tokenizer, "chat_template", None)
    template = create_renderer(tokenizer, DefaultRendererConfig()) if own else None
    family = _family(tokenizer)
    known = _family_renderer(tokenizer, family) if family is not None else None
    if known is None:
        return template
    return known if template is None or _agree(known, template) else template


def _family(tokenizer: Any) -> str | None:
    try:
        from renderers.base import MODEL_RENDERER_MAP
    except ImportError:
        return None
    name = str(getattr(tokenizer, "name_or_path", "") or "").rstrip("/")
    by_directory = {model.rpartition("/")[2]: kind for model, kind in MODEL_RENDERER_MAP.items()}
    family = MODEL_RENDERER_MAP.get(name) or by_directory.get(name.rpartition("/")[2])
    return None if family is None else str(family)


def _family_renderer(tokenizer: Any, family: str) -> Any:
    from renderers import config_from_name, create_renderer

    config = config_from_name(family)
    for options in ({"thinking_retention": "all"}, {}):
        # Not every family can keep thoughts across turns, and a copy may lack the family's tokens.
        try:
            return create_renderer(tokenizer, type(config)(**options))
        except Exception:
            continue
    return None


def _agree(known: Any, template: Any) -> bool:
    messages = _turns(_FIRST, _MARK, system="agentrl system")
    try:
        ours, theirs = (
            list(renderer.render_ids(messages, add_generation_prompt=True))
            for renderer in (known, template)
        )
    except Exception:
        return False
    return bool(ours == theirs)


def _turns(*texts: str, system: str | None = None) -> list[Message]:
    """Return a conversation: user texts with the marked answer between them."""
    messages = [] if system is None else [{"role": "system", "content": system}]
    for position, text in enumerate(texts):
        if position:
            messages.append({"role": "assistant", "content": _ANSWER})
        messages.append({"role": "user", "content": text})
    return messages
