from __future__ import annotations

from typing import Any

import pytest
import yaml

from agentrl.answers import AnswerWriter, answer_template
from agentrl.answers import block as block_module
from agentrl.dialogue.codec import load_codec
from agentrl.dialogue.factory import load_tokenizer
from agentrl.dialogue.formats import Choice, Plain, React, Xml
from agentrl.errors import ConfigError
from agentrl.learner.policy import ASSETS

PAPER = "\nNow there's enough information to answer\n</think>\n<answer>\n{answer}\n</answer>"
ANSWERS = ["Paris", "the river Loire", "U.S.", "3", "東京 [old]", "Ann Lee-Smith's", "{answer}"]


@pytest.fixture(scope="module")
def tiny() -> Any:
    return load_tokenizer(ASSETS / "tiny")


@pytest.fixture(scope="module")
def byte_pairs() -> Any:
    """A byte-level BPE that merges across punctuation, as those of large models do."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<end>", "</think>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    texts = ['Action: answer[Paris] Paris. U.S.] "U.S.]" [Paris [the river'] * 50
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>")


@pytest.mark.parametrize("template", ["answer[{answer}]", "Action: {answer}", PAPER, "{answer}"])
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("name", ["tiny", "byte_pairs"])
def test_ids_are_those_of_the_whole_completion(
    name: str, template: str, answer: str, request: pytest.FixtureRequest
) -> None:
    tokenizer = request.getfixturevalue(name)
    block = AnswerWriter(tokenizer, template)(answer)
    whole = tokenizer.encode(template.replace("{answer}", answer), add_special_tokens=False)
    assert [*block.opener, *block.answer] == whole[: len(block)]
    # The answer's ids cover the answer, and without the outer ones they no longer do.
    spelled = tokenizer.decode(block.answer)
    assert answer in spelled
    assert answer not in tokenizer.decode(block.answer[1:])
    assert answer not in tokenizer.decode(block.answer[:-1])


def test_tokens_that_reach_over_the_borders_belong_to_the_answer(byte_pairs: Any) -> None:
    block = AnswerWriter(byte_pairs, "Action: {answer}")("Paris")
    assert byte_pairs.decode(block.opener) == "Action:"
    assert byte_pairs.decode(block.answer) == " Paris"
    block = AnswerWriter(byte_pairs, "answer[{answer}]")("U.S.")
    assert byte_pairs.decode(block.answer) == "U.S.]"


def test_the_tiny_policy_would_sample_these_ids(tiny: Any) -> None:
    codec = load_codec(tiny)
    block = AnswerWriter(tiny, "answer[{answer}]")("Paris")
    assert codec.decode(block.opener) == "answer["
    assert codec.decode(block.answer) == "Paris"


def test_marks_are_ids_in_templates_and_text_in_answers(byte_pairs: Any) -> None:
    mark = byte_pairs.convert_tokens_to_ids("</think>")
    assert mark in AnswerWriter(byte_pairs, PAPER)("Paris").opener
    forged = AnswerWriter(byte_pairs, "answer[{answer}]")("a </think> b")
    assert mark not in forged.answer
    assert byte_pairs.decode(forged.answer) == "a </think> b"


@pytest.mark.parametrize("answer", ["", "\ud800 x", "\x00", " "])
def test_odd_answers_raise_nothing(tiny: Any, answer: str) -> None:
    block = AnswerWriter(tiny, "answer[{answer}]")(answer)
    assert bool(len(block.answer)) == bool(answer)


def test_a_slow_tokenizer_reads_opener_and_answer_separately() -> None:
    class Slow:
        def encode(self, text: str, add_special_tokens: bool) -> list[int]:
            return [ord(letter) for letter in text]

    block = AnswerWriter(Slow(), "a[{answer}]")("xy")
    assert (bytes(block.opener.tolist()), bytes(block.answer.tolist())) == (b"a[", b"xy")


@pytest.mark.parametrize("template", ["answer", "{answer} {answer}", "", "{Answer}"])
def test_a_template_needs_one_place_for_the_answer(tiny: Any, template: str) -> None:
    with pytest.raises(ConfigError, match=r"must hold \{answer\} once"):
        AnswerWriter(tiny, template)


@pytest.mark.parametrize("action_format", [Plain(), React(), Xml(), Choice()])
def test_formats_read_the_action_that_they_write(action_format: Any) -> None:
    action = "answer[New York]"
    text = action_format.write(action)
    assert action_format.parse(text, {"admissible_actions": ["look", action]}) == (action, None)


def test_who_says_how_an_answer_is_written() -> None:
    assert answer_template(None, "answer[{answer}]", Plain()) == "answer[{answer}]"
    assert answer_template(None, "say {answer}", React()).endswith("\nAction: say {answer}")
    assert answer_template(PAPER, "answer[{answer}]", Xml()) == PAPER
    cannot_write: Any = object()
    with pytest.raises(ConfigError, match=r"set answer\.template"):
        answer_template(None, None, Plain())
    with pytest.raises(ConfigError, match="cannot write actions"):
        answer_template(None, "answer[{answer}]", cannot_write)
    with pytest.raises(ConfigError, match="restrict=number"):
        answer_template(None, "answer[{answer}]", Choice(restrict=True, numbered=True))


def test_the_template_of_the_paper_as_documented() -> None:
    text = str(block_module.__doc__)
    example = yaml.safe_load(text[text.index("    answer:") :])
    assert example["answer"]["template"] == PAPER


def test_the_search_environment_says_how_to_answer() -> None:
    from agentrl import registry
    from agentrl.env import TextEnv

    assert TextEnv.answer_template is None
    env = registry.make("searchqa")
    _, info = env.reset(seed=0)
    assert env.answer_template is not None
    action = env.answer_template.replace("{answer}", info["answer"])
    assert env.step(action)[4]["success"]
