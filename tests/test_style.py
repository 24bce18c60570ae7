"""The house style, measured: sizes, docstrings, annotations, and who may import whom."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDERS = ("agentrl", "environments", "tools", "sandboxes")
MODULE_LINES = 400
FUNCTION_LINES = 60

Function = ast.FunctionDef | ast.AsyncFunctionDef
Modules = dict[str, tuple[str, ast.Module]]


@pytest.fixture(scope="module")
def modules() -> Modules:
    """Return source and syntax tree of every module, by path."""
    files = sorted(file for folder in FOLDERS for file in (REPOSITORY / folder).rglob("*.py"))
    sources = {str(file.relative_to(REPOSITORY)): file.read_text() for file in files}
    assert len(sources) > 60
    return {name: (source, ast.parse(source)) for name, source in sources.items()}


def functions(modules: Modules) -> Iterator[tuple[str, Function]]:
    for name, (_, tree) in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield f"{name}:{node.lineno} {node.name}", node


def public(tree: ast.Module) -> Iterator[Function | ast.ClassDef]:
    """Yield public functions and classes of a module, and the public methods of those classes."""
    for node in tree.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, Function) and not member.name.startswith("_"):
                    yield member


def test_modules_are_short(modules: Modules) -> None:
    sizes = {name: len(source.splitlines()) for name, (source, _) in modules.items()}
    assert {name: size for name, size in sizes.items() if size > MODULE_LINES} == {}


def test_functions_are_short(modules: Modules) -> None:
    sizes = {
        name: (node.end_lineno or node.lineno) - node.lineno + 1
        for name, node in functions(modules)
    }
    assert {name: size for name, size in sizes.items() if size > FUNCTION_LINES} == {}


def test_everything_public_has_a_docstring(modules: Modules) -> None:
    bare = [name for name, (_, tree) in modules.items() if not ast.get_docstring(tree)]
    bare += [
        f"{name}:{node.lineno} {node.name}"
        for name, (_, tree) in modules.items()
        for node in public(tree)
        if not ast.get_docstring(node)
    ]
    assert bare == []


def test_everything_is_annotated(modules: Modules) -> None:
    assert [name for name, node in functions(modules) if node.returns is None] == []


def test_annotations_are_not_evaluated(modules: Modules) -> None:
    defining = {
        name: source
        for name, (source, tree) in modules.items()
        if any(isinstance(node, Function | ast.ClassDef) for node in tree.body)
    }
    future = "from __future__ import annotations"
    assert [name for name, source in defining.items() if future not in source] == []


def test_no_bare_except(modules: Modules) -> None:
    bare = [
        f"{name}:{node.lineno}"
        for name, (_, tree) in modules.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert bare == []


def test_the_core_names_no_built_in(modules: Modules) -> None:
    importing = re.compile(r"^\s*(from|import) agentrl\.(environments|tools|sandboxes)\b", re.M)
    core = {name: source for name, (source, _) in modules.items() if name.startswith("agentrl/")}
    assert [name for name, source in core.items() if importing.search(source)] == []
