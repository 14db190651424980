"""Run one part of the suite and print its rows, a line of JSON each, as they come.

Command: ``python -m benchmarks.gpu.part PART SETUP``, the setup as JSON; ``suite.py`` calls it.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command import end_in_order_on_sigterm
from benchmarks.gpu.setup import Setup


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    name, text = arguments
    values = json.loads(text)
    setup = Setup(**{**values, "published": Path(values["published"])})
    part = importlib.import_module(f"benchmarks.gpu.{name}")
    for row in part.rows(setup):
        print(json.dumps(row), flush=True)
    return 0


if __name__ == "__main__":
    end_in_order_on_sigterm()
    sys.exit(main(sys.argv[1:]))
