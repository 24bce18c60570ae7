"""Makes the packaged table of nouns: `python -m agentrl.environments.webshop.make_nouns`.

It needs Node.js and, in the folder where it is run, the packages of wink-nlp (MIT):

    npm install wink-nlp@2.4.0 wink-eng-lite-web-model@1.8.1

The table holds for each name of the 1000-product set, and for those in the original's unit tests, a
hash and its nouns; and the words that the tagger calls a noun in less than half of their places.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.resources import as_file, files
from pathlib import Path

import zstandard

from agentrl.environments.webshop.catalogue import read_products
from agentrl.environments.webshop.files import data_folder
from agentrl.environments.webshop.nouns import ASSET, NOUN_TAGS, name_key, words_of

_TAGGER = "tag_names.js"
_STRONGEST = 19
_NAMES_OF_UNIT_TESTS = (
    "Mens D.O.N. Issue 2 Gca Basketball Sneakers Shoes Casual - Off White",
    "PEAK High Top Mens Basketball Shoes Lou Williams Streetball Master Breathable Non Slip "
    "Outdoor Sneakers",
    "Saireed UL Listed 2 Prong Power Cord for JBL Bar 3.1 Bar 2.1 Channel 4K Ultra HD Soundbar "
    "Home Theater System Subwoofer",
    "Saireed UL Listed 2 Prong Power Cord for JBL Bar 3.1 Bar 2.1 Channel 4K Ultra HD Soundbar",
    "BRST AC Power Cord Outlet Socket Cable Plug Lead for Panasonic SC-HT830V DVD/VCR Combo Home "
    "Theater System",
    "Rusticware 921ORB Kitchen and Bath Cabinet Knob",
    "Minkissy 2pcs Stainless Steel Eyebrow Tweezers Blackhead Acne Remover Portable Makeup "
    "Tweezers (Silver)",
)


def make_nouns(folder: Path, target: Path) -> None:
    """Write the asset for the products of a catalogue.

    Raises:
        CalledProcessError: Node.js or one of its packages is missing; its own words are printed.
    """
    names = [*(product.name for product in read_products(folder)), *_NAMES_OF_UNIT_TESTS]
    nouns = _tag(names)
    asset = {
        "nouns": {
            name_key(name): "\t".join(found) for name, found in zip(names, nouns, strict=True)
        },
        "not_nouns": _mostly_not(names, nouns),
    }
    text = json.dumps(asset, ensure_ascii=False, separators=(",", ":"))
    target.write_bytes(zstandard.compress(text.encode(), _STRONGEST))


def _tag(names: Sequence[str]) -> list[list[str]]:
    """Return the nouns of each name in lower case."""
    with as_file(files(__package__) / "assets" / _TAGGER) as script:
        # From standard input, so that Node.js looks for its packages in the current folder.
        program = f"process.argv[2] = {json.dumps(json.dumps(list(names)))};\n" + script.read_text()
        done = subprocess.run(
            ["node", "-"], input=program, stdout=subprocess.PIPE, text=True, check=True
        )
    return [
        [token.lower() for token, tag in tokens if tag in NOUN_TAGS]
        for tokens in json.loads(done.stdout)
    ]


def _mostly_not(names: Iterable[str], nouns: Iterable[Sequence[str]]) -> list[str]:
    """Return the words that are nouns in less than half of their places."""
    places: Counter[str] = Counter()
    as_noun: Counter[str] = Counter()
    for name, found in zip(names, nouns, strict=True):
        words = Counter(words_of(name))
        places += words
        as_noun += words & Counter(found)
    return sorted(word for word, count in places.items() if 2 * as_noun[word] < count)


if __name__ == "__main__":
    asset_file = Path(__file__).parent / "assets" / ASSET
    make_nouns(data_folder(sys.argv[1] if len(sys.argv) > 1 else None), asset_file)
