"""The component contract: a name, and one `run` until cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Component(Protocol):
    """What the supervisor starts in order and cancels in reverse."""

    @property
    def name(self) -> str: ...

    async def run(self, started: Callable[[], None]) -> None:
        """Work until cancelled; call `started` once, when others may rely on it. Returning
        early is a failure.
        """
        ...
