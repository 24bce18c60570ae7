"""What a user's installer gets: built here from the working tree, as a release would be."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def hatch_build(source: Path, target: str, out: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [built] = out.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return hatch_build(REPOSITORY, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def tracked(folder: str) -> set[str]:
    command = ["git", "ls-files", folder]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_only_agentrl_is_put_on_the_import_path(names: set[str]) -> None:
    top = {name.split("/")[0] for name in names}
    assert top == {"agentrl", "agentrl_framework-0.1.0.dist-info"}


def test_the_linked_folders_are_real_packages(wheel: Path, names: set[str]) -> None:
    for folder in ("environments", "tools", "sandboxes"):
        assert f"agentrl/{folder}/__init__.py" in names
    with zipfile.ZipFile(wheel) as archive:
        # A symbolic link in a zip has its file type in the upper half of external_attr.
        assert not [i for i in archive.infolist() if (i.external_attr >> 16) & 0o170000 == 0o120000]


def test_every_tracked_file_of_the_package_is_in_the_wheel(names: set[str]) -> None:
    files = tracked("agentrl")
    files |= {
        f"agentrl/{name}" for f in ("environments", "tools", "sandboxes") for name in tracked(f)
    }
    links = {"agentrl/environments", "agentrl/tools", "agentrl/sandboxes", "agentrl/configs"}
    missing = {name for name in files - links if (REPOSITORY / name).is_file()} - names
    assert not missing


def test_package_data_and_licence(names: set[str]) -> None:
    for name in (
        "agentrl/py.typed",
        "agentrl/environments/alfworld/README.md",
        "agentrl_framework-0.1.0.dist-info/licenses/LICENSE",
    ):
        assert name in names


def test_the_wheel_works_away_from_the_repository(installed: Path, tmp_path: Path) -> None:
    code = (
        "import agentrl, pathlib, sys; "
        f"assert pathlib.Path(agentrl.__file__).is_relative_to({str(installed)!r}); "
        "from agentrl.cli import main; "
        "assert main(['env', 'list']) == 0; "
        "env = agentrl.make('alfworld', difficulty=1); print(env.reset(seed=0)[0])"
    )
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "Your task is to" in done.stdout


def test_the_source_distribution_builds_the_same_wheel(names: set[str], tmp_path: Path) -> None:
    archive = hatch_build(REPOSITORY, "sdist", tmp_path / "sdist")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "source", filter="data")
    [source] = (tmp_path / "source").iterdir()
    again = hatch_build(source, "wheel", tmp_path / "again")
    with zipfile.ZipFile(again) as built:
        assert set(built.namelist()) == names


def test_metadata(installed: Path) -> None:
    metadata = (installed / "agentrl_framework-0.1.0.dist-info" / "METADATA").read_text()
    for line in (
        "Name: agentrl-framework",
        "License-Expression: Apache-2.0",
        "Requires-Python: >=3.11",
        "Provides-Extra: train",
    ):
        assert line in metadata
