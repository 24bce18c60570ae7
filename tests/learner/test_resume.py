"""A run that is stopped and resumed in a new process equals the uninterrupted one, bit for bit."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

HERE = Path(__file__).parent


def test_resuming_is_exact(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(HERE)
    program = importlib.import_module("resume_program")
    # Other folders have a conftest of their own.
    sys.modules.pop("conftest", None)
    expected = []
    for rank in program.OPTIONS:
        whole = program.new_learner(str(model_dir), rank)
        reports = program.play(whole, np.random.default_rng(8), range(4))
        expected.append({"reports": reports[2:], "weights": program.digest(whole)})
        part = program.new_learner(str(model_dir), rank)
        program.play(part, np.random.default_rng(8), range(2), tmp_path / str(rank))
    done = subprocess.run(
        [
            sys.executable,
            str(HERE / "resume_program.py"),
            str(model_dir),
            str(tmp_path),
            str(torch.get_num_threads()),
        ],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    assert json.loads(done.stdout.strip().splitlines()[-1]) == expected
