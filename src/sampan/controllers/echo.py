"""Waiting for one's own writes to come back: a cache may lag behind what its reader just wrote, and
deciding again on the old state would do things twice.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from sampan.api.meta import Json, Key, key_of
from sampan.loop.informer import Informer
from sampan.std.clock import Clock

GIVE_UP_S = 30.0
"""An echo that has not come by then never will (the watch was renewed meanwhile)."""


MARKED, GONE = 0, -1


class _Note(NamedTuple):
    uid: str
    version: int
    """MARKED: the object is to be seen marked for deletion; GONE: not to be seen any more."""
    at: float


class Echo:
    """Per owner: which writes to the objects of one informer have not been seen yet."""

    def __init__(self, informer: Informer, clock: Clock) -> None:
        self._informer = informer
        self._clock = clock
        self._notes: dict[Hashable, dict[Key, _Note]] = {}
        self._owners: dict[str, Hashable] = {}
        informer.on_change(self._seen)

    def wrote(self, owner: Hashable, obj: Json) -> None:
        """The object as the server answered a create, an update or a patch."""
        meta = obj["metadata"]
        cached = self._informer.get(key_of(obj))
        if cached is None and meta.get("deletionTimestamp"):
            return  # its going was heard first
        version = int(meta["resourceVersion"])
        if cached is None or int(cached["metadata"]["resourceVersion"]) < version:
            self._note(owner, key_of(obj), meta["uid"], version)

    def deleted(self, owner: Hashable, obj: Json) -> None:
        """The cached object that was just asked to go."""
        cached = self._informer.get(key_of(obj))
        if cached is not None and not cached["metadata"].get("deletionTimestamp"):
            self._note(owner, key_of(obj), obj["metadata"]["uid"], MARKED)

    def ended(self, owner: Hashable, obj: Json) -> None:
        """The object that was marked before, and whose last finalizer was just taken off."""
        cached = self._informer.get(key_of(obj))
        if cached is not None and cached["metadata"]["uid"] == obj["metadata"]["uid"]:
            self._note(owner, key_of(obj), obj["metadata"]["uid"], GONE)

    def settled(self, owner: Hashable) -> bool:
        """Whether the cache shows everything that was written for this owner."""
        notes = self._notes.get(owner)
        if not notes:
            return True
        now = self._clock.monotonic()
        for key, note in list(notes.items()):
            if self._fulfilled(key, note) or now - note.at > GIVE_UP_S:
                self._drop(owner, key, note)
        return owner not in self._notes

    def forget(self, owner: Hashable) -> None:
        """The owner is gone."""
        for note in self._notes.pop(owner, {}).values():
            self._owners.pop(note.uid, None)

    def _note(self, owner: Hashable, key: Key, uid: str, version: int) -> None:
        self._notes.setdefault(owner, {})[key] = _Note(uid, version, self._clock.monotonic())
        self._owners[uid] = owner

    def _fulfilled(self, key: Key, note: _Note) -> bool:
        cached = self._informer.get(key)
        if cached is None:
            return note.version <= 0
        meta = cached["metadata"]
        if meta["uid"] != note.uid:
            return True
        if note.version == GONE:
            return False
        if note.version:
            return int(meta["resourceVersion"]) >= note.version
        return bool(meta.get("deletionTimestamp"))

    def _seen(self, old: Json | None, new: Json | None) -> None:
        if new is not None or old is None:
            return
        owner = self._owners.get(old["metadata"]["uid"])
        if owner is not None:
            note = self._notes.get(owner, {}).get(key_of(old))
            if note is not None:
                self._drop(owner, key_of(old), note)

    def _drop(self, owner: Hashable, key: Key, note: _Note) -> None:
        notes = self._notes[owner]
        notes.pop(key, None)
        self._owners.pop(note.uid, None)
        if not notes:
            del self._notes[owner]
