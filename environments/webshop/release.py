"""The shop's data as its authors published it, and where to get it.

The originals lie on Google Drive, under the addresses of the original set-up script. Those were
reported in 2026 to ask for a sign-in, so two copies on the Hugging Face hub, at fixed revisions,
are tried after them. Whatever the address, a file is kept only if it has the published content:
sizes and SHA-256 are those that several independent users of the originals state; that of
`items_ins_v2_1000.json` was compared with a copy of the original here.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from agentrl.data import Check, DataFile, DataSource, Download, Fetched, Progress

_DRIVE = "https://drive.usercontent.google.com/download?id={id}&export=download&confirm=t"
_MIRRORS = (
    "https://huggingface.co/datasets/YWZBrandon/webshop-data/resolve/"
    "ce990fff5aee388db2706f07820c578ab68e0453/{name}",
    "https://huggingface.co/datasets/HongbangYuan/webshop/resolve/"
    "0129d4a81dbdb827e76afd20a1e2c38b61098613/{name}",
)
_LICENCE = (
    "WebShop, Yao et al. 2022 (Princeton NLP), code MIT licence; the product texts were collected "
    "from Amazon by its authors and are for research."
)
_ASINS_SMALL = "760805d883558e0c31ace7d6490740bb6f58ccf978c955ff097808ea186c6832"
"""SHA-256 of the product numbers of the small set in order, one per line."""
_SMALL_ENOUGH_TO_PACK = 50_000_000
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class _Published:
    """A file as it was published."""

    name: str
    drive_id: str
    bytes: int
    sha256: str

    @property
    def download(self) -> Download:
        """Return where to get it."""
        mirrors = (mirror.format(name=self.name) for mirror in _MIRRORS)
        urls = (_DRIVE.format(id=self.drive_id), *mirrors)
        return Download(self.name, urls, self.bytes, self.sha256)


_PRODUCTS_SMALL = _Published(
    "items_shuffle_1000.json",
    "1EgHdxQ_YxqIQlvvq5iKlCrkEKR6-j0Ib",
    4_467_013,
    "30a4765c3a327af72d9a9a95a6b2486d516f0fa1d3ecd83681901ce82a21b269",
)
_ATTRIBUTES_SMALL = _Published(
    "items_ins_v2_1000.json",
    "1IduG0xl544V_A_jv3tHXC0kyFi7PnyBu",
    147_099,
    "f88a36314a397b53b3d9c3fa5878e5f7b26d35019a51ec83fbedeca61a948f6f",
)
_PRODUCTS = _Published(
    "items_shuffle.json",
    "1A2whVgOO0euk5O13n2iYDM0bQRkkRduB",
    5_479_720_229,
    "2ef591d65df3af89e972ab72468eb82cbf124d876552d9f3678667edd620a6c8",
)
_ATTRIBUTES = _Published(
    "items_ins_v2.json",
    "1s2j6NgHljiZzQNL3veZaAiyW_qDEgBNi",
    186_295_270,
    "1d36af476bdb8f82a5da62bd8acdabe54cd8de2fa84010d37da5c4890feb447e",
)
_HUMAN = _Published(
    "items_human_ins.json",
    "14Kb5SPBk_jfdLZ_CDBNitW98QLDlKR5O",
    5_137_548,
    "cf78667548a71786e1d9049c24b802e48e1084ad4bb021cae56ce1f6d96954a3",
)


def pack(downloads: Mapping[str, Fetched], target: Path, progress: Progress) -> None:
    """Fill an empty folder with the published files; all but the large ones are packed with xz."""
    with progress.task("packing", len(downloads)) as advance:
        for name, fetched in downloads.items():
            if fetched.path.stat().st_size > _SMALL_ENOUGH_TO_PACK:
                fetched.place(target / name)
            else:
                with (
                    fetched.path.open("rb") as plain,
                    lzma.open(target / f"{name}.xz", "wb") as out,
                ):
                    shutil.copyfileobj(plain, out, _CHUNK)
            advance(1)


def verify(files: tuple[_Published, ...], folder: Path) -> tuple[Check, ...]:
    """Compare the content of each file with the published one."""
    return tuple(_check(published, folder) for published in files)


def _check(published: _Published, folder: Path) -> Check:
    names = (published.name, *_STAND_INS.get(published.name, ()))
    spellings = (folder / f"{name}{end}" for name in names for end in ("", ".xz"))
    file = next((path for path in spellings if path.is_file()), None)
    if file is None:
        return Check(published.name, "missing")
    try:
        with _opened(file) as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
        if digest == published.sha256:
            return Check(published.name, "verified", digest)
        return _check_rebuilt(published, file, digest)
    except (OSError, EOFError, lzma.LZMAError, ValueError, KeyError, TypeError) as error:
        return Check(published.name, "different", note=f"damaged: {error}")


def _check_rebuilt(published: _Published, file: Path, digest: str) -> Check:
    """Say of a file that is not the published one whether it is known to stand for it."""
    if not file.name.startswith(published.name):
        return Check(published.name, "unverified", digest, f"{file.name} stands for it")
    if published is _PRODUCTS_SMALL:
        with _opened(file) as content:
            asins = "\n".join(product["asin"] for product in json.load(content))
        if hashlib.sha256(asins.encode()).hexdigest() == _ASINS_SMALL:
            note = "not the published bytes, but the same 1,000 products in the same order"
            return Check(published.name, "unverified", digest, note)
    return Check(published.name, "different", digest, "not the published content")


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    with lzma.open(file, "rb") if file.suffix == ".xz" else file.open("rb") as content:
        yield content


_STAND_INS: Mapping[str, tuple[str, ...]] = {
    "items_shuffle_1000.json": ("items_shuffle.json",),
    "items_ins_v2_1000.json": ("items_ins_v2.json",),
    "items_human_ins.json": ("items_human_ins_1000.json",),
}
"""Other names under which the loader takes a file of the small set."""


def _source(
    name: str, folder: str, summary: str, files: tuple[_Published, ...], size: int
) -> DataSource:
    purposes = (
        "products as collected",
        "attributes and synthetic instructions",
        "instructions written by people",
    )
    return DataSource(
        name=name,
        environment="webshop",
        folder=folder,
        summary=summary,
        licence=_LICENCE,
        files=tuple(
            DataFile(file.name, purpose, stand_ins=_STAND_INS.get(file.name, ()))
            for file, purpose in zip(files, purposes, strict=True)
        ),
        downloads=tuple(file.download for file in files),
        pack=pack,
        verify=partial(verify, files),
        bytes=size,
    )


SMALL = _source(
    "webshop",
    "webshop_small",
    "the WebShop set of 1,000 products",
    (_PRODUCTS_SMALL, _ATTRIBUTES_SMALL, _HUMAN),
    1_600_000,
)
FULL = _source(
    "webshop-full",
    "webshop_full",
    "the WebShop set of 1.18 million products",
    (_PRODUCTS, _ATTRIBUTES, _HUMAN),
    5_672_000_000,
)
