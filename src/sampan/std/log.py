"""Structured logs: one line per event on stderr, `time level component: message key=value ...`.

The lines go through the standard library's `logging`, so whoever embeds Sampan decides where they
end; `setup` is what our own commands call.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, TextIO

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
ROOT = "sampan"


class Log:
    """Named after a component; fields are keyword arguments and stay in their order."""

    __slots__ = ("_logger", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._logger = logging.getLogger(f"{ROOT}.{name}")

    def debug(self, message: str, **fields: Any) -> None:
        if self._logger.isEnabledFor(logging.DEBUG):
            self._logger.debug("%s", line(message, fields))

    def info(self, message: str, **fields: Any) -> None:
        self._logger.info("%s", line(message, fields))

    def warning(self, message: str, **fields: Any) -> None:
        self._logger.warning("%s", line(message, fields))

    def error(self, message: str, *, exc: BaseException | None = None, **fields: Any) -> None:
        """`exc` adds its type and text, and its traceback where the level is debug."""
        if exc is not None:
            fields["error"] = f"{type(exc).__name__}: {exc}"
        debugging = exc is not None and self._logger.isEnabledFor(logging.DEBUG)
        self._logger.error("%s", line(message, fields), exc_info=exc if debugging else None)


def get(component: str) -> Log:
    return Log(component)


def setup(level: str = "info", stream: TextIO | None = None) -> None:
    """Send the program's logs to `stream` (stderr) from this level on; a second call replaces
    the first.
    """
    root = logging.getLogger(ROOT)
    for old in list(root.handlers):
        root.removeHandler(old)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Formatter())
    root.addHandler(handler)
    root.setLevel(LEVELS[level])
    root.propagate = False


class Formatter(logging.Formatter):
    """`2026-11-20T19:03:00.123Z info endpointslice: message key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        component = record.name.removeprefix(ROOT + ".")
        level = record.levelname.lower()
        text = f"{stamp}.{int(record.msecs):03d}Z {level} {component}: {record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def line(message: str, fields: dict[str, Any]) -> str:
    """The message with its fields behind it; never more than one line."""
    parts = [message, *(f"{name}={_shown(value)}" for name, value in fields.items())]
    return " ".join(parts).replace("\n", "\\n")


def _shown(value: Any) -> str:
    text = str(value)
    plain = text and not any(c in text for c in ' "=\t\n')
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
