"""What all writes share: the parts of the server they need, and the transaction itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from sampan.api.meta import Json
from sampan.apiserver.attempts import Chain
from sampan.apiserver.authz.authorizer import Authorizer
from sampan.apiserver.cacher.cacher import Cacher
from sampan.apiserver.cacher.item import Item, body_of, value_of
from sampan.apiserver.options import WriteOptions
from sampan.apiserver.registry.turns import Turns
from sampan.apiserver.served import Served
from sampan.std.clock import Clock
from sampan.store.base import Compare, Delete, Put, Store


class Beside(Protocol):
    """What goes into the same transaction as an object."""

    @property
    def compares(self) -> Sequence[Compare]: ...

    @property
    def writes(self) -> Sequence[Put | Delete]: ...


class Reservation(Beside, Protocol):
    """Addresses and ports taken for a write that is under way."""

    def release(self) -> None:
        """The write is stored, or it did not happen; called in either case."""
        ...


class Allocator(Protocol):
    """Gives objects what they hold from shared pools."""

    def reserve(
        self, served: Served, new: Json | None, old: Json | None, *, dry_run: bool
    ) -> Reservation | None:
        """Take what `new` needs and write it into it; give back what only `old` held.

        Raises Invalid when something is taken already.
        """
        ...


class Ownership(Protocol):
    """Who manages which field (metadata.managedFields)."""

    def track(
        self, served: Served, old: Json | None, new: Json, manager: str, subresource: str
    ) -> None:
        """Note in `new` what a write that is no apply changed."""
        ...

    def apply(
        self,
        served: Served,
        live: Json | None,
        config: Json,
        manager: str,
        subresource: str,
        *,
        force: bool,
    ) -> Json:
        """The live object with a configuration laid over it. Raises Conflict."""
        ...

    def apply_scale(self, live: Json, config: Json, options: WriteOptions) -> Json:
        """The same for a Scale. Raises Conflict."""
        ...


@dataclass(slots=True)
class Parts:
    """Handed to every registry function."""

    store: Store
    cacher: Cacher
    chain: Chain
    allocator: Allocator
    ownership: Ownership
    clock: Clock
    random_suffix: Callable[[], str]
    new_uid: Callable[[], str]
    authorizer: Authorizer
    turns: Turns = field(default_factory=Turns)

    def timestamp(self, seconds_from_now: float = 0) -> str:
        return timestamp(self.clock, seconds_from_now)

    async def put(
        self,
        served: Served,
        obj: Json,
        namespace: str,
        expected: int,
        *beside: Beside | None,
    ) -> Item | None:
        """Store an object if its key is still at a revision (0: absent); None when it is not."""
        name = obj["metadata"]["name"]
        stored = obj
        if served.resource.storage is not None:
            stored = served.resource.to_storage(obj)
            stored["kind"], stored["apiVersion"] = served.stored.kind, served.stored.api_version
        value = value_of(stored)
        key = served.key(namespace, name)
        compares: list[Compare] = [Compare(key, expected)]
        writes: list[Put | Delete] = [Put(key, value)]
        for other in beside:
            if other is not None:
                compares += other.compares
                writes += other.writes
        outcome = await self.store.txn(compares, writes)
        await self.cacher.wait_for(outcome.revision)
        if not outcome.succeeded:
            return None
        return Item(namespace, name, outcome.revision, body_of(value, outcome.revision))

    async def remove(
        self,
        served: Served,
        namespace: str,
        name: str,
        expected: int,
        *beside: Beside | None,
    ) -> bool:
        """Remove an object that is still at a revision; whether it was."""
        key = served.key(namespace, name)
        writes: list[Put | Delete] = [Delete(key)]
        for other in beside:
            if other is not None:
                writes += other.writes
        outcome = await self.store.txn([Compare(key, expected)], writes)
        await self.cacher.wait_for(outcome.revision)
        return outcome.succeeded


def timestamp(clock: Clock, seconds_from_now: float = 0) -> str:
    """`2026-11-20T19:03:00Z`."""
    return second_text(int(clock.now() + seconds_from_now))


@lru_cache(maxsize=64)
def second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
