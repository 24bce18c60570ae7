from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agentrl.batch import Batch
from agentrl.config import LearnerConfig, PolicyConfig
from agentrl.errors import CheckpointError
from agentrl.learner import checkpoint as module
from agentrl.learner.checkpoint import (
    list_checkpoints,
    load_latest,
    read_checkpoint,
    save_checkpoint,
)
from agentrl.learner.learner import Learner
from agentrl.learner.policy import Policy, load_policy


@pytest.fixture
def learner(policy: Policy) -> Learner:
    return Learner(policy, LearnerConfig(learning_rate=1e-2), seed=0)


def steps(root: Path) -> list[str]:
    return [path.name for path in list_checkpoints(root)]


def test_holds_everything(
    learner: Learner, make_batch: Callable[..., Batch], tmp_path: Path
) -> None:
    batch = make_batch(4)
    learner.update(batch, np.ones(batch.num_turns))
    tasks = np.random.default_rng(5)
    tasks.random(3)
    torch.manual_seed(11)
    path = save_checkpoint(
        tmp_path, 10, learner, state={"cursor": [1, 2], "best": 0.5}, generators={"tasks": tasks}
    )
    following = tasks.random(), torch.rand(1)

    assert path == tmp_path / "step-000010"
    found = load_latest(tmp_path)
    assert found is not None
    assert (found.step, found.state) == (10, {"cursor": [1, 2], "best": 0.5})
    restored = np.random.default_rng(0)
    other = Learner(load_policy(PolicyConfig(model=str(found.policy))), learner.config, seed=99)
    found.restore(other, {"tasks": restored})
    assert (restored.random(), torch.rand(1)) == following
    assert other.step == learner.step == 1
    assert other._rng.bit_generator.state == learner._rng.bit_generator.state
    for name, weight in learner.policy.weights().items():
        assert torch.equal(other.policy.weights()[name], weight)
    ours, theirs = learner._optimiser.state_dict(), other._optimiser.state_dict()
    for index, moments in ours["state"].items():
        assert all(torch.equal(m, theirs["state"][index][k]) for k, m in moments.items())


def test_weights_are_stored_once(learner: Learner, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, learner)
    saved = torch.load(path / "learner.pt", weights_only=True)
    assert "weights" not in saved["learner"]


def test_keeps_the_last(learner: Learner, tmp_path: Path) -> None:
    for step in (5, 10, 999_999, 1_000_000):
        save_checkpoint(tmp_path, step, learner, keep=2)
    assert steps(tmp_path) == ["step-999999", "step-1000000"]


def test_nothing_saved_yet(tmp_path: Path) -> None:
    assert load_latest(tmp_path / "none") is None
    (tmp_path / "step-abc").mkdir()
    (tmp_path / "step-000003.tmp").mkdir()
    assert load_latest(tmp_path) is None


def test_saving_a_step_again_replaces_it(learner: Learner, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, learner, state={"a": 1})
    save_checkpoint(tmp_path, 1, learner, state={"a": 2})
    assert steps(tmp_path) == ["step-000001"]
    found = load_latest(tmp_path)
    assert found is not None
    assert found.state == {"a": 2}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000001"]


def test_leftovers_of_a_kill(learner: Learner, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, learner, state={"a": 1})
    # Killed between the two renames of a replacement, with a half-written step beside it.
    (tmp_path / "step-000001").rename(tmp_path / "step-000001.old")
    (tmp_path / "step-000002.tmp" / "policy").mkdir(parents=True)
    found = load_latest(tmp_path)
    assert found is not None
    assert found.state == {"a": 1}
    save_checkpoint(tmp_path, 2, learner)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000001", "step-000002"]


