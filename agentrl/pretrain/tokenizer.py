"""A small byte-level BPE tokenizer, made for the texts of environments.

Every string can be encoded, since all 256 bytes are in the vocabulary; words that the environments
use often are one token. Each number below 100 is one token too, so that copying a name such as
`cabinet 27` is copying two tokens. A tokenizer can grow by the texts of more environments: ids and
merges are only added, so that a model made for the smaller one keeps its meaning.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, OBSERVATION, ACTION, END = "<|pad|>", "<|observation|>", "<|action|>", "<|end|>"

# The article belongs to the comma before it: listings dominate ALFWorld's texts. A marker such as
# [SEP] or [button] is one word: they dominate WebShop's.
_WORDS = (
    r", and an?(?= )|, an?(?= )| ?\[[A-Za-z_]+(?: [a-z_]+)?\]"
    r"| ?[A-Za-z]+| ?[0-9]{1,2}| ?[^\sA-Za-z0-9]+|\s+"
)


def train_tokenizer(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer in the `line` format of `agentrl.dialogue.codec`.

    Args:
        texts: What it should encode well.
        size: Number of ids, the four special tokens and the 256 bytes included.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = _splitter()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[PAD, OBSERVATION, ACTION, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _wrapped(tokenizer)


def grow_tokenizer(
    tokenizer: PreTrainedTokenizerFast, texts: Iterable[str], size: int
) -> PreTrainedTokenizerFast:
    """Return a tokenizer with more ids: `train_tokenizer` gone on with, on other texts.

    Args:
        tokenizer: One that this module made.
        texts: What the new ids should encode well.
        size: Number of ids afterwards; fewer where the texts hold no more pairs to merge.
    """
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.pre_tokenizer = _splitter()
    words = Counter(
        piece for text in texts for piece, _ in backend.pre_tokenizer.pre_tokenize_str(text)
    )
    pieces = [[token.value for token in backend.model.tokenize(word)] for word in words]
    described = json.loads(backend.to_str())
    vocabulary, merges = described["model"]["vocab"], described["model"]["merges"]
    for pair in _merges(pieces, list(words.values()), size - backend.get_vocab_size()):
        merges.append(list(pair))
        vocabulary.setdefault("".join(pair), len(vocabulary))
    return _wrapped(Tokenizer.from_str(json.dumps(described)))


def _merges(
    words: list[list[str]], counts: Sequence[int], number: int
) -> Iterable[tuple[str, str]]:
    """Yield the pairs that byte-pair encoding merges next; `words` are merged in place."""
    totals: Counter[tuple[str, str]] = Counter()
    holders: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for index, word in enumerate(words):
        for pair in pairwise(word):
            totals[pair] += counts[index]
            holders[pair].add(index)
    for _ in range(number):
        if not totals:
            return
        best = max(totals, key=totals.__getitem__)
        if totals[best] < 2:
            return
        yield best
        for index in sorted(holders.pop(best)):
            word = words[index]
            for pair in pairwise(word):
                totals[pair] -= counts[index]
            words[index] = word = _merged(word, best)
            for pair in pairwise(word):
                totals[pair] += counts[index]
                holders[pair].add(index)
        del totals[best]


def _merged(word: Sequence[str], pair: tuple[str, str]) -> list[str]:
    result: list[str] = []
    position = 0
    while position < len(word):
        is_pair = tuple(word[position : position + 2]) == pair
        result.append("".join(pair) if is_pair else word[position])
        position += 2 if is_pair else 1
    return result


def _splitter() -> Any:
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _wrapped(tokenizer: Any) -> PreTrainedTokenizerFast:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[OBSERVATION, ACTION],
        agentrl_codec="line",
    )
