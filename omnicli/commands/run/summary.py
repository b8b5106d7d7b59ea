"""What a command writes about itself: ``--summary`` and ``--dry-run``."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omnicli import __version__


def print_options(options: Mapping[str, Any]) -> None:
    """``--dry-run``: print the resolved options as one JSON object."""
    print(json.dumps(options, ensure_ascii=False, indent=2, default=str))  # noqa: T201 (the requested output)


def write_summary(path: Path, fields: Mapping[str, Any]) -> None:
    """``--summary``: write what a command did, with versions. Raises OutputError."""
    from omnicli.streams.write.atomic import open_atomic

    summary = {"omni": __version__, "python": sys.version.split()[0], **fields}
    with open_atomic(path) as file:
        file.write(json.dumps(summary, ensure_ascii=False, indent=2, default=str).encode() + b"\n")
