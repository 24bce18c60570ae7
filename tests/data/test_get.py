from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from agentrl.data import DataFile, Fetched, data_root, get, space
from agentrl.errors import ConfigError, DataError


@pytest.fixture
def content(host) -> bytes:
    return host.files["codes.bin"]


def tree(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*")}


def test_whole_run(host, make_source, content, tmp_path) -> None:
    root = tmp_path / "data"
    report = get(make_source(), root=root)
    assert (root / "vault" / "codes.bin").read_bytes() == content
    assert tree(root) == {"vault", "vault/codes.bin"}
    assert report.is_new
    assert report.is_right
    assert report.folder == root / "vault"
    assert report.files == {"codes.bin": len(content)}
    assert [check.state for check in report.checks] == ["verified"]


def test_the_folder_of_environments_is_the_default(
    host, make_source, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("AGENTRL_DATA", str(tmp_path / "named"))
    assert get(make_source()).folder == tmp_path / "named" / "vault"
    monkeypatch.delenv("AGENTRL_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "own"))
    assert get(make_source()).folder == tmp_path / "own" / "agentrl" / "vault"
    assert data_root() == tmp_path / "own" / "agentrl"


def test_modes_follow_the_mask(host, make_source, tmp_path) -> None:
    before = os.umask(0o022)
    try:
        folder = get(make_source(), root=tmp_path).folder
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o755


def test_what_is_here_is_not_got_again(host, make_source, tmp_path) -> None:
    get(make_source(), root=tmp_path)
    report = get(make_source(), root=tmp_path)
    assert not report.is_new
    assert len(host.requests) == 1


def test_damage_of_what_is_here_is_told(host, make_source, tmp_path) -> None:
    file = get(make_source(), root=tmp_path).folder / "codes.bin"
    file.write_bytes(b"worn")
    report = get(make_source(), root=tmp_path)
    assert not report.is_right
    assert get(make_source(), root=tmp_path, force=True).is_right


def test_force_leaves_other_files_alone(host, make_source, content, tmp_path) -> None:
    folder = tmp_path / "vault"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    (folder / "codes.bin.xz").write_bytes(b"the same data, packed, of an older call")
    get(make_source(), root=tmp_path, force=True)
    assert tree(folder) == {"notes.txt", "codes.bin"}


def test_force_does_not_go_on_with_old_downloads(host, make_source, tmp_path) -> None:
    downloads = tmp_path / ".downloads" / "vault"
    downloads.mkdir(parents=True)
    (downloads / "codes.bin").write_bytes(b"wrong")
    with pytest.raises(DataError, match="--force downloads it again"):
        get(make_source(), root=tmp_path)
    assert get(make_source(), root=tmp_path, force=True).is_right


def test_wrong_content_replaces_nothing(host, make_source, tmp_path) -> None:
    host.files["codes.bin"] = b"another edition"
    with pytest.raises(DataError, match=r"not the 'vault' that is known \(codes\.bin: different\)"):
        get(make_source(), root=tmp_path)
    assert not (tmp_path / "vault").exists()
    assert not list(tmp_path.glob(".vault*"))
    report = get(make_source(), root=tmp_path, unverified=True)
    assert (report.folder / "codes.bin").read_bytes() == b"another edition"


def test_unverified_drops_the_pins(host, make_source, tmp_path) -> None:
    source = make_source(bytes=7, sha256="0" * 64)
    with pytest.raises(DataError, match="has 300,000 bytes, not 7"):
        get(source, root=tmp_path)
    assert get(source, root=tmp_path, unverified=True).is_new


def test_a_hash_of_the_users_own(host, make_source, content, tmp_path) -> None:
    right = hashlib.sha256(content).hexdigest().upper()
    with pytest.raises(DataError, match="SHA-256"):
        get(make_source(), root=tmp_path, sha256={"codes.bin": "0" * 64})
    assert get(make_source(), root=tmp_path, sha256={"codes.bin": right}).is_right
    with pytest.raises(ConfigError, match=r"no download 'code\.bin'.*did you mean 'codes\.bin'"):
        get(make_source(), root=tmp_path, sha256={"code.bin": right})


def test_from_a_mirror(host, make_source, content, tmp_path) -> None:
    source = make_source("http://127.0.0.1:1/codes.bin")
    for number, origin in enumerate((host.url, f"{host.url}/", f"{host.url}/codes.bin")):
        assert get(source, root=tmp_path / str(number), origin=origin).is_right
    assert [path for path, _ in host.requests] == ["codes.bin"] * 3


def test_from_files_of_the_user(host, make_source, content, tmp_path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "codes.bin").write_bytes(content)
    for number, origin in enumerate((own, own / "codes.bin")):
        report = get(make_source(), root=tmp_path / str(number), origin=str(origin))
        placed = report.folder / "codes.bin"
        assert placed.read_bytes() == content
        assert placed.stat().st_ino != (own / "codes.bin").stat().st_ino
    assert (own / "codes.bin").read_bytes() == content
    assert host.requests == []


def test_from_a_folder_without_them(host, make_source, tmp_path) -> None:
    with pytest.raises(DataError, match=r"no file codes\.bin and no folder codes; name its folder"):
        get(make_source(unpacked="codes"), root=tmp_path, origin=str(tmp_path))
    with pytest.raises(DataError, match=r"no file codes\.bin; name its folder"):
        get(make_source(), root=tmp_path, origin=str(tmp_path / "nowhere"))
    assert tree(tmp_path) == set()


def test_from_a_wrong_file(host, make_source, tmp_path) -> None:
    (tmp_path / "codes.bin").write_bytes(b"other")
    with pytest.raises(DataError, match=r"codes\.bin is not the file that 'vault' is made from"):
        get(make_source(bytes=9), root=tmp_path / "data", origin=str(tmp_path))


def test_our_downloads_are_not_copied(host, make_source, tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"large")
    Fetched(tmp_path / "a", is_ours=True).place(tmp_path / "b")
    assert (tmp_path / "a").stat().st_ino == (tmp_path / "b").stat().st_ino


def test_an_interrupted_run_goes_on(host, make_source, content, tmp_path) -> None:
    host.cuts = [100_000, 0, 0, 0]
    with pytest.raises(DataError, match="kept for the next try"):
        get(make_source(), root=tmp_path)
    assert not (tmp_path / "vault").exists()
    host.cuts, host.sent = [], []
    assert get(make_source(), root=tmp_path).is_right
    assert host.sent == [200_000]
    assert tree(tmp_path) == {"vault", "vault/codes.bin"}


def test_an_interrupted_packing_keeps_the_download(
    host, make_source, tmp_path, monkeypatch
) -> None:
    def stop(self, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Fetched, "place", stop)
        with pytest.raises(KeyboardInterrupt):
            get(make_source(), root=tmp_path)
    assert not list(tmp_path.glob(".vault*"))
    assert get(make_source(), root=tmp_path).is_right
    assert len(host.requests) == 1


def test_what_a_killed_call_left_behind_is_removed(host, make_source, tmp_path) -> None:
    (tmp_path / ".vault-draft" / "deep").mkdir(parents=True)
    get(make_source(), root=tmp_path)
    assert tree(tmp_path) == {"vault", "vault/codes.bin"}


def test_two_calls_at_once(host, make_source, tmp_path) -> None:
    fcntl = pytest.importorskip("fcntl")
    downloads = tmp_path / ".downloads" / "vault"
    downloads.mkdir(parents=True)
    with (downloads / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="being fetched by another process"):
            get(make_source(), root=tmp_path)
    assert get(make_source(), root=tmp_path).is_right


def test_a_folder_that_cannot_be_written(host, make_source, tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot write below .*--to, or set AGENTRL_DATA"):
        get(make_source(), root=tmp_path / "file" / "data")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder(host, make_source, tmp_path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(DataError, match="Permission denied"):
        get(make_source(), root=tmp_path)
    tmp_path.chmod(0o755)


def test_a_disk_without_room_for_the_packed_data(host, make_source, tmp_path, monkeypatch) -> None:
    usage = space.shutil.disk_usage(tmp_path)._replace(free=50_000_000)
    own = tmp_path / "codes.bin"
    own.write_bytes(host.files["codes.bin"])
    monkeypatch.setattr(space.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(DataError, match="free some space"):
        get(make_source(), root=tmp_path / "data", origin=str(own))
    assert not (tmp_path / "data" / "vault").exists()


def test_presence(make_source, tmp_path) -> None:
    source = make_source()
    assert not source.is_present(tmp_path)
    (tmp_path / "vault").mkdir()
    (tmp_path / "vault" / "codes.bin.xz").touch()
    assert source.is_present(tmp_path)
    other = DataFile("wanted.bin", "", stand_ins=("codes.bin",))
    assert source.find(tmp_path, other) == tmp_path / "vault" / "codes.bin.xz"
    assert source.find(tmp_path, DataFile("wanted.bin", "")) is None
