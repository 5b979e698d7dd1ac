"""Log lines as CoreDNS prints them: on standard output, the level in brackets in front.

People and tools grep for these; the structured log of the other components is `std.log`.
"""

from __future__ import annotations

import sys
from typing import TextIO


class StandardOutput:
    """Every line at once, so that a pipe sees it; `debugging` lets the debug lines through."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.debugging = False

    def info(self, text: str) -> None:
        self.plain("[INFO] " + text)

    def warning(self, text: str) -> None:
        self.plain("[WARNING] " + text)

    def error(self, text: str) -> None:
        self.plain("[ERROR] " + text)

    def debug(self, text: str) -> None:
        if self.debugging:
            self.plain("[DEBUG] " + text)

    def plain(self, text: str) -> None:
        try:
            self.stream.write(text + "\n")
            self.stream.flush()
        except (OSError, ValueError):
            self.debugging = False  # nobody reads us any more; serving goes on
