"""`agentrl data …`, with a stranger's data source, installed as a plugin would be."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from agentrl.data import data_root, require_data_root
from agentrl.errors import DataError

ENTRY_POINTS = """\
[agentrl.data]
vault = vault_plugin:DATA
cracked = vault_plugin:NOTHING
hollow = vault_plugin:__name__
"""

PLUGIN = """
from agentrl.data import Check, DataFile, DataSource, Download


def pack(fetched, target, progress):
    for name, one in fetched.items():
        one.place(target / name)


def verify(folder):
    text = (folder / "codes.csv").read_text()
    return (Check("codes.csv", "unverified" if text.startswith("7") else "different", "ab" * 32),)


DATA = DataSource(
    name="vault",
    environment="vault",
    folder="vaults",
    summary="codes of vaults",
    licence="Vault makers, CC0.",
    files=(
        DataFile("codes.csv", "codes"),
        DataFile("names.csv", "names", held_out=True),
        DataFile("extra.csv", "more", optional=True),
    ),
    downloads=(
        Download("codes.csv", ("http://127.0.0.1:1/codes.csv",)),
        Download("names.csv", ("http://127.0.0.1:1/names.csv",)),
    ),
    pack=pack,
    verify=verify,
    bytes=2_000,
)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the plugin, make the data folder an empty one, and return the user's downloads."""
    info = tmp_path / "site" / "vault_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vault-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (tmp_path / "site" / "vault_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("AGENTRL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    own = tmp_path / "own"
    own.mkdir()
    (own / "codes.csv").write_text("777")
    (own / "names.csv").write_text("Ada")
    return own


def test_list(run, own) -> None:
    code, out, _ = run("data", "list")
    assert code == 0
    for text in (
        "vault: codes of vaults",
        "missing; get it with `agentrl data get vault` (about 2.0 kB when packed)",
        "names (held out)",
        "more (optional)",
        "cracked: 'cracked' in data is broken",
        "hollow: 'hollow' in data is a str, not an agentrl.data.DataSource",
        "alfworld: ",
        "webshop: ",
        "webshop-full: ",
        "(AGENTRL_DATA names it)",
    ):
        assert text in out


def test_list_of_what_is_here(run, own) -> None:
    (data_root() / "vaults").mkdir(parents=True)
    (data_root() / "vaults" / "codes.csv").write_text("777")
    rows = {row["name"]: row for row in json.loads(run("data", "list", "--json")[1])["sources"]}
    assert rows["vault"]["state"] == "partly here"
    assert [file["bytes"] for file in rows["vault"]["files"]] == [3, None, None]
    assert rows["vault"]["licence"] == "Vault makers, CC0."
    assert rows["alfworld"]["state"] == "missing"
    assert rows["cracked"]["problem"]
    (data_root() / "vaults" / "names.csv.xz").write_text("Ada")
    assert "present; Vault makers, CC0." in run("data", "list")[1]


def test_get(run, own) -> None:
    code, out, err = run("data", "get", "vault", "--from", str(own))
    assert code == 0
    assert (data_root() / "vaults" / "names.csv").read_text() == "Ada"
    for text in ("unverified", "abababab", "vault is in", "(6 B)", "Vault makers, CC0."):
        assert text in out
    assert err == "checking the content\n"
    code, out, _ = run("data", "get", "vault")
    assert code == 0
    assert "was already in" in out


def test_get_json(run, own) -> None:
    code, out, _ = run("data", "get", "vault", "--from", str(own), "--json")
    assert code == 0
    assert json.loads(out) == {
        "name": "vault",
        "folder": str(data_root() / "vaults"),
        "is_new": True,
        "files": {"codes.csv": 3, "names.csv": 3},
        "checks": [
            {"what": "codes.csv", "state": "unverified", "sha256": "ab" * 32, "note": ""},
        ],
        "licence": "Vault makers, CC0.",
    }


def test_get_to_another_folder(run, own, tmp_path) -> None:
    code, _, _ = run("data", "get", "vault", "--from", str(own), "--to", str(tmp_path / "disk"))
    assert code == 0
    assert (tmp_path / "disk" / "vaults" / "codes.csv").is_file()
    assert not data_root().exists()


def test_get_of_wrong_content(run, own) -> None:
    (own / "codes.csv").write_text("666")
    code, _, err = run("data", "get", "vault", "--from", str(own))
    assert code == 2
    _, complaint = err.splitlines()
    assert complaint.startswith("error: what came is not the 'vault' that is known")
    code, _, _ = run("data", "get", "vault", "--from", str(own), "--unverified")
    assert code == 0
    code, out, _ = run("data", "get", "vault")
    assert code == 1
    assert "`agentrl data get vault --force` gets it again" in out


def test_get_with_hashes(run, own) -> None:
    digest = hashlib.sha256(b"777").hexdigest()
    where = ("data", "get", "vault", "--from", str(own))
    assert "say of which file, NAME=HASH" in run(*where, "--sha256", digest)[2]
    assert "64 hexadecimal digits" in run(*where, "--sha256", "codes.csv=12")[2]
    assert "no download 'code.csv'" in run(*where, "--sha256", f"code.csv={digest}")[2]
    assert "is not the file" in run(*where, "--sha256", f"names.csv={digest}")[2]
    assert run(*where, "--sha256", f"codes.csv={digest}")[0] == 0


def test_get_offline(run, own) -> None:
    code, out, err = run("data", "get", "vault")
    assert code == 2
    assert out == ""
    assert err.startswith("error: cannot get codes.csv (127.0.0.1: ")
    assert err.count("\n") == 1
    assert "--from FOLDER_OR_URL" in err
    assert list(data_root().iterdir()) == []


def test_get_of_an_unknown_name(run, own) -> None:
    code, _, err = run("data", "get", "vualt")
    assert code == 2
    assert "did you mean 'vault'?" in err


def test_get_where_nothing_can_be_written(run, own) -> None:
    data_root().write_text("a file is in the way")
    code, _, err = run("data", "get", "vault", "--from", str(own))
    assert code == 2
    assert "choose another folder with --to" in err


def test_path(run, own) -> None:
    code, _, err = run("data", "path")
    assert code == 2
    assert "not a folder" in err
    data_root().mkdir()
    assert run("data", "path") == (0, f"{data_root()}\n", "")


def test_the_folder_of_the_user(run, own, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("AGENTRL_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    with pytest.raises(DataError, match=r"`agentrl data get NAME` makes it, or export AGENTRL"):
        require_data_root()
    assert "(AGENTRL_DATA is not set)" in run("data", "list")[1]
    run("data", "get", "vault", "--from", str(own))
    assert require_data_root() == tmp_path / "share" / "agentrl"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_root() == tmp_path / ".local" / "share" / "agentrl"
