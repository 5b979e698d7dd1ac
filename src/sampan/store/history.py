"""History as intervals: a version of a key was true from one revision until another. Pure.

key a   [created 5 ........ until 9) [modified 9 ... until 12, deleted)
key b              [created 8 .................................... (live, until 0)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sampan.store.base import Change, Entry


@dataclass(frozen=True, slots=True)
class Version:
    """What a key held from revision `modified` up to, not including, `until` (0: still does)."""

    key: str
    value: bytes
    created: int
    modified: int
    until: int = 0
    deleted: bool = False
    """Whether it ended by a deletion."""

    @property
    def entry(self) -> Entry:
        return Entry(self.key, self.value, self.created, self.modified)


def changes_between(versions: Iterable[Version], after: int, upto: int) -> list[Change]:
    """The writes with after < revision <= upto, in order, told from the versions they made or
    ended. Needs every version that was modified or ended in that range.
    """
    everything = list(versions)
    ended = {(v.key, v.until): v for v in everything if v.until}
    changes = []
    for v in everything:
        if after < v.modified <= upto:
            before = ended.get((v.key, v.modified))
            changes.append(_put(v, before))
        if v.deleted and after < v.until <= upto:
            changes.append(Change(v.key, None, v.until, v.created, v.value, v.modified))
    changes.sort(key=lambda change: (change.revision, change.key))
    return changes


def _put(version: Version, before: Version | None) -> Change:
    previous = before.value if before else None
    previous_modified = before.modified if before else 0
    return Change(
        version.key,
        version.value,
        version.modified,
        version.created,
        previous,
        previous_modified,
    )


def end_of(prefix: str) -> str | None:
    """The first key behind all keys with this prefix; None where there is no such key."""
    while prefix:
        last = ord(prefix[-1]) + 1
        if last == 0xD800:
            last = 0xE000  # surrogates are not characters
        if last <= 0x10FFFF:
            return prefix[:-1] + chr(last)
        prefix = prefix[:-1]
    return None
