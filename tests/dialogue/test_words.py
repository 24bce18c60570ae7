"""The word cache against the tokenizer itself."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from agentrl.dialogue.words import WordEncoder, word_encoder

QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA = QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|")
HOUSE = r", and an?(?= )|, an?(?= )| ?[A-Za-z]+| ?[0-9]{1,2}| ?[^\sA-Za-z0-9]+|\s+"
PIECES = [
    "desk", " a", ", and a ", ", an", "'s", "'LL", "don't", "  ", " \n", "\n\n", "\t", "\r\n", "7",
    " 12345", "!?", " (x)", "://", "<|end|>", "<tool>", "aaab", "_", "-", "Ab", "{}", "\\p{L}",
]  # fmt: skip


def trained(pattern: str | None, **options: Any) -> Tokenizer:
    """Return a byte-level tokenizer that cuts by `pattern`; None cuts as GPT-2 did."""
    tokenizer = Tokenizer(models.BPE(**options))
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    if pattern is None:
        tokenizer.pre_tokenizer = level
    else:
        cut = pre_tokenizers.Split(Regex(pattern), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(300, seed=1), trainer)
    tokenizer.encode_special_tokens = True
    return tokenizer


def texts(count: int, seed: int) -> list[str]:
    source = random.Random(seed)
    characters = "\t\n\r" + "".join(map(chr, range(32, 127)))
    pieces = [*PIECES, *characters]
    return ["".join(source.choices(pieces, k=source.randrange(40))) for _ in range(count)]


@pytest.mark.parametrize("pattern", [None, QWEN, LLAMA, HOUSE])
def test_ids_are_the_tokenizers_own(pattern: str | None) -> None:
    tokenizer = trained(pattern)
    encoder = word_encoder(tokenizer)
    assert encoder is not None
    for _ in range(2):
        for text in texts(1500, seed=2):
            assert encoder.encode(text) == tokenizer.encode(text, add_special_tokens=False).ids, (
                text
            )


def test_what_is_not_plain_ascii_is_left_to_the_tokenizer() -> None:
    tokenizer = trained(QWEN)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_tokens([AddedToken("<tool>", special=False, normalized=False)])
    encoder = word_encoder(tokenizer)
    assert encoder is not None
    for text in ("Zürich", "a\x0bb", "\x00", "\x1c", "\ud800", "call <tool> now"):
        assert encoder.encode(text) is None
    assert encoder.encode("a <|end|>") == tokenizer.encode("a <|end|>").ids


def test_tokenizers_of_another_kind_are_refused() -> None:
    def changed(**parts: Any) -> Tokenizer:
        tokenizer = trained(None)
        for name, part in parts.items():
            setattr(tokenizer, name, part)
        return tokenizer

    assert word_encoder(trained(None)) is not None
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    digits = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), level])
    removed = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\s+"), "removed"), level])
    refused = [
        changed(normalizer=normalizers.Lowercase()),
        changed(pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True)),
        changed(pre_tokenizer=pre_tokenizers.Whitespace()),
        changed(pre_tokenizer=digits),
        changed(pre_tokenizer=removed),
        Tokenizer(models.WordLevel({"a": 0}, unk_token="a")),
        trained(None, dropout=0.1),
        trained(r"\w+|\W+"),
        trained(r"[a-z]+|[^a-z ]+"),
        trained(r"\p{Lu}?\p{Ll}+|\s+|\S"),
    ]
    assert [word_encoder(tokenizer) for tokenizer in refused] == [None] * len(refused)


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentrl.dialogue.words._KEPT_WORDS", 8)
    tokenizer = trained(None)
    encoder = word_encoder(tokenizer)
    assert isinstance(encoder, WordEncoder)
    for number in range(100):
        text = f"item {number} " + "x" * number
        assert encoder.encode(text) == tokenizer.encode(text).ids
        assert len(encoder._known) <= 8
        assert all(len(word) <= 64 for word in encoder._known)