FILES = ["policy/model.safetensors", "learner.pt", "state.json", "policy/tokenizer.json"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["truncated", "flipped", "gone"])
def test_damage_is_found_and_the_older_one_used(
    learner: Learner, tmp_path: Path, name: str, damage: str
) -> None:
    save_checkpoint(tmp_path, 1, learner, state={"a": 1})
    broken = save_checkpoint(tmp_path, 2, learner)
    file = broken / name
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    else:
        middle = len(content) // 2
        file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    with pytest.raises(
        CheckpointError, match=rf"step-000002.*{name}.*step-000001 is good"
    ) as caught:
        read_checkpoint(broken)
    assert "\n" not in str(caught.value)
    with pytest.warns(UserWarning, match=rf"step-000002.*{name}.*step-000001"):
        found = load_latest(tmp_path)
    assert found is not None
    assert found.step == 1


@pytest.mark.parametrize("content", [None, "", "{}", "[1", '{"step": 1, "files": 3}'])
def test_a_damaged_manifest(learner: Learner, tmp_path: Path, content: str | None) -> None:
    manifest = save_checkpoint(tmp_path, 1, learner) / "manifest.json"
    manifest.unlink() if content is None else manifest.write_text(content)
    with pytest.raises(CheckpointError, match=r"all 1 checkpoints .* manifest.json"):
        load_latest(tmp_path)
    with pytest.raises(CheckpointError, match="start the run anew"):
        read_checkpoint(tmp_path / "step-000001")


def test_a_resumed_run_clears_the_damaged_step_it_overtakes(
    learner: Learner, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path, 1, learner)
    broken = save_checkpoint(tmp_path, 9, learner)
    (broken / "learner.pt").unlink()
    save_checkpoint(tmp_path, 2, learner)
    assert steps(tmp_path) == ["step-000001", "step-000002"]


def test_a_checkpoint_of_another_model_is_refused(
    learner: Learner, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "run", 1, learner)
    found = load_latest(tmp_path / "run")
    assert found is not None
    other = load_policy(PolicyConfig(model=str(make_model(tmp_path / "model", layers=3))))
    with pytest.raises(CheckpointError, match="does not fit"):
        found.restore(Learner(other, learner.config, seed=0))
    with pytest.raises(CheckpointError, match="no random stream 'tasks'"):
        found.restore(learner, {"tasks": np.random.default_rng(0)})


def test_a_full_disk_leaves_the_previous_one(
    learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, 1, learner)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "sync_tree", full)
    with pytest.raises(CheckpointError, match=r"No space left on device.*step-000001 is intact"):
        save_checkpoint(tmp_path, 2, learner)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000001"]
    monkeypatch.undo()
    assert load_latest(tmp_path) is not None


LIMITED = """
import resource, sys
from pathlib import Path
from agentrl.config import LearnerConfig, PolicyConfig
from agentrl.errors import CheckpointError
from agentrl.learner.checkpoint import save_checkpoint
from agentrl.learner.learner import Learner
from agentrl.learner.policy import load_policy

model, root = sys.argv[1:]
learner = Learner(load_policy(PolicyConfig(model=model)), LearnerConfig(), seed=0)
for limit in (200, 5_000, 20_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        save_checkpoint(Path(root), 1, learner, state={"text": "x" * 30_000})
        print("written")
    except CheckpointError as error:
        print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs file size limits")
def test_writes_that_really_fail(model_dir: Path, tmp_path: Path) -> None:
    """The kernel refuses writes beyond a size: safetensors, torch and our own files in turn."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(model_dir), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 3
    assert all(line.startswith("cannot write checkpoint") for line in lines), lines
    assert list(tmp_path.iterdir()) == []


def test_state_that_is_no_json_is_our_callers_bug(learner: Learner, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path, 1, learner, state={"a": object()})
    assert list(tmp_path.iterdir()) == []


def test_manifest_names_version_and_files(learner: Learner, tmp_path: Path) -> None:
    from agentrl import __version__

    path = save_checkpoint(tmp_path, 3, learner)
    manifest = json.loads((path / "manifest.json").read_text())
    assert (manifest["agentrl"], manifest["step"]) == (__version__, 3)
    assert set(FILES) <= manifest["files"].keys()
