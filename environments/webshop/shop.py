"""The shop: one read-only catalogue, products and search, shared by all environments and workers.

The catalogue's files are read once. What is made from them lies in the cache folder and is mapped
into memory, so that a process, and each further process, holds next to nothing of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from agentrl.cache import build_once
from agentrl.environments.webshop.catalogue import Product, read_products
from agentrl.environments.webshop.files import content_hash, sources
from agentrl.environments.webshop.index import Index
from agentrl.environments.webshop.index_build import IndexBuilder
from agentrl.environments.webshop.listings import Listings, ListingsBuilder
from agentrl.environments.webshop.mapped import damaged
from agentrl.environments.webshop.store import Store, StoreBuilder
from agentrl.errors import DataError

FORMAT = 2
"""The version of the files in the cache; another version is built anew."""
LARGE = 1 << 25
"""From so many bytes on, the hash of a file is kept."""
_KIND = "webshop"
_HASH = "hash.txt"


class ProductStore(Store[Product]):
    """The products, by number and by ASIN."""

    def by_asin(self, asin: str) -> Product:
        """Return the product with an ASIN.

        Raises:
            KeyError: There is none.
        """
        return self.by_name(asin)


@dataclass(frozen=True, slots=True)
class Shop:
    """A catalogue, ready for use."""

    products: ProductStore
    """By number, in the order of the catalogue's file."""
    index: Index
    """Finds product numbers by words."""
    listings: Listings
    """Finds product numbers by attribute, category or query."""
    digest: str
    """Hash of the catalogue's files and of the format (16 hex digits)."""


def open_shop(folder: str | Path) -> Shop:
    """Return the shop of a catalogue; the first time in a cache folder's life it is built.

    All callers in a process get the same object. Processes may build at the same time.

    Args:
        folder: Where the catalogue's files are, see `agentrl.environments.webshop.files.sources`.

    Raises:
        DataError: A file is missing or damaged, or the cache folder cannot be written.
    """
    files = sources(Path(folder))
    return _open(Path(folder), _hash(files.products), _hash(files.attributes))


def document_text(product: Product) -> str:
    """Return the text by which a product is found: that of the original's index."""
    options = ", and ".join(
        f"{group}: {', '.join(values)}" for group, values in product.options.items()
    )
    bullet = product.bullets[0] if product.bullets else ""
    return f"{product.title} {product.description} {bullet} {options}".lower()


def _hash(file: Path) -> str:
    """Return a file's hash; that of a large one is kept, or each process would read it anew."""
    status = file.stat()
    if status.st_size < LARGE:
        return content_hash(file)
    state = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    key = hashlib.sha256(repr((str(file.resolve()), state)).encode()).hexdigest()[:16]
    entry = build_once(
        f"{_KIND}-hashes", key, lambda draft: _write(draft / _HASH, content_hash(file))
    )
    try:
        return (entry / _HASH).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(entry / _HASH, error) from error


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="ascii")


@lru_cache(maxsize=8)
def _open(folder: Path, *hashes: str) -> Shop:
    digest = hashlib.sha256(repr((FORMAT, hashes)).encode()).hexdigest()[:16]
    entry = build_once(_KIND, digest, lambda draft: build_shop(folder, draft))
    products = ProductStore(entry / "products", Product)
    return Shop(products, Index(entry / "index"), Listings(entry / "listings"), digest)


def build_shop(folder: Path, target: Path) -> None:
    """Write product store, index and listings of a catalogue into an empty folder, in one pass.

    Raises:
        DataError: A file of the catalogue is missing or damaged, or holds no product.
    """
    store, index = StoreBuilder(target / "products"), IndexBuilder(target / "index")
    listings = ListingsBuilder(target / "listings")
    for product in read_products(folder):
        store.add(product.asin, product)
        index.add(product.asin, document_text(product))
        listings.add(product)
    store.finish()
    listings.finish()
    if not index.finish().documents:
        raise DataError(f"{sources(folder).products} holds no product; copy the file again")
