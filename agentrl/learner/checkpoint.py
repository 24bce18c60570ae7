"""Checkpoints: written whole or not at all, verified before they are used.

    checkpoints/step-000010/
        manifest.json            agentrl version, step, size and SHA-256 of every other file
        policy/                  the model directory: any Hugging Face tool can load it
        learner.pt               optimiser, step, random streams; with LoRA also the adapters;
                                 weights and optimiser of reward model and critic
        state.json               what the trainer wants back

A checkpoint is written as `step-000010.tmp`, synced to disk and renamed, so that a kill at any
moment leaves the previous one as it was. One that fails verification is never used silently.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agentrl import __version__
from agentrl.errors import CheckpointError
from agentrl.learner.learner import Learner
from agentrl.learner.manifest import MANIFEST, first_fault, sync_tree, write_manifest
from agentrl.learner.sources import TrainedSource

_PREFIX = "step-"
_LEARNER = "learner.pt"
_STATE = "state.json"
_POLICY = "policy"
_PARTIAL = ".tmp"
_REPLACED = ".old"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A verified checkpoint."""

    path: Path
    step: int
    state: dict[str, Any] = field(default_factory=dict)
    """What the trainer saved."""

    @property
    def policy(self) -> Path:
        """The model directory in it."""
        return self.path / _POLICY

    def restore(
        self,
        learner: Learner,
        generators: Mapping[str, np.random.Generator] | None = None,
        others: Mapping[str, TrainedSource] | None = None,
    ) -> None:
        """Put weights, optimiser and all random streams back as they were.

        Args:
            learner: Made with the run's own policy settings; its reference stays as it is.
            generators: The generators that were saved, by name; they are set in place.
            others: Models besides the policy that were saved, by the signal they give.

        Raises:
            CheckpointError: It belongs to another model, or lacks a generator or a model.
        """
        device = learner.policy.device
        saved = torch.load(self.path / _LEARNER, map_location=device, weights_only=True)
        state = saved["learner"]
        if "weights" not in state:
            state["weights"] = _read_weights(self.policy)
        state["generator"] = json.loads(state["generator"])
        learner.load_state_dict(state)
        for name, generator in (generators or {}).items():
            if name not in saved["generators"]:
                raise CheckpointError(
                    f"{self.path} has no random stream {name!r}; it was written by another version "
                    "of agentrl: start a new run from its policy/ directory"
                )
            generator.bit_generator.state = json.loads(saved["generators"][name])
        for name, other in (others or {}).items():
            if name not in saved["others"]:
                raise CheckpointError(
                    f"{self.path} holds nothing for the signal {name!r}: the run was started "
                    "without it; start a new run from its policy/ directory"
                )
            other.load_state_dict(saved["others"][name])
        torch.set_rng_state(saved["torch"].cpu())
        if device.type == "cuda" and saved["cuda"] is not None:
            torch.cuda.set_rng_state(saved["cuda"].cpu(), device)


def save_checkpoint(
    root: Path,
    step: int,
    learner: Learner,
    *,
    state: Mapping[str, Any] | None = None,
    generators: Mapping[str, np.random.Generator] | None = None,
    others: Mapping[str, TrainedSource] | None = None,
    keep: int = 2,
) -> Path:
    """Write a checkpoint and remove all but the last `keep`.

    Args:
        root: The folder of a run's checkpoints.
        step: Names the checkpoint; the highest is the latest.
        learner: Weights, optimiser and its random stream.
        state: Anything else, as JSON: task cursor, best score, ….
        generators: Random streams of the caller, by name.
        others: Models besides the policy, such as a critic, by the signal they give.
        keep: How many checkpoints stay.

    Returns:
        The checkpoint's folder.

    Raises:
        CheckpointError: It cannot be written; what was there before is intact.
    """
    target = root / f"{_PREFIX}{step:06d}"
    partial = target.with_suffix(_PARTIAL)
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        partial.mkdir()
        _write(partial, step, learner, dict(state or {}), dict(generators or {}), others or {})
        _swap(partial, target)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        reason = _write_failure(error)
        if reason is None:
            raise
        raise _cannot_write(target, reason) from None
    _retire(root, step, keep)
    return target


def list_checkpoints(root: Path) -> list[Path]:
    """Return the complete checkpoints in a folder, oldest first; they may still be damaged."""
    if not root.is_dir():
        return []
    found = [path for path in root.iterdir() if path.is_dir() and _step_of(path) is not None]
    return sorted(found, key=lambda path: _step_of(path) or 0)


def read_checkpoint(path: Path) -> Checkpoint:
    """Return one checkpoint after verifying every file of it.

    Raises:
        CheckpointError: A file is missing or damaged; the message names it and the older
            checkpoint that would be used instead.
    """
    fault = first_fault(path)
    if fault is None:
        manifest = json.loads((path / MANIFEST).read_text())
        return Checkpoint(path, manifest["step"], json.loads((path / _STATE).read_text()))
    older = _last_good(path)
    mend = (
        f"the older {older.name} is good and would be used instead; delete {path.name} to do so"
        if older
        else "no older checkpoint is good: start the run anew"
    )
    raise CheckpointError(f"checkpoint {path} is damaged: {fault}; {mend}")


