"""A small byte-level BPE tokenizer, trained on the texts of an environment.

Every string can be encoded, since all 256 bytes are in the vocabulary; words that the environment
uses often are one token. Each number below 100 is one token too, so that copying a name such as
`cabinet 27` is copying two tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, OBSERVATION, ACTION, END = "<|pad|>", "<|observation|>", "<|action|>", "<|end|>"

# The article belongs to the comma before it: listings dominate these texts.
_WORDS = r", and an?(?= )|, an?(?= )| ?[A-Za-z]+| ?[0-9]{1,2}| ?[^\sA-Za-z0-9]+|\s+"


def train_tokenizer(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer in the `line` format of `agentrl.dialogue.codec`.

    Args:
        texts: What it should encode well.
        size: Number of ids, the four special tokens and the 256 bytes included.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[PAD, OBSERVATION, ACTION, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[OBSERVATION, ACTION],
        agentrl_codec="line",
    )
