r"""The completion by which a policy would give the reference answer, as ids.

A template holds `{answer}` where the answer stands. It comes from the configuration, or from the
environment (an action such as `answer[{answer}]`) as the dialogue's format writes actions. That of
the IGPO paper (arXiv 2510.14967), which ends a thought and answers in a tag, is

    answer:
      template: "\nNow there's enough information to answer\n</think>\n\
        <answer>\n{answer}\n</answer>"
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from agentrl.dialogue.formats import ActionFormat, WritesActions
from agentrl.dialogue.text import frozen
from agentrl.engines.base import Ids
from agentrl.errors import ConfigError

MARK = "{answer}"


@dataclass(frozen=True, slots=True, eq=False)
class AnswerBlock:
    """What is appended to a prefix; what would close the completion cannot matter to the answer."""

    opener: Ids
    """What leads to the answer; shape [length], may be empty."""
    answer: Ids
    """The ids that are scored; shape [length], empty for an empty answer."""

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self.opener) + len(self.answer)


class AnswerWriter:
    """Writes answers into a template and encodes them as the policy would sample them."""

    def __init__(self, tokenizer: Any, template: str) -> None:
        """Prepare.

        Args:
            tokenizer: The policy's Hugging Face tokenizer.
            template: A completion with `{answer}` in the answer's place.

        Raises:
            ConfigError: The template does not hold `{answer}` once.
        """
        if template.count(MARK) != 1:
            raise ConfigError(
                f"answer.template must hold {MARK} once, not {template.count(MARK)} times: "
                f"{template!r}"
            )
        self._opener, _, self._closer = template.partition(MARK)
        self._tokenizer = tokenizer
        self._backend = _backend(tokenizer, plain=False)
        self._plain_backend = _backend(tokenizer, plain=True)
        self._cached = lru_cache(8192)(self._write)

    def __call__(self, answer: str) -> AnswerBlock:
        """Return the block of an answer; any text will do."""
        # Lone surrogates cannot cross into the tokenizer.
        return self._cached(answer.encode("utf-8", "replace").decode())

    def _write(self, answer: str) -> AnswerBlock:
        if self._backend is None:
            return AnswerBlock(self._alone(self._opener), self._alone(answer))
        # Tokens can reach over the answer's borders (" Paris", ".]"). The policy would sample the
        # ids of the completion as a whole, so that is what gets encoded, and a token that holds any
        # character of the answer counts as its own.
        encoding = self._reader(answer).encode(
            f"{self._opener}{answer}{self._closer}", add_special_tokens=False
        )
        first, end = len(self._opener), len(self._opener) + len(answer)
        inside = [place for place, (a, b) in enumerate(encoding.offsets) if a < end and b > first]
        if not answer or not inside:
            return AnswerBlock(frozen(encoding.ids[:0]), frozen([]))
        ids = encoding.ids
        return AnswerBlock(frozen(ids[: inside[0]]), frozen(ids[inside[0] : inside[-1] + 1]))

    def _reader(self, answer: str) -> Any:
        """Return the tokenizer that reads marks such as `</think>` as the ids they stand for.

        In templates that is what is meant, in answers it is not.
        """
        marked = self._backend.encode(answer, add_special_tokens=False).ids
        plain = self._plain_backend.encode(answer, add_special_tokens=False).ids
        return self._backend if marked == plain else self._plain_backend

    def _alone(self, text: str) -> Ids:
        return frozen(self._tokenizer.encode(text, add_special_tokens=False))


def answer_template(configured: str | None, action: str | None, action_format: ActionFormat) -> str:
    """Return the completion that gives an answer, with `{answer}` in its place.

    Args:
        configured: `answer.template` of the configuration: used as it is.
        action: The environment's `answer_template`: the action that answers.
        action_format: How the dialogue writes actions.

    Raises:
        ConfigError: Nobody says how an answer is written.
    """
    if configured is not None:
        return configured
    if action is None:
        raise ConfigError(
            "the environment does not say how an answer is given; set answer.template to the "
            "completion that gives it, such as 'answer[{answer}]'"
        )
    if not isinstance(action_format, WritesActions):
        raise ConfigError(
            f"the dialogue's format {type(action_format).__name__} cannot write actions; set "
            "answer.template to the completion that gives an answer, with {answer} in its place"
        )
    return action_format.write(action)


def _backend(tokenizer: Any, *, plain: bool) -> Any:
    """Return a copy of a fast tokenizer's backend, or None for a slow tokenizer."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    copy = type(backend).from_str(backend.to_str())
    copy.encode_special_tokens = plain
    copy.no_padding()
    copy.no_truncation()
    return copy
