"""Log lines as CoreDNS prints them: on standard output, the level in brackets in front.

People and tools grep for these; the structured log of the other components is `std.log`.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TextIO

MOST_WAITING = 1024


class StandardOutput:
    """Every line at once, so that a pipe sees it; `debugging` lets the debug lines through. Only
    lines about queries are written together, those of a turn of the event loop.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.debugging = False
        self._waiting: list[str] = []

    def info(self, text: str) -> None:
        self.plain("[INFO] " + text)

    def warning(self, text: str) -> None:
        self.plain("[WARNING] " + text)

    def error(self, text: str) -> None:
        self.plain("[ERROR] " + text)

    def debug(self, text: str) -> None:
        if self.debugging:
            self.plain("[DEBUG] " + text)

    def query(self, text: str) -> None:
        """A line about one query, which may wait for those about others."""
        self._waiting.append(f"[INFO] {text}\n")
        if len(self._waiting) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:
                self.flush()
        elif len(self._waiting) >= MOST_WAITING:
            self.flush()

    def plain(self, text: str) -> None:
        self._waiting.append(text + "\n")
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        lines, self._waiting = self._waiting, []
        if not lines:
            return
        try:
            self.stream.write("".join(lines))
            self.stream.flush()
        except (OSError, ValueError):
            self.debugging = False  # nobody reads us any more; serving goes on
