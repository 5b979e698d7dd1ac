"""A process of one's own beside the asking one: started when asked, gone when its asker is."""

from __future__ import annotations

from typing import Any, Protocol


class HelperError(Exception):
    """The process cannot be started, or it ended instead of answering."""


class Helper(Protocol):
    """One question at a time, one answer each."""

    async def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Send a question and await the answer; starts the process if it does not run. Raises
        HelperError.
        """
        ...

    async def ended(self) -> None:
        """Return when the running process ends, or when one ended before and a question started
        another, which knows nothing of earlier questions; wait for ever while none was started.
        """
        ...

    async def close(self) -> None:
        """End the process, if there is one."""
        ...
