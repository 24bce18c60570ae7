from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from agentrl.engines.vllm.reference import read_reference
from agentrl.engines.vllm.weight_folder import WeightFolder
from agentrl.errors import EngineFault, ModelError

GONE = 2**22 + 7
"""A process id above what Linux gives out."""


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> WeightFolder:
    return WeightFolder(read_reference(model_folder), tmp_path / "out")


def weights(**others: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"a": torch.full((2, 3), 5.0), "b": torch.arange(4.0), **others}


def test_reads_what_a_model_directory_says(model_folder: Path) -> None:
    reference = read_reference(model_folder)
    assert (reference.vocabulary, reference.context_length) == (40, 128)
    assert reference.shapes == {"a": (2, 3), "b": (4,)}


def test_reads_nested_sizes(model_folder: Path) -> None:
    (model_folder / "config.json").write_text(json.dumps({"text_config": {"vocab_size": 9}}))
    reference = read_reference(model_folder)
    assert (reference.vocabulary, reference.context_length) == (9, None)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"vocab_size": null}', "{"])
def test_a_damaged_directory_is_one_clear_line(model_folder: Path, content: str) -> None:
    (model_folder / "config.json").write_text(content)
    with pytest.raises(ModelError, match="vocab_size") as caught:
        read_reference(model_folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x02" + b"\0" * 7 + b"{x"])
def test_damaged_weights_are_one_clear_line(model_folder: Path, content: bytes) -> None:
    (model_folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        read_reference(model_folder)


def test_a_model_that_is_nowhere() -> None:
    with pytest.raises(ModelError, match="no model directory"):
        read_reference("no/such/model")


def test_what_is_written_is_what_was_given(folder: WeightFolder) -> None:
    place = folder.write(3, weights())
    written = load_file(place / "model.safetensors")
    assert written["a"].equal(torch.full((2, 3), 5.0))
    assert written["b"].equal(torch.arange(4.0))
    folder.drop(place)
    assert not place.exists()


def test_views_and_shared_and_tied_weights(model_folder: Path, tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3, 2), "c": torch.zeros(6)}, model_folder / "model.safetensors")
    folder = WeightFolder(read_reference(model_folder), tmp_path)
    base = torch.arange(6.0).reshape(2, 3)
    # `a` is a transposed view, `c` shares its memory, `tied` is another name for `c`.
    flat = base.reshape(-1)
    written = folder.write(1, {"a": base.T, "c": flat, "tied": flat})
    loaded = load_file(written / "model.safetensors")
    assert set(loaded) == {"a", "c"}
    assert loaded["a"].equal(base.T)
    assert loaded["c"].equal(flat)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "all of them"),
        ({"a": torch.zeros(2, 3)}, "1 weights are missing, the first is 'b'"),
        (weights(b=torch.zeros(5)), r"'b' has shape \(5,\), but the policy's has \(4,\)"),
        (weights(other=torch.zeros(4)), "no weight 'other'"),
        ({"no.such.weight": np.zeros(3, np.float32)}, "no weight 'no.such.weight'"),
    ],
)
def test_foreign_weights_are_refused(folder: WeightFolder, given, words) -> None:
    with pytest.raises(ModelError, match=words):
        folder.write(1, given)


def test_a_directory_is_checked_and_stays(folder: WeightFolder, model_folder: Path) -> None:
    assert folder.check(model_folder) == model_folder
    folder.drop(model_folder)
    assert model_folder.is_dir()
    with pytest.raises(ModelError, match="no safetensors"):
        folder.check(model_folder / "nowhere")
    save_file({"a": torch.zeros(1)}, model_folder / "model.safetensors")
    with pytest.raises(ModelError, match="shape"):
        folder.check(model_folder)


def test_close_deletes_all_and_what_the_killed_left_behind(
    folder: WeightFolder, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    here = folder.write(1, weights()).parent.name.rpartition(f"{os.getpid()}-")[0]
    folder.close()
    dead, alive = out / f"{here}{GONE}-x", out / f"{here}{os.getppid()}-x"
    # A process of that number may run on the machine that writes there.
    elsewhere = out / f"agentrl-weights-elsewhere-1-{GONE}-x"
    for left in (dead, alive, elsewhere):
        left.mkdir(parents=True)
    folder.write(1, weights())
    assert not dead.exists()
    assert alive.exists()
    folder.close()
    assert set(out.iterdir()) == {alive, elsewhere}


def test_a_place_that_cannot_be_written(model_folder: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    folder = WeightFolder(read_reference(model_folder), blocked)
    # Not the configuration's: in a run what was learned is saved before it is told.
    with pytest.raises(EngineFault, match="weights_folder"):
        folder.write(1, weights())


def test_weights_are_written_in_the_type_that_they_are_served_in(
    model_folder: Path, tmp_path: Path
) -> None:
    folder = WeightFolder(read_reference(model_folder), tmp_path / "out", dtype="bfloat16")
    written = load_file(folder.write(1, weights()) / "model.safetensors")
    assert {tensor.dtype for tensor in written.values()} == {torch.bfloat16}
    kept = WeightFolder(read_reference(model_folder), tmp_path / "out", dtype="auto")
    written = load_file(kept.write(1, weights()) / "model.safetensors")
    assert {tensor.dtype for tensor in written.values()} == {torch.float32}
    for each in (folder, kept):
        each.close()
