"""Getting a data source: download or take what is there, pack, check, and put it in place."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from agentrl.data.declaration import Check, DataSource, Download, Fetched
from agentrl.data.download import fetch, is_right
from agentrl.data.progress import Progress, Silent
from agentrl.data.root import DATA_VARIABLE, data_root
from agentrl.data.space import require_space
from agentrl.errors import ConfigError, DataError, did_you_mean

_DOWNLOADS = ".downloads"
_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Report:
    """What `get` did."""

    name: str
    folder: Path
    """Where the data lie."""
    is_new: bool
    """Whether anything was put there now; otherwise all was there before."""
    files: Mapping[str, int]
    """The source's files in the folder, with their sizes in bytes."""
    checks: tuple[Check, ...]

    @property
    def is_right(self) -> bool:
        """Return whether nothing was found to be missing or different."""
        return all(check.state in ("verified", "unverified") for check in self.checks)


def get(
    source: DataSource,
    *,
    root: Path | None = None,
    origin: str | None = None,
    sha256: Mapping[str, str] | None = None,
    force: bool = False,
    unverified: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Bring a data source into the data folder, whole or not at all.

    An interrupted call loses nothing: the next one goes on with the downloads where they stopped.
    Where the source's folder is there already, its other files stay.

    Args:
        source: What to get.
        root: The data folder; by default the one environments read.
        origin: A folder with the downloads (an archive may be unpacked there), one of the files
            itself, or the address of a mirror that has them under their names.
        sha256: Hashes that the downloads must have, by their names.
        force: Whether to do it again although the data are there, from new downloads.
        unverified: Whether to keep content other than what is known.
        progress: Told how it goes.

    Raises:
        DataError: The data cannot be got, are not what they should be, or cannot be written.
        ConfigError: `sha256` names a download that there is not.
    """
    root = root or data_root()
    told = progress or Silent()
    wanted = _wanted(source, sha256 or {}, unverified)
    if source.is_present(root) and not force:
        return _report(source, root, source.verify(root / source.folder), is_new=False)
    with _workspace(root, source.name, force) as (downloads, draft):
        fetched = {one.name: _bring(one, source, origin, downloads, told) for one in wanted}
        require_space(root, source.bytes - _ours(fetched))
        source.pack(fetched, draft, told)
        told.say("checking the content")
        checks = source.verify(draft)
        if not unverified:
            _require_right(source, checks)
        _publish(draft, root / source.folder)
        for one in wanted:
            (downloads / one.name).unlink(missing_ok=True)
    return _report(source, root, checks, is_new=True)


def _ours(fetched: Mapping[str, Fetched]) -> int:
    """Return the bytes of the downloads that need not be copied or will make room."""
    return sum(one.path.stat().st_size for one in fetched.values() if one.is_ours)


def _wanted(source: DataSource, sha256: Mapping[str, str], unverified: bool) -> list[Download]:
    names = [one.name for one in source.downloads]
    for name in sha256:
        if name not in names:
            hint = did_you_mean(name, names)
            raise ConfigError(f"{source.name!r} has no download {name!r} to hold to a hash; {hint}")
    loose = [
        replace(one, bytes=None, sha256=None) if unverified else one for one in source.downloads
    ]
    return [
        replace(one, sha256=sha256[one.name].lower()) if one.name in sha256 else one
        for one in loose
    ]


def _bring(
    one: Download, source: DataSource, origin: str | None, downloads: Path, progress: Progress
) -> Fetched:
    """Return a download, from the user's own files or from the network."""
    if origin is None:
        return Fetched(fetch(one, downloads, progress), is_ours=True)
    if origin.startswith(("http://", "https://")):
        whole = origin if origin.endswith(one.name) else f"{origin.rstrip('/')}/{one.name}"
        return Fetched(fetch(one, downloads, progress, [whole]), is_ours=True)
    file = _local(one, Path(origin).expanduser(), is_only=len(source.downloads) == 1)
    if file.is_file() and not is_right(file, one):
        raise DataError(
            f"{file} is not the file that {source.name!r} is made from (its size or SHA-256 is "
            "another); download it again, or keep it all the same with --unverified"
        )
    return Fetched(file, is_ours=False)


def _local(one: Download, place: Path, is_only: bool) -> Path:
    """Return where the user has a download, or the folder into which it was unpacked."""
    if place.is_file() and (is_only or place.name == one.name):
        return place
    candidates = [place / one.name]
    if one.unpacked is not None:
        candidates += [place / one.unpacked] + [place] * (place.name == one.unpacked)
    found = next((path for path in candidates if path.exists()), None)
    if found is None:
        either = f" and no folder {one.unpacked}" if one.unpacked else ""
        raise DataError(f"--from {place}: there is no file {one.name}{either}; name its folder")
    return found


@contextmanager
def _workspace(root: Path, name: str, fresh: bool) -> Iterator[tuple[Path, Path]]:
    """Give the folder for downloads, which stays, and an empty one to fill, which does not."""
    downloads, draft = root / _DOWNLOADS / name, root / f".{name}-draft"
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        with _alone(downloads, name):
            shutil.rmtree(draft, ignore_errors=True)
            for file in downloads.iterdir() if fresh else ():
                if file.name != _LOCK:
                    file.unlink(missing_ok=True)
            draft.mkdir()
            try:
                yield downloads, draft
            finally:
                shutil.rmtree(draft, ignore_errors=True)
                _remove_empty(downloads)
    except OSError as error:
        raise DataError(
            f"cannot write below {root} ({error.strerror or error}); mend that, choose another "
            f"folder with --to, or set {DATA_VARIABLE} to one that can be written"
        ) from error


@contextmanager
def _alone(downloads: Path, name: str) -> Iterator[None]:
    """Keep other processes from getting the same source at the same time."""
    try:
        import fcntl
    except ImportError:
        yield  # Windows has no such lock; two calls at once are then the user's to avoid.
        return
    with (downloads / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"{name!r} is being fetched by another process; wait for it") from None
        yield


def _remove_empty(downloads: Path) -> None:
    """Remove the folder of downloads, and its parent, if they hold nothing worth keeping."""
    if {file.name for file in downloads.iterdir()} <= {_LOCK}:
        shutil.rmtree(downloads, ignore_errors=True)
        with suppress(OSError):  # Downloads of other sources are in there.
            downloads.parent.rmdir()


def _require_right(source: DataSource, checks: tuple[Check, ...]) -> None:
    wrong = [check for check in checks if check.state in ("different", "missing")]
    if wrong:
        said = "; ".join(f"{check.what}: {check.state} {check.note}".strip() for check in wrong)
        raise DataError(
            f"what came is not the {source.name!r} that is known ({said}); nothing was replaced; "
            "--force downloads it again, --unverified keeps it all the same"
        )


def _publish(draft: Path, folder: Path) -> None:
    """Put the finished folder in its place, or each of its files if the folder is there."""
    if not folder.exists():
        draft.rename(folder)
        return
    for file in sorted(path for path in draft.rglob("*") if path.is_file()):
        target = folder / file.relative_to(draft)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
        # The same file, plain or packed, would be read in its stead.
        twin = target.with_suffix("") if target.suffix == ".xz" else Path(f"{target}.xz")
        twin.unlink(missing_ok=True)


def _report(source: DataSource, root: Path, checks: tuple[Check, ...], *, is_new: bool) -> Report:
    found = {file.name: source.find(root, file) for file in source.files}
    sizes = {path.name: path.stat().st_size for path in found.values() if path is not None}
    return Report(source.name, root / source.folder, is_new, sizes, checks)
