"""What runs inside a vLLM server's workers; the server finds it on its PYTHONPATH.

It needs nothing of agentrl, as the server may be another interpreter's.
"""

from __future__ import annotations

from typing import Any


class TiedHead:
    """Mends weight updates on CPUs, where vLLM 0.32 multiplies by a packed copy of the head.

    A model whose head is tied to its embeddings stores no weight for the head: an update reaches
    the embeddings, and the copy stays as it was at the start.
    """

    model_runner: Any

    def renew_head(self) -> None:
        """Pack the head's weights anew."""
        from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

        for module in self.model_runner.get_model().modules():
            if isinstance(module, ParallelLMHead) and hasattr(module, "cpu_linear"):
                module.quant_method.process_weights_after_loading(module)
