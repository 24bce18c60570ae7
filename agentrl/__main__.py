"""`python -m agentrl` is the `agentrl` command."""

from __future__ import annotations

import sys

from agentrl.cli import main

if __name__ == "__main__":
    sys.exit(main())
