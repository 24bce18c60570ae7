"""The line codec of the small policies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agentrl.dialogue import load_codec
from agentrl.dialogue.line import LineCodec
from agentrl.errors import ModelError


def test_prompt_and_extension(tokenizer_of: Any) -> None:
    tokenizer = tokenizer_of("line")
    codec = load_codec(tokenizer)
    assert isinstance(codec, LineCodec)
    start = codec.start(None, "a desk")
    assert tokenizer.decode(start) == "<|observation|>a desk<|action|>"
    closed = np.append(codec.encode("go"), np.int32(codec.eos))
    assert tokenizer.decode(codec.extend(start, closed, "b")) == "<|observation|>b<|action|>"
    cut = codec.encode("go")
    assert tokenizer.decode(codec.extend(start, cut, "b")) == "<|end|><|observation|>b<|action|>"
    nothing = cut[:0]
    assert codec.extend(start, nothing, "b")[0] == codec.eos


def test_system_prompt_stands_before_the_first_mark(tokenizer_of: Any) -> None:
    tokenizer = tokenizer_of("line")
    ids = load_codec(tokenizer).start("Act.", "a desk")
    assert tokenizer.decode(ids) == "Act.<|observation|>a desk<|action|>"


def test_replay_uses_the_sampled_ids(tokenizer_of: Any) -> None:
    codec = load_codec(tokenizer_of("line"))
    unusual = np.array([*b"go", codec.eos], np.int32)
    ids = codec.render(None, [("a", unusual), ("b", unusual[:1])], "c")
    assert ids.tolist() == [
        *codec.start(None, "a"), *unusual, *codec.start(None, "b"), unusual[0], codec.eos,
        *codec.start(None, "c"),
    ]  # fmt: skip


def test_a_missing_mark_names_the_mend(build_tokenizer: Any) -> None:
    tokenizer = build_tokenizer(("<|observation|>",), "<|end|>", agentrl_codec="line")
    with pytest.raises(ModelError, match=r"needs the token '<\|action\|>'; add it"):
        load_codec(tokenizer)


def test_a_mark_that_text_could_forge_is_refused(build_tokenizer: Any) -> None:
    from tokenizers import AddedToken

    tokenizer = build_tokenizer(("<|observation|>",), "<|end|>", agentrl_codec="line")
    tokenizer.add_tokens([AddedToken("<|action|>", special=False)])
    with pytest.raises(ModelError, match="not marked special"):
        load_codec(tokenizer)


def test_unknown_declarations_and_missing_templates(build_tokenizer: Any) -> None:
    with pytest.raises(ModelError, match="did you mean 'line'"):
        load_codec(build_tokenizer((), "</s>", agentrl_codec="lines"))
    with pytest.raises(ModelError, match=r"no chat template.*instruction-tuned"):
        load_codec(build_tokenizer((), "</s>"))


def test_a_tokenizer_without_backend_still_works(tokenizer_of: Any) -> None:
    fast = tokenizer_of("line")

    class Slow:
        name_or_path, unk_token_id = "slow", None
        init_kwargs = {"agentrl_codec": "line"}  # noqa: RUF012
        convert_tokens_to_ids = staticmethod(fast.convert_tokens_to_ids)
        decode = staticmethod(fast.decode)

        def encode(self, text: str, **options: Any) -> list[int]:
            assert options == {"add_special_tokens": False, "split_special_tokens": True}
            return load_codec(fast).encode(text).tolist()

    slow, quick = load_codec(Slow()), load_codec(fast)
    text = "a <|end|> desk"
    assert slow.start(None, text).tolist() == quick.start(None, text).tolist()
    assert slow.decode(slow.encode(text)) == text
