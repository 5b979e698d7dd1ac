"""What exec and attach need of a connection, whichever protocol it speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from sampan.api.meta import Json


@dataclass(frozen=True, slots=True)
class Wants:
    """Which streams the client asked for."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


class Wire(Protocol):
    """A remote command's connection."""

    def stdin(self) -> AsyncIterator[bytes]:
        """What the client types, until it says that this was all."""
        ...

    def sizes(self) -> AsyncIterator[tuple[int, int]]:
        """(columns, rows) whenever the client's window changes."""
        ...

    async def send(self, *, stderr: bool, data: bytes) -> None:
        """Raises ConnectionError."""
        ...

    async def finish(self, status: Json) -> None:
        """Tell how it ended, and end."""
        ...

    async def gone(self) -> None:
        """Return when the client has left."""
        ...


def success() -> Json:
    return {"metadata": {}, "status": "Success"}


def exit_status(code: int) -> Json:
    """A command that ran and ended with something other than 0."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def failure(message: str) -> Json:
    """Nothing ran."""
    text = f"Internal error occurred: {message}"
    return {
        "metadata": {},
        "status": "Failure",
        "message": text,
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }
