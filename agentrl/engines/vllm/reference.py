"""What a served model's directory says about it, read without loading it: sizes and weights."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentrl.errors import ModelError

Shapes = dict[str, tuple[int, ...]]
"""Shapes of weights by name."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A model as its directory describes it."""

    path: Path
    vocabulary: int
    """Number of ids that the model knows."""
    context_length: int | None
    """Most ids of prompt and completion; None: the model does not say."""
    shapes: Shapes | None
    """The weights; None: they are not in safetensors files."""
    is_tied: bool = False
    """Whether the head is the embeddings again."""


def read_reference(model: str | Path) -> Reference:
    """Return the description of a model directory, or of a Hub model in the local cache.

    Raises:
        ModelError: There is none, or its files are damaged.
    """
    path = find_directory(model)
    try:
        config = json.loads((path / "config.json").read_text())
        config = config.get("text_config") or config
        vocabulary = int(config["vocab_size"])
        context = config.get("max_position_embeddings")
        is_tied = bool(config.get("tie_word_embeddings", False))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} is not a model directory that vLLM can serve: its config.json gives no "
            f"vocab_size ({type(error).__name__})"
        ) from None
    length = int(context) if context else None
    return Reference(path, vocabulary, length, read_shapes(path), is_tied)


def find_directory(model: str | Path) -> Path:
    """Return the local directory of a model.

    Raises:
        ModelError: There is none.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return path.resolve()
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(str(model), local_files_only=True))
    # It has a dozen ways to say that a name is malformed or not in the cache.
    except Exception:
        raise ModelError(
            f"no model directory {str(model)!r}, and no model of that name in the local Hugging "
            "Face cache; download it, or set policy.model to a directory"
        ) from None


def read_shapes(folder: Path) -> Shapes | None:
    """Return the weights in a directory's safetensors files, or None where there are no such.

    Raises:
        ModelError: A file is damaged.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return None
    shapes: Shapes = {}
    for file in files:
        for name, entry in _header(file).items():
            if name != "__metadata__":
                shapes[name] = tuple(entry["shape"])
    return shapes


def _header(file: Path) -> dict[str, Any]:
    """Return the header of a safetensors file: a length of eight bytes, then JSON."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > file.stat().st_size:
                raise ValueError("the header is cut off")
            header: dict[str, Any] = json.loads(stream.read(length))
            return header
    except (OSError, ValueError, struct.error) as error:
        raise ModelError(
            f"the weights in {file} are damaged ({error}); copy or download the model again"
        ) from None
