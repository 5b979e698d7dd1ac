"""One watch: which events it sees, in which form, and into which connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sampan.apiserver.cacher.collection import Collection, Event
from sampan.apiserver.cacher.item import Item
from sampan.std.http import Sink

MAX_WAITING = 8 << 20
"""Bytes that a slow watcher may leave unread before it is dropped and must list again."""


class EventForm(Protocol):
    """How a client wants events: whole objects, metadata, or rows of a table."""

    @property
    def following(self) -> EventForm:
        """The form of all events but the first of a watch."""
        ...

    def event(self, kind: str, item: Item) -> bytes: ...

    def bookmark(self, revision: int, initial_end: bool) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a collection is asked for; empty and None ask for everything."""

    namespace: str = ""
    name: str = ""
    labels: Callable[[Mapping[str, str]], bool] | None = None
    fields: Callable[[Item], bool] | None = None

    @property
    def selective(self) -> bool:
        """Whether a selector was given (then nobody knows how many items remain)."""
        return bool(self.name or self.labels or self.fields)

    def covers(self, item: Item) -> bool:
        """Whether the place fits; the content is for `matches`."""
        if self.namespace and item.namespace != self.namespace:
            return False
        return not self.name or item.name == self.name

    def matches(self, item: Item) -> bool:
        if self.labels is not None and not self.labels(item.labels):
            return False
        return self.fields is None or self.fields(item)


class Watcher:
    """Takes events from a collection; a change of what matches shows as ADDED or DELETED."""

    def __init__(
        self, collection: Collection, selection: Selection, form: EventForm, sink: Sink
    ) -> None:
        self.collection = collection
        self.selection = selection
        self.form = form
        self.sink = sink
        self.sent = 0
        """The newest revision that the client knows about."""
        self.floor = 0
        """Events up to here are not wanted (a watch may start in the future)."""

    def start(self) -> None:
        self.collection.takers[self] = None

    def stop(self) -> None:
        self.collection.takers.pop(self, None)

    def take(self, event: Event) -> None:
        if event.revision <= self.floor:
            return
        selection = self.selection
        item, previous = event.item, event.previous
        subject = item or previous
        assert subject is not None
        if selection.namespace and subject.namespace != selection.namespace:
            return
        if selection.name and subject.name != selection.name:
            return
        if selection.labels is not None or selection.fields is not None:
            item = item if item is not None and selection.matches(item) else None
            previous = previous if previous is not None and selection.matches(previous) else None
        if item is not None:
            self._send(event, "MODIFIED" if previous is not None else "ADDED", item)
        elif previous is not None:
            self._send(event, "DELETED", previous)

    def _send(self, event: Event, kind: str, shown: Item) -> None:
        """Made once for all watchers of this form."""
        key = (self.form, kind)
        line = event.encoded.get(key)
        if line is None:
            if kind == "DELETED":
                shown = shown.at(event.revision)
            line = event.encoded[key] = self.form.event(kind, shown)
        self.sent = event.revision
        self.form = self.form.following
        self.sink.send(line)
        if self.sink.waiting() > MAX_WAITING:
            self.stop()
            self.sink.abort()

    def show(self, item: Item) -> None:
        """An object that was there before."""
        self.sink.send(self.form.event("ADDED", item))
        self.form = self.form.following

    def initial_end(self) -> None:
        self.sink.send(self.form.bookmark(self.sent, True))
        self.form = self.form.following

    def take_progress(self, revision: int) -> None:
        if revision > self.sent:
            self.sent = revision
        self.sink.send(self.form.bookmark(self.sent, False))
        self.form = self.form.following
