"""The storage contract: a flat, ordered key space with one global revision, as etcd's v3 API has
it.

Keys are text (`/registry/pods/default/web`), values are opaque bytes. A revision is a decimal
counter that only ever
grows, is allocated inside the write transaction and published in commit order; the first write is
revision 2 (an empty
store is at revision 1, as in etcd). Every implementation passes `tests/store/test_conformance.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol


class Compacted(Exception):
    """The asked revision is older than the oldest one kept."""

    def __init__(self, compacted: int) -> None:
        super().__init__(f"revision has been compacted (oldest kept: {compacted})")
        self.compacted = compacted


class FutureRevision(Exception):
    """The asked revision has not been written yet."""

    def __init__(self, current: int) -> None:
        super().__init__(f"revision is in the future (current: {current})")
        self.current = current


class StoreBusy(Exception):
    """Another process holds this store; the message says which."""


class StoreFailed(Exception):
    """The write could not be made durable (disk full, file damaged) and did not happen; the
    message says why.
    """


@dataclass(frozen=True, slots=True)
class Entry:
    """One key as it was at one revision."""

    key: str
    value: bytes
    created: int
    """Revision of the first write since the key last did not exist."""
    modified: int
    """Revision of the newest write."""


@dataclass(frozen=True, slots=True)
class Page:
    """A consistent slice of the key space at `revision`."""

    entries: tuple[Entry, ...]
    revision: int
    more: bool = False
    remaining: int = 0
    """How many entries lie behind this page; exact."""


@dataclass(frozen=True, slots=True)
class Compare:
    """Holds when the key's `modified` revision equals this; 0 means that the key does not exist."""

    key: str
    modified: int


@dataclass(frozen=True, slots=True)
class Put:
    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Delete:
    key: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a transaction did. `revision` is the store's revision after it (all its writes
    share one).
    """

    succeeded: bool
    revision: int


@dataclass(frozen=True, slots=True)
class Change:
    """One committed write. `value` is None for a deletion; `previous` is what stood there
    before, if anything.
    """

    key: str
    value: bytes | None
    revision: int
    created: int
    previous: bytes | None
    previous_modified: int


class Store(Protocol):
    """Durable by contract: when `txn` returns, the write survives `kill -9` and, for SQLite
    and etcd, power loss.
    """

    async def revision(self) -> int:
        """The newest committed revision."""
        ...

    async def get(self, key: str, *, revision: int = 0) -> Entry | None:
        """The key now, or as of a revision (0 = newest). Raises Compacted, FutureRevision."""
        ...

    async def list(
        self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0
    ) -> Page:
        """Entries under a prefix in key order, beginning behind the key `after`. Raises
        Compacted, FutureRevision.
        """
        ...

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Put | Delete]) -> Outcome:
        """Do all writes at one new revision if all compares hold, else nothing. Deleting an
        absent key is no write.

        Concurrent calls are committed together where the implementation can (one disk flush for
        many). A key is written at most once in a transaction. Raises StoreFailed.
        """
        ...

    def watch(self, prefix: str, *, after: int) -> AsyncIterator[tuple[Change, ...]]:
        """All changes under a prefix with revision > `after`, in order, in batches; ends when the
        iterator is closed.

        Raises Compacted at the first step if history no longer reaches back that far, and a
        Lagging watcher is
        ended with Compacted as well (it must list again).
        """
        ...

    async def compact(self, revision: int) -> None:
        """Forget history older than this; the newest state of each key always stays."""
        ...

    async def close(self) -> None: ...
