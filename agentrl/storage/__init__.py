"""Trajectory files: JSON lines (`.jsonl`, `.jsonl.zst`) and Parquet (`.parquet`), in and out.

    with storage.Writer("episodes.jsonl.zst") as writer:   # survives kill -9
        writer.write(trajectory)
    trajectories = storage.read("episodes.jsonl.zst")

Both directions are exact: ids, log-probabilities to the last bit, NaN, None and every character.
"""

from __future__ import annotations

from agentrl.storage.files import iterate, read, write
from agentrl.storage.jsonl import Reader, Writer

__all__ = ["Reader", "Writer", "iterate", "read", "write"]
