"""The instructions that people wrote for products."""

from __future__ import annotations

from pathlib import Path

import msgspec

from agentrl.environments.webshop.files import opened, sources
from agentrl.errors import DataError


class HumanInstruction(msgspec.Struct, frozen=True, gc=False):
    """One instruction, with what its writer was told to ask for."""

    instruction: str
    instruction_attributes: tuple[str, ...]
    instruction_options: tuple[str, ...]


def read_human_instructions(folder: Path) -> dict[str, tuple[HumanInstruction, ...]]:
    """Return the instructions that can be goals, by product; those without attributes cannot.

    Raises:
        DataError: The file is missing or damaged.
    """
    file = sources(folder).human
    if file is None:
        raise DataError(
            f"goals='human' needs items_human_ins.json (or items_human_ins_1000.json) in {folder}; "
            "put it there, or use goals='synthetic'"
        )
    with opened(file) as data:
        content = data.read()
    try:
        every = msgspec.json.decode(content, type=dict[str, tuple[HumanInstruction, ...]])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is damaged: {error}; copy the file again") from error
    return {
        asin: tuple(one for one in instructions if one.instruction_attributes)
        for asin, instructions in every.items()
    }
