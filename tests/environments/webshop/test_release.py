"""The published files of the shop: where they come from, how they are kept, what is checked."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
from dataclasses import replace
from pathlib import Path

import pytest

import agentrl
from agentrl.data import Fetched, Silent, get, source
from agentrl.environments.webshop import release
from agentrl.errors import DataError

PRODUCTS = [{"asin": f"B0000000{n:02}", "name": f"lamp {n}"} for n in range(40)]
FILES = {
    "items_shuffle_1000.json": json.dumps(PRODUCTS).encode(),
    "items_ins_v2_1000.json": b'{"B000000001": {"attributes": ["warm"]}}',
    "items_human_ins.json": b"{}",
}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Return a folder with files in the place of the published ones."""
    folder = tmp_path / "published"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def test_sources() -> None:
    small, full = source("webshop"), source("webshop-full")
    assert (small.folder, full.folder) == ("webshop_small", "webshop_full")
    for one in (*small.downloads, *full.downloads):
        assert one.bytes
        assert one.sha256 is not None
        assert len(one.sha256) == 64
        assert "confirm=t" in one.urls[0]
        assert all(url.endswith(f"/{one.name}") for url in one.urls[1:])
    assert sum(one.bytes or 0 for one in full.downloads) == pytest.approx(full.bytes, rel=0.01)


def test_packing(published, tmp_path) -> None:
    target = tmp_path / "packed"
    target.mkdir()
    fetched = {name: Fetched(published / name, is_ours=False) for name in FILES}
    release.pack(fetched, target, Silent())
    assert {file.name for file in target.iterdir()} == {f"{name}.xz" for name in FILES}
    for name, content in FILES.items():
        assert lzma.decompress((target / f"{name}.xz").read_bytes()) == content


def test_large_files_stay_plain(published, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(release, "_SMALL_ENOUGH_TO_PACK", 100)
    target = tmp_path / "packed"
    target.mkdir()
    fetched = {name: Fetched(published / name, is_ours=True) for name in FILES}
    release.pack(fetched, target, Silent())
    assert (target / "items_shuffle_1000.json").samefile(published / "items_shuffle_1000.json")
    assert (target / "items_ins_v2_1000.json.xz").is_file()


def test_other_content_is_refused(published, tmp_path) -> None:
    with pytest.raises(DataError, match=r"items_shuffle_1000\.json is not the file that 'webshop'"):
        get(source("webshop"), root=tmp_path / "data", origin=str(published))
    report = get(source("webshop"), root=tmp_path / "data", origin=str(published), unverified=True)
    assert not report.is_right
    assert {check.state for check in report.checks} == {"different"}
    assert set(report.files) == {f"{name}.xz" for name in FILES}


def test_the_published_content_is_verified(published) -> None:
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    known = tuple(
        replace(one, sha256=hashes[one.name])
        for one in (release._PRODUCTS_SMALL, release._ATTRIBUTES_SMALL, release._HUMAN)
    )
    assert {check.state for check in release.verify(known, published)} == {"verified"}
    (published / "items_human_ins.json").unlink()
    (published / "items_human_ins_1000.json").write_text('{"B000000001": []}')
    states = [check.state for check in release.verify(known, published)]
    assert states == ["verified", "verified", "unverified"]


def test_damaged_and_missing_files(published) -> None:
    (published / "items_shuffle_1000.json").rename(published / "items_shuffle_1000.json.xz")
    (published / "items_human_ins.json").unlink()
    (published / "items_ins_v2_1000.json").write_text("[")
    known = (release._PRODUCTS_SMALL, release._ATTRIBUTES_SMALL, release._HUMAN)
    products, attributes, human = release.verify(known, published)
    assert products.state == "different"
    assert "damaged" in products.note
    assert attributes.state == "different"
    assert human.state == "missing"


@pytest.mark.needs_data
def test_what_is_here() -> None:
    """The attributes are the published file; the products were rebuilt, and are the same ones."""
    folder = Path(os.environ["AGENTRL_DATA"]) / "webshop_small"
    if not folder.is_dir():
        pytest.skip("needs the small WebShop set")
    products, attributes, human = source("webshop").verify(folder)
    assert attributes.state == "verified"
    assert products.state in ("verified", "unverified")
    assert human.state in ("verified", "unverified")
    if products.state == "unverified":
        assert "the same 1,000 products in the same order" in products.note


@pytest.mark.needs_data
def test_what_was_packed_is_played(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("AGENTRL_CACHE", str(tmp_path / "cache"))
    here = Path(os.environ["AGENTRL_DATA"]) / "webshop_small"
    if not here.is_dir():
        pytest.skip("needs the small WebShop set")
    own = tmp_path / "own"
    own.mkdir()
    for name, stand_in in zip(FILES, ("", "", "items_human_ins_1000.json"), strict=True):
        found = (here / f"{stand_in or name}{end}" for end in ("", ".xz"))
        file = next(path for path in found if path.is_file())
        content = file.read_bytes()
        (own / name).write_bytes(lzma.decompress(content) if file.suffix == ".xz" else content)
    report = get(source("webshop"), root=tmp_path, origin=str(own), unverified=True)
    env = agentrl.make("webshop", data=report.folder, split="train")
    observation, info = env.reset(seed=1)
    assert "Instruction" in observation
    assert info["available_actions"]["has_search_bar"]
