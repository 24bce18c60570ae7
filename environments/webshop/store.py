"""The products on disk: msgpack records one after the other, mapped into memory and read singly."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar, overload

import msgspec
import numpy as np

from agentrl.environments.webshop.mapped import damaged, map_array, map_bytes, save_array

Record = TypeVar("Record", bound=msgspec.Struct)


class StoreBuilder:
    """Takes records one by one and writes a `Store`."""

    def __init__(self, folder: Path) -> None:
        """Start a store in an empty folder, which is made if it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._file = (folder / "records.bin").open("wb")
        self._starts = array("Q", [0])
        self._names: list[bytes] = []
        self._encoder = msgspec.msgpack.Encoder()

    def add(self, name: str, record: msgspec.Struct) -> None:
        """Add the next record under a name of its own."""
        self._starts.append(self._starts[-1] + self._file.write(self._encoder.encode(record)))
        self._names.append(name.encode("utf-8", "surrogatepass"))

    def finish(self) -> None:
        """Write what finds the records: their places and the sorted names."""
        self._file.close()
        names = np.array(self._names or [b"?"])[: len(self._names)]
        order = np.argsort(names, kind="stable").astype(np.int32)
        save_array(self._folder / "record_starts.npy", np.array(self._starts, np.uint64))
        save_array(self._folder / "names.npy", names[order])
        save_array(self._folder / "name_owners.npy", order)


class Store(Sequence[Record], Generic[Record]):
    """The records of a folder, by number and by name; each is decoded when it is asked for."""

    def __init__(self, folder: Path, kind: type[Record]) -> None:
        """Open the store that a `StoreBuilder` has written.

        Raises:
            DataError: A file is missing or damaged.
        """
        self._folder = folder
        self._data = map_bytes(folder / "records.bin")
        self._starts = map_array(folder / "record_starts.npy")
        self._names = map_array(folder / "names.npy")
        self._owners = map_array(folder / "name_owners.npy")
        self._decoder = msgspec.msgpack.Decoder(kind)
        if len(self._data) != self._starts[-1]:
            raise damaged(folder / "records.bin", f"{self._starts[-1]} bytes were written")
        if not len(self._starts) - 1 == len(self._names) == len(self._owners):
            raise damaged(folder / "names.npy", "its size does not fit the others'")

    def __len__(self) -> int:
        """Return how many records there are."""
        return len(self._owners)

    @overload
    def __getitem__(self, number: int) -> Record: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Record]: ...

    def __getitem__(self, number: int | slice) -> Record | Sequence[Record]:
        """Return the record of a number.

        Raises:
            IndexError: There is no such number.
            DataError: The record is damaged.
        """
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        if number < 0:
            number += len(self)
        if not 0 <= number < len(self):
            raise IndexError(f"no record {number}: there are {len(self)}")
        start, end = self._starts[number : number + 2].tolist()
        try:
            return self._decoder.decode(self._data[start:end])
        except msgspec.DecodeError as error:
            file = self._folder / "records.bin"
            raise damaged(file, f"record {number + 1}: {error}") from error

    def __iter__(self) -> Iterator[Record]:
        """Yield the records in order; only one is in memory at a time."""
        return (self[number] for number in range(len(self)))

    def find(self, name: str) -> int | None:
        """Return the number of the record with a name; None for any other string."""
        wanted = name.encode("utf-8", "surrogatepass")
        # numpy pads with NUL bytes, and cuts what is too long.
        if len(wanted) > self._names.dtype.itemsize or wanted.endswith(b"\0"):
            return None
        place = int(np.searchsorted(self._names, np.bytes_(wanted)))
        if place == len(self._names) or self._names[place] != wanted:
            return None
        return int(self._owners[place])

    def by_name(self, name: str) -> Record:
        """Return the record with a name.

        Raises:
            KeyError: There is none.
        """
        number = self.find(name)
        if number is None:
            raise KeyError(name)
        return self[number]
