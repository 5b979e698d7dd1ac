"""`sampan version`."""

from __future__ import annotations

from sampan import __version__


def run(argv: list[str]) -> int:
    print(f"sampan {__version__}")
    return 0
