"""The documentation says what the code does."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from agentrl.check import check_environment
from agentrl.check.runner import CHECKS
from agentrl.env import Info

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture(scope="module")
def environment_page() -> str:
    return (DOCS / "environment.md").read_text()


def first_cells(text: str) -> list[str]:
    """Return the first cell of each table row."""
    return re.findall(r"^\| ([^|]+?) \|", text, re.M)


def test_the_configuration_page_is_the_tree() -> None:
    spec = importlib.util.spec_from_file_location("page", DOCS / "configuration_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = (DOCS / "configuration.md").read_text()
    assert written == module.page(), "run: python docs/configuration_page.py"


def test_every_setting_is_described() -> None:
    rows = re.findall(r"^\| `\w+` \|.*$", (DOCS / "configuration.md").read_text(), re.M)
    assert len(rows) > 60
    assert [row for row in rows if row.endswith("|  |")] == []


def test_the_configuration_page_speaks_no_python() -> None:
    page = (DOCS / "configuration.md").read_text()
    assert "`restrict` | `true` \\| `false` or `number` |" in page
    assert "typing." not in page


def test_every_short_form_is_told() -> None:
    from agentrl.config.files import _SHORT

    page = (DOCS / "configuration.md").read_text()
    for section, key in _SHORT.items():
        assert f"`{section}=" in page
        assert f"`{section}.{key}`" in page


def test_the_example_environment_is_sound(environment_page: str, tmp_path: Path) -> None:
    source = re.search(r"```python\n# vault.py\n(.*?)```", environment_page, re.S)
    assert source is not None
    (tmp_path / "vault.py").write_text(source.group(1))
    report = check_environment(f"{tmp_path}/vault.py:Vault", episodes=2, fuzz=200)
    assert report.problems == []


def test_the_table_of_checks_is_complete(environment_page: str) -> None:
    section = environment_page.partition("## Checking")[2]
    assert first_cells(section)[1:] == list(CHECKS)


def test_the_table_of_info_is_complete(environment_page: str) -> None:
    cells = first_cells(environment_page.partition("## What `reset`")[2])
    assert {cell.strip("`") for cell in cells if cell.startswith("`")} >= set(Info.__annotations__)


def test_the_table_of_endpoint_options_is_complete() -> None:
    from agentrl.engines.openai.options import Options

    page = (DOCS / "evaluation.md").read_text()
    rows = first_cells(page.partition("| `engine.options` |")[2])
    names = re.findall(r"`(\w+)`", " ".join(rows))
    assert names == list(Options.model_fields)


def test_pages_are_in_the_navigation() -> None:
    navigation = (DOCS.parent / "mkdocs.yml").read_text()
    for page in DOCS.glob("*.md"):
        assert f"- {page.name}" in navigation
