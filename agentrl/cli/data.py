"""`agentrl data list`, `agentrl data get` and `agentrl data path`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from agentrl.cli.output import print_json, print_table
from agentrl.data import (
    DATA_VARIABLE,
    DataSource,
    Report,
    Silent,
    data_root,
    require_data_root,
    source,
    source_names,
)
from agentrl.data import get as get_source
from agentrl.data.progress import for_terminal, size
from agentrl.errors import AgentRLError, ConfigError

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def list_data(as_json: Json = False) -> None:
    """List the data sets that environments read, which are here, and how to get the others."""
    rows = [describe(name) for name in source_names()]
    root = data_root()
    if as_json:
        print_json({"folder": str(root), "sources": rows})
        return
    for row in rows:
        print(f"{row['name']}: {row['problem'] or row['summary']}")
        print(f"  {row['state']}; {_advice(row)}")
        cells = [(file["name"], _size(file["bytes"]), file["purpose"]) for file in row["files"]]
        if cells:
            print_table((f"files in {row['folder']}/", "size", "for"), cells)
    named = os.environ.get(DATA_VARIABLE)
    why = f"{DATA_VARIABLE} names it" if named else f"{DATA_VARIABLE} is not set"
    print(f"The data folder is {root} ({why}).")


def get(
    name: Annotated[str, typer.Argument(help="The data set; `agentrl data list` names them.")],
    origin: Annotated[
        str | None,
        typer.Option("--from", help="A folder with the downloads, one of them, or a mirror's URL."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="The data folder to fill, if not the usual one.")
    ] = None,
    sha256: Annotated[
        list[str] | None,
        typer.Option("--sha256", help="The hash the download must have; NAME=HASH where several."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Get it anew though it is here.")] = False,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Keep content other than what is known.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Download a data set, check it and pack it into the data folder; goes on if interrupted."""
    wanted = source(name)
    quiet = as_json and not sys.stderr.isatty()
    progress = Silent() if quiet else for_terminal()
    try:
        report = get_source(
            wanted,
            root=to,
            origin=origin,
            sha256=_hashes(wanted, sha256 or []),
            force=force,
            unverified=unverified,
            progress=progress,
        )
    except KeyboardInterrupt:
        print("\nwhat has come is kept; the same command goes on with it", file=sys.stderr)
        raise
    if as_json:
        print_json(_as_dict(wanted, report))
    else:
        _print(wanted, report)
    if not (report.is_right or unverified):
        raise typer.Exit(1)


def path() -> None:
    """Print the folder that holds the data."""
    print(require_data_root())


def describe(name: str) -> dict[str, Any]:
    """Return what is known of a data source; a broken one has its `problem` told."""
    row: dict[str, Any] = {
        "name": name,
        "environment": None,
        "summary": "",
        "licence": "",
        "folder": None,
        "state": "broken",
        "bytes": 0,
        "get": f"agentrl data get {name}",
        "files": [],
        "problem": None,
    }
    try:
        found = source(name)
    except AgentRLError as error:
        return {**row, "problem": str(error)}
    files = [_file(found, number) for number in range(len(found.files))]
    row |= {
        "environment": found.environment,
        "summary": found.summary,
        "licence": found.licence,
        "folder": found.folder,
        "bytes": found.bytes,
        "files": files,
    }
    required = [
        row["bytes"] for row, file in zip(files, found.files, strict=True) if not file.optional
    ]
    row["state"] = "present" if all(required) else "partly here" if any(required) else "missing"
    return row


def _file(found: DataSource, number: int) -> dict[str, Any]:
    file = found.files[number]
    here = found.find(data_root(), file)
    marks = [
        mark for mark, holds in (("held out", file.held_out), ("optional", file.optional)) if holds
    ]
    return {
        "name": here.name if here else file.name,
        "purpose": file.purpose + (f" ({', '.join(marks)})" if marks else ""),
        "bytes": here.stat().st_size if here else None,
    }


def _advice(row: dict[str, Any]) -> str:
    if row["state"] == "present":
        return row["licence"] or "ready"
    return f"get it with `{row['get']}` (about {size(row['bytes'])} when packed)"


def _hashes(wanted: DataSource, given: list[str]) -> dict[str, str]:
    hashes: dict[str, str] = {}
    for word in given:
        file, _, digest = word.rpartition("=")
        if not file and len(wanted.downloads) != 1:
            names = ", ".join(one.name for one in wanted.downloads)
            raise ConfigError(f"--sha256 {word}: say of which file, NAME=HASH; there are {names}")
        if len(digest) != 64 or not set(digest.lower()) <= set("0123456789abcdef"):
            raise ConfigError(f"--sha256 {word}: a SHA-256 is 64 hexadecimal digits")
        hashes[file or wanted.downloads[0].name] = digest
    return hashes


def _as_dict(wanted: DataSource, report: Report) -> dict[str, Any]:
    return {
        "name": report.name,
        "folder": str(report.folder),
        "is_new": report.is_new,
        "files": dict(report.files),
        "checks": [
            {"what": c.what, "state": c.state, "sha256": c.digest, "note": c.note}
            for c in report.checks
        ],
        "licence": wanted.licence,
    }


def _print(wanted: DataSource, report: Report) -> None:
    rows = [(c.what, c.state, c.digest[:16], c.note) for c in report.checks]
    if rows:
        print_table(("part", "content", "hash", ""), rows)
    total = size(sum(report.files.values()))
    how = "is in" if report.is_new else "was already in"
    print(f"{report.name} {how} {report.folder} ({total}).")
    if wanted.licence:
        print(wanted.licence)
    if not report.is_right:
        print(f"It is not what is known; `agentrl data get {report.name} --force` gets it again.")


def _size(count: int | None) -> str:
    return "missing" if count is None else size(count)
