"""What was last known of the cluster, on disk: a server that starts without an API server answers
from it, and says so.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

VERSION = 1


def read(path: str) -> list[tuple[Any, ...]]:
    """The rows of a snapshot; none where it is missing, damaged or of another version."""
    try:
        with open(path, encoding="utf-8") as file:
            version, rows = json.load(file)
    except (OSError, ValueError, TypeError):
        return []
    return [_tuples(row) for row in rows] if version == VERSION else []


def write(path: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Replace the snapshot as a whole. Raises OSError."""
    fresh = f"{path}.{os.getpid()}"
    try:
        with open(fresh, "w", encoding="utf-8") as file:
            file.write(f"[{VERSION},[")
            file.writelines(_joined(rows))
            file.write("]]\n")
        os.replace(fresh, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise


def _joined(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    mark = ""
    for row in rows:
        yield mark + json.dumps(row, separators=(",", ":"))
        mark = ",\n"


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
