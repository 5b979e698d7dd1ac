"""The backend contract: a data plane that turns rules into what the kernel does.

`render` is pure and sees one Service; `load` is the only effect of a normal change. What a backend
keeps between calls is a shadow of what the kernel holds, and `resync` makes it true again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from sampan.api.meta import Key
from sampan.proxy.model import Rules
from sampan.proxy.settings import Settings

Ops = TypeVar("Ops")
Aside = Callable[..., Awaitable[Any]]
"""Runs blocking work beside the event loop: `asyncio.to_thread`, or at once in tests of time."""


class BackendError(Exception):
    """The kernel refused; what it holds is unknown until a resync succeeds."""


class Backend(Protocol[Ops]):
    """One per folder of `backends`."""

    name: str

    def probe(self) -> str:
        """Why this backend cannot run here, in one line with the remedy; empty if it can."""
        ...

    def configure(self, settings: Settings) -> None:
        """What the rules depend on besides Services; a resync must follow."""
        ...

    def render(self, key: Key, old: Rules | None, new: Rules | None) -> Ops:
        """What has to change for one Service. Pure."""
        ...

    async def load(self, ops: Sequence[Ops]) -> None:
        """Put changes in force, all or none. Raises BackendError."""
        ...

    async def resync(self, model: Mapping[Key, Rules]) -> None:
        """Compare with what is there and make it true, touching nothing that is right already.
        Raises BackendError.
        """
        ...

    async def cleanup(self) -> None:
        """Remove every trace of this backend, also one that another process left."""
        ...

    async def disturbed(self) -> None:
        """Return when somebody else has changed what is ours; never, if nobody does."""
        ...
