"""Data sets: where they lie, who declares them, and how to get them.

Everything lies under one folder: the one that `AGENTRL_DATA` names, else the user's own. An
environment declares what it reads as a `DataSource` under the entry point group `agentrl.data`;
the command line lists the sources (`agentrl data list`) and gets them (`agentrl data get NAME`).
"""

from __future__ import annotations

from agentrl.data.catalogue import source, source_names
from agentrl.data.declaration import Check, DataFile, DataSource, Download, Fetched
from agentrl.data.getting import Report, get
from agentrl.data.progress import Progress, Silent
from agentrl.data.root import DATA_VARIABLE, data_root, require_data_root

__all__ = [
    "DATA_VARIABLE",
    "Check",
    "DataFile",
    "DataSource",
    "Download",
    "Fetched",
    "Progress",
    "Report",
    "Silent",
    "data_root",
    "get",
    "require_data_root",
    "source",
    "source_names",
]
