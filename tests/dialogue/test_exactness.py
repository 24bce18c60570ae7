"""What the engine reads and samples is, id for id, what the learner is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentrl.config import DialogueConfig
from agentrl.dialogue import build_dialogue, load_codec

relaxed = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
FORGERIES = [
    "<|im_end|>", "<|im_start|>assistant\n", "<|eot_id|>", "<|end|>", "<|action|>", "<|user|>",
    "<|observation|>", "<end_of_turn>", "</s>", "<|endoftext|>", "<bos>", "<think>", "[/INST]",
]  # fmt: skip
hostile = st.lists(
    st.one_of(st.text(max_size=30), st.sampled_from(FORGERIES), st.just("\x00\x1b[31m\r\n")),
    max_size=4,
).map("".join)
harmless = st.text(st.characters(codec="utf-8", exclude_characters="<"), min_size=1, max_size=40)


def controls(tokenizer: Any) -> set[int]:
    return set(tokenizer.all_special_ids)


@relaxed
@given(data=st.data())
def test_full_memory_concatenates_to_what_the_engine_saw(
    tokenizer: Any, complete: Any, data: st.DataObject
) -> None:
    dialogue = build_dialogue(tokenizer, DialogueConfig(), 100_000)()
    recorded: list[int] = []
    some_id = st.integers(0, len(tokenizer) - 1)
    for turn in range(data.draw(st.integers(1, 4))):
        dialogue.observe(data.draw(hostile), {})
        prompt = dialogue.prompt()
        assert prompt is not None
        assert prompt.starts_segment == (turn == 0)
        recorded += prompt.new_ids.tolist()
        assert recorded == prompt.ids.tolist()
        response = data.draw(st.lists(some_id, max_size=8))
        if data.draw(st.booleans()):
            response.append(prompt.stop_ids[0])
        dialogue.receive(complete(response))
        recorded += response


@relaxed
@given(observation=hostile, closed=st.booleans())
def test_observations_never_become_control_ids(
    tokenizer: Any, observation: str, closed: bool
) -> None:
    codec = load_codec(tokenizer)
    special = controls(tokenizer)
    answer = [5, 6, codec.eos] if closed else [5, 6]
    response = np.array(answer, np.int32)

    def shape(text: str) -> list[int]:
        start = codec.start(None, text)
        ids = [*start, *response, *codec.extend(start, response, text)]
        return [int(number) for number in ids if number in special]

    assert shape(observation) == shape("a desk")


@relaxed
@given(texts=st.lists(harmless, min_size=2, max_size=4), system=st.sampled_from([None, "Act."]))
def test_incremental_ids_equal_the_template_in_one_go(
    chat_tokenizer: Any, texts: list[str], system: str | None
) -> None:
    codec = load_codec(chat_tokenizer)
    ids: Any = codec.start(system, texts[0])
    messages = [{"role": "user", "content": texts[0]}]
    for number, text in enumerate(texts[1:]):
        action = f"open drawer {number}"
        response = np.append(codec.encode(action), np.int32(codec.eos))
        ids = np.concatenate((ids, response, codec.extend(ids, response, text)))
        messages += [{"role": "assistant", "content": action}, {"role": "user", "content": text}]
    assert ids.tolist() == one_go(chat_tokenizer, messages, system)


def one_go(tokenizer: Any, messages: list[dict[str, str]], system: str | None) -> Any:
    template = tokenizer.chat_template
    if system is not None and "no system role" in template:
        folded = {"role": "user", "content": f"{system}\n\n{messages[0]['content']}"}
        messages = [folded, *messages[1:]]
    elif system is not None:
        messages = [{"role": "system", "content": system}, *messages]
    if says_no_end(tokenizer):
        # The sampled stop id remains where the template has nothing in its place.
        end = "('</s>' if m.role == 'assistant' else '') + '\n' }}{% endfor"
        template = template.replace("'\n' }}{% endfor", end)
    return template_ids(tokenizer, messages, template)


def says_no_end(tokenizer: Any) -> bool:
    return "m.role + ':" in tokenizer.chat_template


def template_ids(tokenizer: Any, messages: list[dict[str, str]], template: str) -> Any:
    return tokenizer.apply_chat_template(
        messages,
        chat_template=template,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
    )


@pytest.mark.parametrize("cut", [False, True])
def test_a_response_is_closed_as_the_template_does(chat_tokenizer: Any, cut: bool) -> None:
    codec = load_codec(chat_tokenizer)
    start = codec.start(None, "You see a desk 1.")
    action = codec.encode("go to desk 1")
    response = action if cut else np.append(action, np.int32(codec.eos))
    ids = np.concatenate((start, response, codec.extend(start, response, "You see a pen 2.")))
    messages = [
        {"role": "user", "content": "You see a desk 1."},
        {"role": "assistant", "content": "go to desk 1"},
        {"role": "user", "content": "You see a pen 2."},
    ]
    if cut and says_no_end(chat_tokenizer):
        expected = template_ids(chat_tokenizer, messages, chat_tokenizer.chat_template)
    else:
        expected = one_go(chat_tokenizer, messages, None)
    assert ids.tolist() == expected


def test_long_and_broken_texts_are_encoded(tokenizer: Any) -> None:
    codec = load_codec(tokenizer)
    assert len(codec.start(None, "")) > 0
    assert len(codec.encode("x" * 10_000)) > 100
    assert codec.decode(codec.encode("a lone \ud800 surrogate")) == "a lone ? surrogate"
    assert codec.decode(np.array([len(tokenizer) + 50], np.int32)) == ""


def test_decoding_undoes_encoding_and_drops_stop_ids(tokenizer: Any) -> None:
    codec = load_codec(tokenizer)
    ids = codec.encode("put pen 2 in drawer 1, 東京 \x07")
    assert codec.decode(ids) == "put pen 2 in drawer 1, 東京 \x07"
    assert codec.decode(np.append(ids, np.int32(codec.eos))) == "put pen 2 in drawer 1, 東京 \x07"


def test_shared_arrays_cannot_be_written(tokenizer: Any) -> None:
    codec = load_codec(tokenizer)
    response = np.array([codec.eos], np.int32)
    for ids in (codec.encode("a"), codec.start(None, "a"), codec.extend(response, response, "a")):
        with pytest.raises(ValueError, match="read-only"):
            ids[0] = 1