def load_latest(root: Path) -> Checkpoint | None:
    """Return the latest good checkpoint, or None where there is none at all.

    A damaged one is passed over with a warning that names the file.

    Raises:
        CheckpointError: There are checkpoints, and all are damaged.
    """
    paths = list_checkpoints(root)
    if not paths:
        return None
    for newer, path in enumerate(reversed(paths)):
        fault = first_fault(path)
        if fault is None:
            return read_checkpoint(path)
        if newer + 1 < len(paths):
            warnings.warn(
                f"checkpoint {path} is damaged ({fault}); going back to "
                f"{paths[-newer - 2].name}: the updates since then are done again",
                stacklevel=2,
            )
    raise CheckpointError(
        f"all {len(paths)} checkpoints in {root} are damaged, in the latest "
        f"{first_fault(paths[-1])}; start the run anew"
    )


def _write(
    folder: Path,
    step: int,
    learner: Learner,
    state: dict[str, Any],
    generators: dict[str, np.random.Generator],
    others: Mapping[str, TrainedSource],
) -> None:
    device = learner.policy.device
    learner.policy.save(folder / _POLICY)
    progress = learner.state_dict()
    if progress["weights"].keys() <= _weight_names(folder / _POLICY):
        # policy/ holds the same tensors; it does not with LoRA, or where names are converted.
        del progress["weights"]
    progress["generator"] = _stream(progress["generator"])
    saved = {
        "learner": progress,
        "generators": {n: _stream(g.bit_generator.state) for n, g in generators.items()},
        "others": {name: other.state_dict() for name, other in others.items()},
        "torch": torch.get_rng_state(),
        # Of the policy's device alone: asking another one would take memory there.
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }
    with (folder / _LEARNER).open("wb") as file:
        torch.save(saved, file)
    (folder / _STATE).write_text(json.dumps(state, indent=2) + "\n")
    write_manifest(folder, {"agentrl": __version__, "step": step})
    sync_tree(folder)


def _stream(state: Any) -> str:
    """Return a generator's state as JSON: its integers are too long for tensors."""
    return json.dumps(state, default=lambda array: array.tolist())


def _swap(partial: Path, target: Path) -> None:
    """Put a finished folder in its place, by renames only."""
    replaced = target.with_suffix(_REPLACED)
    if target.exists():
        target.rename(replaced)
    partial.rename(target)
    _sync_folder(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Clear what a kill left behind; a checkpoint that was being replaced comes back."""
    for path in root.glob(f"{_PREFIX}*{_PARTIAL}"):
        shutil.rmtree(path, ignore_errors=True)
    for path in root.glob(f"{_PREFIX}*{_REPLACED}"):
        if path.with_suffix("").exists():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.rename(path.with_suffix(""))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _step_of(path: Path) -> int | None:
    """Return the step of a complete checkpoint, or None if the folder is something else."""
    name = path.name
    if name.endswith(_REPLACED) and not path.with_suffix("").exists():
        # A kill came between the two renames of `_swap`.
        name = name.removesuffix(_REPLACED)
    digits = name.removeprefix(_PREFIX)
    return int(digits) if name.startswith(_PREFIX) and digits.isdecimal() else None


def _last_good(path: Path) -> Path | None:
    older = [p for p in list_checkpoints(path.parent) if (_step_of(p) or 0) < (_step_of(path) or 0)]
    return next((p for p in reversed(older) if first_fault(p) is None), None)


def _retire(root: Path, step: int, keep: int) -> None:
    """Remove all but the last `keep`, and damaged ones that a resumed run has overtaken."""
    paths = list_checkpoints(root)
    reached = [path for path in paths if (_step_of(path) or 0) <= step]
    beyond = [path for path in paths if (_step_of(path) or 0) > step and first_fault(path)]
    for old in reached[: -max(keep, 1)] + beyond:
        shutil.rmtree(old, ignore_errors=True)


def _weight_names(directory: Path) -> set[str]:
    from safetensors import safe_open

    names: set[str] = set()
    for file in directory.glob("*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            names.update(tensors.keys())
    return names


def _read_weights(directory: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    weights: dict[str, torch.Tensor] = {}
    for file in sorted(directory.glob("*.safetensors")):
        weights |= load_file(file)
    return weights


def _write_failure(error: BaseException) -> str | None:
    """Return why a file could not be written, or None if the error is of another kind.

    A full disk shows as OSError in our own writes, as RuntimeError in torch's (with the OSError in
    its context) and as SafetensorError in safetensors'.
    """
    from safetensors import SafetensorError

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return cause.strerror or str(cause)
        cause = cause.__context__
    text = " ".join(str(error).split())
    is_torch_writer = isinstance(error, RuntimeError) and "inline_container" in text
    return text[:160] if isinstance(error, SafetensorError) or is_torch_writer else None


def _cannot_write(target: Path, reason: str) -> CheckpointError:
    previous = list_checkpoints(target.parent)
    kept = f"{previous[-1].name} is intact" if previous else "there was none before"
    return CheckpointError(
        f"cannot write checkpoint {target}: {reason}; free space or make the folder writable, then "
        f"resume ({kept})"
    )
