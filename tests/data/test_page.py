"""The documentation's example of a data source is one, and works."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from agentrl.data import get

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "data.md"


def test_the_example(tmp_path) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    names: dict = {}
    exec(code, names)
    (tmp_path / "codes.csv").write_text("777")
    one = replace(names["DATA"].downloads[0], sha256=None)
    source = replace(names["DATA"], downloads=(one,))
    report = get(source, root=tmp_path / "data", origin=str(tmp_path))
    assert report.files == {"codes.csv": 3}
