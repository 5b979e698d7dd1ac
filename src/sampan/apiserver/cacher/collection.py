"""The objects of one resource in list order, its recent events, and its watchers."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from sampan.apiserver.cacher.item import Item, body_of
from sampan.store.base import Change

RECENT_EVENTS = 1024


class Event:
    """A change as watchers see it. `encoded` keeps what was made for the first watcher of a form,
    for all the others.
    """

    __slots__ = ("encoded", "item", "previous", "revision")

    def __init__(self, revision: int, item: Item | None, previous: Item | None) -> None:
        self.revision = revision
        self.item = item
        self.previous = previous
        self.encoded: dict[object, bytes] = {}

    @property
    def subject(self) -> Item:
        found = self.item or self.previous
        assert found is not None
        return found


class EventTaker(Protocol):
    """A watcher, as the collection sees it."""

    def take(self, event: Event) -> None: ...

    def take_progress(self, revision: int) -> None:
        """Nothing else happened up to here (for bookmarks)."""
        ...


@dataclass(slots=True)
class Space:
    """One namespace's objects; names are sorted when somebody asks, not on every write."""

    name: str
    items: dict[str, Item]
    order: list[str] | None = None

    def names(self) -> list[str]:
        if self.order is None:
            self.order = sorted(self.items)
        return self.order


class Collection:
    """Changed only by `apply`, between two awaits; so every reader sees one moment."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.spaces: dict[str, Space] = {}
        self.count = 0
        self.changed = 0
        self.events: deque[Event] = deque(maxlen=RECENT_EVENTS)
        self.complete_after = 0
        """All events with a higher revision are in `events`."""
        self.takers: dict[EventTaker, None] = {}

    # -- reading

    def get(self, namespace: str, name: str) -> Item | None:
        space = self.spaces.get(namespace)
        return space.items.get(name) if space is not None else None

    def namespaces(self) -> list[str]:
        """In the order of the keys, where `/` follows each namespace."""
        return sorted(self.spaces, key=lambda name: name + "/")

    def items(self, namespace: str = "", after: tuple[str, str] | None = None) -> Iterator[Item]:
        """In list order; of all namespaces when none is given, beginning behind a key."""
        names = [namespace] if namespace else self.namespaces()
        for space_name in names:
            space = self.spaces.get(space_name)
            if space is None:
                continue
            order = space.names()
            start = 0
            if after is not None:
                if space_name + "/" < after[0] + "/":
                    continue
                if space_name == after[0]:
                    start = bisect_right(order, after[1])
            items = space.items
            for name in order[start:] if start else order:
                yield items[name]

    def total(self, namespace: str = "") -> int:
        if not namespace:
            return self.count
        space = self.spaces.get(namespace)
        return len(space.items) if space is not None else 0

    def since(self, revision: int) -> list[Event] | None:
        """Events behind a revision, oldest first; None when they do not reach back that far."""
        if revision < self.complete_after:
            return None
        found = []
        for event in reversed(self.events):
            if event.revision <= revision:
                break
            found.append(event)
        found.reverse()
        return found

    def forget_before(self, revision: int) -> None:
        """Older events are no longer complete."""
        self.events.clear()
        self.complete_after = revision

    # -- changing

    def load(self, namespace: str, name: str, value: bytes, revision: int, created: int) -> None:
        """An object from the first listing; nobody watches yet."""
        self._put(Item(namespace, name, revision, body_of(value, revision), created))
        self.changed = max(self.changed, revision)

    def apply(self, namespace: str, name: str, change: Change) -> Event | None:
        """Take over one change and return it as an event (None if it changed nothing here)."""
        previous = self.get(namespace, name)
        revision = change.revision
        item: Item | None = None
        if change.value is None:
            if previous is None:
                return None
            self._remove(previous)
        else:
            body = body_of(change.value, revision)
            item = Item(namespace, name, revision, body, change.created)
            self._put(item)
        self.changed = revision
        event = Event(revision, item, previous)
        if len(self.events) == RECENT_EVENTS:
            self.complete_after = self.events[0].revision
        self.events.append(event)
        return event

    def _put(self, item: Item) -> None:
        space = self.spaces.get(item.namespace)
        if space is None:
            space = self.spaces[item.namespace] = Space(item.namespace, {})
        item.namespace = space.name  # one text for all of them
        if item.name not in space.items:
            self.count += 1
            order = space.order
            if order is not None:
                if not order or item.name > order[-1]:
                    order.append(item.name)
                else:
                    space.order = None
        space.items[item.name] = item

    def _remove(self, item: Item) -> None:
        space = self.spaces[item.namespace]
        del space.items[item.name]
        self.count -= 1
        order = space.order
        if order is not None:
            if order[-1] == item.name:
                order.pop()
            else:
                space.order = None
        if not space.items:
            del self.spaces[item.namespace]
