"""The product store: what goes in comes out, by number and by name."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrl.environments.webshop.store import Store, StoreBuilder
from agentrl.errors import DataError


class Thing(msgspec.Struct, frozen=True):
    name: str
    words: tuple[str, ...] = ()


def build(folder: Path, things: list[Thing]) -> Store[Thing]:
    builder = StoreBuilder(folder)
    for thing in things:
        builder.add(thing.name, thing)
    builder.finish()
    return Store(folder, Thing)


@settings(deadline=None, max_examples=25)
@given(names=st.lists(st.text("ab\0ü5", max_size=4), unique=True))
def test_records_come_back(names: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    things = [Thing(name, (name, "word")) for name in names if not name.endswith("\0")]
    store = build(tmp_path_factory.mktemp("store"), things)
    assert list(store) == things
    assert store[:2] == things[:2]
    assert [store.find(thing.name) for thing in things] == list(range(len(things)))
    for thing in things:
        assert store.by_name(thing.name) == thing


def test_strange_names_are_not_found(tmp_path: Path) -> None:
    store = build(tmp_path, [Thing("B01"), Thing("A02")])
    for name in ("", "B", "B01\0", "B011", "b01", "\ud800", "B01" * 10_000):
        assert store.find(name) is None
    with pytest.raises(KeyError, match="B9"):
        store.by_name("B9")


def test_numbers_are_checked(tmp_path: Path) -> None:
    store = build(tmp_path, [Thing("B01"), Thing("A02")])
    assert store[-1].name == "A02"
    for number in (2, -3):
        with pytest.raises(IndexError, match="there are 2"):
            store[number]


def test_a_damaged_record_is_told_by_file_and_number(tmp_path: Path) -> None:
    build(tmp_path / "products", [Thing("B01"), Thing("A02")])
    file = tmp_path / "products" / "records.bin"
    content = bytearray(file.read_bytes())
    content[len(content) // 2 :] = b"\xc1" * (len(content) - len(content) // 2)
    file.write_bytes(bytes(content))
    store = Store(tmp_path / "products", Thing)
    assert store[0].name == "B01"
    with pytest.raises(DataError, match=r"records.bin is damaged \(record 2: .*delete the folder"):
        store[1]


@pytest.mark.parametrize("name", ["records.bin", "record_starts.npy", "names.npy"])
def test_missing_and_short_files_are_told(tmp_path: Path, name: str) -> None:
    build(tmp_path, [Thing("B01"), Thing("A02")])
    file = tmp_path / name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"{name} is damaged"):
        Store(tmp_path, Thing)
    file.unlink()
    with pytest.raises(DataError, match=f"{name} is damaged"):
        Store(tmp_path, Thing)
