"""Random Llamas in the shapes of known models, and what an update of one costs in arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import LlamaConfig, LlamaForCausalLM

PEAK_TERAFLOPS = {"A100": 312.0, "H100": 989.0, "H200": 989.0}
"""Dense bfloat16 with float32 sums of the SXM cards, by a part of the device's name."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a Llama whose embeddings are its output head too."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    key_value_heads: int
    inner: int

    def build(self) -> LlamaForCausalLM:
        """Return the model with random weights, always the same ones."""
        torch.manual_seed(0)
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=self.vocabulary,
                hidden_size=self.width,
                intermediate_size=self.inner,
                num_hidden_layers=self.layers,
                num_attention_heads=self.heads,
                num_key_value_heads=self.key_value_heads,
                max_position_embeddings=2048,
                tie_word_embeddings=True,
                bos_token_id=1,
                eos_token_id=1,
                pad_token_id=0,
            )
        )

    @property
    def layer_weights(self) -> int:
        """Weights that multiply every token: those of the layers."""
        grouped = self.width * self.key_value_heads // self.heads
        attention = 2 * self.width * (self.width + grouped)
        return self.layers * (attention + 3 * self.width * self.inner)

    def update_flops(self, lengths: npt.NDArray[np.int64], predicted: int) -> float:
        """Return the operations that one update cannot do without.

            6 W T  +  6 V H P  +  6 L H sum n^2

        W weights of the layers, T tokens, V H the head's weights, P predicted tokens, L layers of
        width H, n the tokens of each episode. 6 is 2 for each multiplication and addition, once
        forward and twice backward; causal attention is half of 12. What is computed again for
        activation checkpointing does not count.

        Args:
            lengths: Tokens of each episode.
            predicted: Tokens whose probability is wanted.
        """
        layers = self.layer_weights * int(lengths.sum())
        head = self.vocabulary * self.width * predicted
        attention = self.layers * self.width * int(np.square(lengths).sum())
        return 6.0 * (layers + head + attention)


SHAPES = {
    "3m": Shape(1024, 256, 4, 4, 4, 640),
    "135m": Shape(49152, 576, 30, 9, 3, 1536),
    "1b": Shape(128256, 2048, 16, 32, 8, 8192),
    "3b": Shape(128256, 3072, 28, 24, 8, 8192),
}
"""One for CPUs; SmolLM2-135M, Llama 3.2 1B and 3B."""


def peak_teraflops(device: torch.device) -> float | None:
    """Return what the device's data sheet promises; None: unknown."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAK_TERAFLOPS.items() if part in name), None)


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
