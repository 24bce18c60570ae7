"""The learner on a device that is not the CPU, without a GPU; see `elsewhere.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SUPPORT = HERE.parent / "support"
_MIXES = """
import torch
from elsewhere import Elsewhere
with Elsewhere():
    tensor = torch.ones(2, device="elsewhere:0")
    print((tensor + torch.tensor(1.0)).cpu().numpy().sum())
    tensor + torch.ones(2)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE), str(SUPPORT)))},
        capture_output=True,
        text=True,
        timeout=280,
    )


def test_the_second_device_refuses_tensors_of_the_first() -> None:
    done = run("-c", _MIXES)
    assert done.stdout == "4.0\n"
    assert "mixes devices" in done.stderr


@pytest.mark.slow
def test_the_learner_gives_elsewhere_what_it_gives_here(model_dir: Path) -> None:
    done = run(str(HERE / "elsewhere_program.py"), str(model_dir))
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 12
    for case, here, elsewhere in lines:
        assert elsewhere == pytest.approx(here, rel=1e-2, abs=1e-4), case
