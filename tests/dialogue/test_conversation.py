"""Memory, limits, restriction and the order of calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agentrl.config import DialogueConfig
from agentrl.dialogue import Conversation, build_dialogue
from agentrl.errors import ConfigError

Start = Callable[..., Conversation]


@pytest.fixture
def tokenizer(tokenizer_of: Any) -> Any:
    return tokenizer_of("line")


@pytest.fixture
def start(tokenizer: Any) -> Start:
    """Returns a conversation of these settings."""

    def make(context_length: int = 1000, **options: Any) -> Conversation:
        return build_dialogue(tokenizer, DialogueConfig(**options), context_length)()

    return make


@pytest.fixture
def answer(tokenizer: Any, complete: Any) -> Callable[..., Any]:
    """Returns the completion of a text, with stop id unless it is cut."""

    def make(text: str, cut: bool = False) -> Any:
        ids = tokenizer.encode(text, add_special_tokens=False)
        stop = [] if cut else [tokenizer.convert_tokens_to_ids("<|end|>")]
        return complete([*ids, *stop], "length" if cut else "stop")

    return make


def asked(dialogue: Conversation, observation: str, **info: Any) -> Any:
    dialogue.observe(observation, info)
    return dialogue.prompt()


def test_full_memory(start: Start, answer: Any, tokenizer: Any) -> None:
    dialogue = start()
    first = asked(dialogue, "a desk")
    assert tokenizer.decode(first.ids) == "<|observation|>a desk<|action|>"
    assert first.starts_segment
    assert dialogue.prompt() is first
    reply = dialogue.receive(answer("look"))
    assert (reply.action, reply.valid, reply.text, reply.problem) == ("look", True, "look", None)
    second = asked(dialogue, "a pen")
    assert tokenizer.decode(second.new_ids) == "<|observation|>a pen<|action|>"
    assert tokenizer.decode(second.ids) == (
        "<|observation|>a desk<|action|>look<|end|><|observation|>a pen<|action|>"
    )
    assert not second.starts_segment
    assert second.stop_ids == (tokenizer.convert_tokens_to_ids("<|end|>"),)
    with pytest.raises(ValueError, match="read-only"):
        second.ids[0] = 0


def test_earlier_prompts_stay_as_they_were_while_the_buffer_grows(
    start: Start, answer: Any
) -> None:
    dialogue = start(context_length=100_000)
    prompts = []
    for turn in range(60):
        prompt = asked(dialogue, f"You see {'a drawer ' * turn}.")
        prompts.append((prompt.ids, prompt.ids.tolist()))
        dialogue.receive(answer("open drawer 2"))
    assert all(ids.tolist() == before for ids, before in prompts)


def test_windowed_memory_keeps_the_task_and_the_last_turns(
    start: Start, answer: Any, tokenizer: Any
) -> None:
    dialogue = start(memory="window", window=2)
    seen = []
    for turn in range(5):
        prompt = asked(dialogue, f"o{turn}")
        assert prompt.starts_segment
        assert prompt.new_ids is prompt.ids
        seen.append(tokenizer.decode(prompt.ids))
        dialogue.receive(answer(f"a{turn}", cut=turn == 2))
    block, ended = "<|observation|>{}<|action|>", "a{}<|end|>"
    assert seen[0] == block.format("o0")
    assert seen[2] == (
        block.format("o0") + ended.format(0) + block.format("o1") + ended.format(1)
        + block.format("o2")
    )  # fmt: skip
    assert seen[4] == (
        block.format("o0\n\no2") + ended.format(2) + block.format("o3") + ended.format(3)
        + block.format("o4")
    )  # fmt: skip


def test_windowed_memory_replays_sampled_ids_not_text(
    start: Start, complete: Any, tokenizer: Any
) -> None:
    dialogue = start(memory="window")
    stop = tokenizer.convert_tokens_to_ids("<|end|>")
    unusual = [*tokenizer.convert_tokens_to_ids(list("desk")), stop]
    assert tokenizer.encode("desk", add_special_tokens=False) != unusual[:-1]
    asked(dialogue, "a")
    assert dialogue.receive(complete(unusual)).action == "desk"
    ids = asked(dialogue, "b").ids.tolist()
    assert any(ids[i : i + len(unusual)] == unusual for i in range(len(ids)))


def test_windowed_memory_forgets_more_where_the_context_is_short(
    start: Start, answer: Any, tokenizer: Any
) -> None:
    dialogue = start(context_length=30, memory="window", window=3)
    for turn in range(3):
        assert asked(dialogue, f"o{turn}") is not None
        dialogue.receive(answer(f"a{turn}"))
    prompt = asked(dialogue, "a desk 1 and a pen 2 and a drawer 3")
    text = tokenizer.decode(prompt.ids)
    assert text.startswith("<|observation|>o0\n\n")
    assert "a0" not in text
    assert len(prompt.ids) + prompt.max_tokens <= 30
    assert asked(start(context_length=10, memory="window"), "a long observation, 東京") is None


def test_windowed_memory_lists_actions_once(start: Start, answer: Any, tokenizer: Any) -> None:
    dialogue = start(memory="window", format="choice")
    for observation in "abc":
        prompt = asked(dialogue, observation, admissible_actions=["look"])
        assert tokenizer.decode(prompt.ids).count("1. look") == 1
        assert dialogue.receive(answer("1")).action == "look"


def test_limits(start: Start, answer: Any) -> None:
    dialogue = start(max_turn_tokens=6, max_episode_tokens=8)
    assert asked(dialogue, "a").max_tokens == 6
    dialogue.receive(answer("abcde"[:4]))
    assert dialogue.sampled == len(answer("abcd").token_ids)
    assert asked(dialogue, "b").max_tokens == 8 - dialogue.sampled
    dialogue.receive(answer("z" * (8 - dialogue.sampled), cut=True))
    assert asked(dialogue, "c") is None
    assert dialogue.overflow == "the episode's 8 sampled tokens are used up"


def test_the_context_limits_what_may_be_sampled(start: Start, answer: Any) -> None:
    length = len(asked(start(), "a desk").ids)
    exact = start(context_length=length)
    assert asked(exact, "a desk") is None
    assert exact.overflow == f"the prompt has {length} tokens and the context holds {length}"
    assert exact.prompt() is None
    one = start(context_length=length + 1)
    assert asked(one, "a desk").max_tokens == 1
    assert one.overflow is None
    one.receive(answer("x", cut=True))
    assert asked(one, "more") is None
    assert one.overflow is not None


def test_a_first_prompt_longer_than_the_context_is_an_outcome(start: Start) -> None:
    dialogue = start(context_length=50)
    assert asked(dialogue, "x " * 1000) is None
    assert dialogue.overflow is not None
    assert dialogue.overflow.endswith("the context holds 50")


def test_cut_off_completions(start: Start, answer: Any) -> None:
    plain = start()
    asked(plain, "a")
    assert plain.receive(answer("go to", cut=True)).action == "go to"
    tagged = start(format="xml")
    asked(tagged, "a")
    reply = tagged.receive(answer("<think>so", cut=True))
    assert (reply.action, reply.valid) == ("", False)
    assert reply.problem is not None
    assert reply.problem.startswith("Your answer was cut off after")
    assert asked(tagged, reply.problem) is not None


def test_restricted_decoding(start: Start, answer: Any, tokenizer: Any) -> None:
    actions = ["go to desk 1", "go to desk 1 2", "look"]
    dialogue = start(format="choice", restrict=True)
    prompt = asked(dialogue, "a room", admissible_actions=actions)
    assert tokenizer.decode(prompt.ids) == "<|observation|>a room<|action|>"
    assert [tokenizer.decode(choice) for choice in prompt.choices] == [
        f"{action}<|end|>" for action in actions
    ]
    completion = answer("go to desk 1")
    reply = dialogue.receive(completion)
    assert (reply.action, reply.valid) == ("go to desk 1", True)
    assert reply.allowed is not None
    assert len(reply.allowed.counts) == len(completion.token_ids)
    sets = np.split(reply.allowed.ids, np.cumsum(reply.allowed.counts)[:-1])
    assert all(token in ids for token, ids in zip(completion.token_ids, sets, strict=True))
    assert reply.allowed.counts[-1] == 2


def test_restricted_to_numbers(start: Start, answer: Any, tokenizer: Any) -> None:
    dialogue = start(format="choice", restrict="number")
    actions = ["look", "2", "go"]
    prompt = asked(dialogue, "a room", admissible_actions=actions)
    assert "1. look\n2. 2\n3. go<|action|>" in tokenizer.decode(prompt.ids)
    assert [tokenizer.decode(one) for one in prompt.choices] == [f"{n}<|end|>" for n in (1, 2, 3)]
    reply = dialogue.receive(answer("3"))
    assert (reply.action, reply.valid) == ("go", True)
    assert reply.allowed is not None
    assert list(reply.allowed.counts) == [3, 1]
    asked(dialogue, "a room", admissible_actions=["look", "3", "1"])
    assert dialogue.receive(answer("3")).action == "1", "a number means a place in the list"


def test_restriction_leaves_out_what_cannot_be_finished(start: Start, complete: Any) -> None:
    dialogue = start(format="choice", restrict=True, max_turn_tokens=5)
    prompt = asked(dialogue, "a", admissible_actions=["z", "z" * 20])
    assert len(prompt.choices) == 1
    hopeless = start(format="choice", restrict=True, max_turn_tokens=5)
    assert asked(hopeless, "a", admissible_actions=["z" * 20]) is None
    assert hopeless.overflow == "no admissible action fits into the 5 tokens left"


def test_an_engine_that_ignores_the_restriction_is_parsed_all_the_same(
    start: Start, answer: Any
) -> None:
    dialogue = start(format="choice", restrict=True)
    asked(dialogue, "a", admissible_actions=["look"])
    reply = dialogue.receive(answer(" LOOK"))
    assert (reply.action, reply.allowed) == ("look", None)
    asked(dialogue, "b", admissible_actions=["look"])
    reply = dialogue.receive(answer("dance"))
    assert not reply.valid
    assert reply.allowed is None


def test_choice_needs_an_environment_that_lists_its_actions(start: Start, answer: Any) -> None:
    with pytest.raises(ConfigError, match=r"dialogue\.format=plain"):
        start(format="choice").observe("a", {})
    dialogue = start(format="choice")
    asked(dialogue, "a", admissible_actions=["look"])
    dialogue.receive(answer("look"))
    assert asked(dialogue, "later without").choices is None


def test_observations_in_a_row_become_one(start: Start, tokenizer: Any) -> None:
    dialogue = start()
    dialogue.observe("a", {})
    dialogue.observe("b", {})
    prompt = dialogue.prompt()
    assert prompt is not None
    assert tokenizer.decode(prompt.ids) == "<|observation|>a\nb<|action|>"


def test_calls_out_of_order_are_bugs_of_the_caller(start: Start, answer: Any) -> None:
    dialogue = start()
    with pytest.raises(RuntimeError, match="observation first"):
        dialogue.prompt()
    with pytest.raises(RuntimeError, match="not answered yet"):
        dialogue.receive(answer("look"))
    asked(dialogue, "a")
    dialogue.receive(answer("look"))
    with pytest.raises(RuntimeError, match="not answered yet"):
        dialogue.receive(answer("look"))


def test_any_ids_make_a_reply(start: Start, complete: Any, tokenizer: Any) -> None:
    dialogue = start(context_length=100_000)
    rng = np.random.default_rng(0)
    for length in (0, 1, 7, 300):
        assert asked(dialogue, "a") is not None
        reply = dialogue.receive(complete(rng.integers(0, len(tokenizer) + 100, length)))
        assert reply.valid == bool(reply.action)
        assert reply.valid != bool(reply.problem)
