"""GET with watch: initial events, what the cacher remembers, then changes as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import orjson

from sampan.api.errors import ApiError, Expired, Timeout
from sampan.apiserver.answers import add_warnings
from sampan.apiserver.cacher.cacher import Cacher, prefix_of, split_key
from sampan.apiserver.cacher.collection import Event
from sampan.apiserver.cacher.item import Item, body_of
from sampan.apiserver.cacher.watcher import Selection, Watcher
from sampan.apiserver.call import Call
from sampan.apiserver.framed import MEDIA_TYPE, frame
from sampan.apiserver.negotiate import JSON, PROTOBUF
from sampan.apiserver.options import ListOptions, list_options
from sampan.apiserver.selection import selection_for
from sampan.apiserver.served import Served
from sampan.apiserver.verbs.list import reached, revision_of
from sampan.apiserver.verbs.watch_socket import over_socket
from sampan.std import websocket
from sampan.std.http import Detach, Feed, Response, Sink
from sampan.store.base import Change, Compacted

TIMEOUT_S = 1800.0
BOOKMARK_EVERY_S = 60.0
LAST_BOOKMARK_S = 2.0


@dataclass(slots=True)
class Plan:
    """How a watch begins."""

    selection: Selection
    options: ListOptions
    events: list[Event] | None
    """What happened since the revision that the client knows; None: begin with all objects."""
    mark_end: bool = False
    """Say when the initial objects have been sent."""
    timeout_s: float = TIMEOUT_S
    floor: int = 0
    """The revision behind which the watch begins."""


async def watch(
    served: Served, call: Call, cacher: Cacher, random: Callable[[], float]
) -> Response:
    options = list_options(call.query, watch=True)
    info = call.info
    space = info.namespace if served.id.namespaced else ""
    selection = selection_for(served, space, options.labels, options.fields)
    if info.legacy_verb == "watch" and info.name and not selection.name:
        selection = Selection(space, info.name, selection.labels, selection.fields)
    version = revision_of(options.version)
    plan = Plan(selection, options, None, floor=version)
    plan.timeout_s = options.timeout_s or TIMEOUT_S * (1 + random())
    framed = call.wish.media_type == PROTOBUF
    headers = {
        "content-type": MEDIA_TYPE if framed else JSON, "cache-control": "no-cache, private",
    }  # fmt: skip
    add_warnings(headers, call.warnings)
    feed = await _feed(plan, served, call, cacher, version)
    if websocket.is_asked(call.request.headers):
        return over_socket(call.request, headers, feed, framed=framed)
    return Response(200, headers, feed)


async def _feed(plan: Plan, served: Served, call: Call, cacher: Cacher, version: int) -> Feed:
    """The events, or the one that says why there are none."""
    framed = call.wish.media_type == PROTOBUF
    try:
        await _begin(plan, served, cacher, version)
    except (Timeout, Expired) as error:
        return _only(error, framed=framed)
    form = served.framed(call.form(served)) if framed else call.form(served)

    def attach(sink: Sink) -> Detach:
        watcher = Watcher(served.collection, plan.selection, form, sink)
        return _attach(watcher, plan, cacher)

    return Feed(attach)


async def _begin(plan: Plan, served: Served, cacher: Cacher, version: int) -> None:
    """Find where the watch begins. Raises Expired, and Timeout where what is there must be newer
    than what there is; a plain watch may begin in the future.
    """
    options = plan.options
    if options.initial:
        await reached(cacher, version)
        plan.mark_end = options.bookmarks
        plan.floor = 0
    elif version:
        try:
            plan.events = await _since(served, cacher, version)
        except Compacted as error:
            raise _too_old(version, error.compacted) from error
    elif options.initial is False:
        plan.events = []


def _attach(watcher: Watcher, plan: Plan, cacher: Cacher) -> Detach:
    """Send what came before, then follow. No await in here: nothing can be missed between."""
    watcher.floor = plan.floor
    if plan.events is None:
        source = watcher.collection.items(plan.selection.namespace)
        for item in source:
            if plan.selection.covers(item) and plan.selection.matches(item):
                watcher.show(item)
        watcher.sent = cacher.revision
        if plan.mark_end:
            watcher.initial_end()
    else:
        for event in plan.events:
            watcher.take(event)
    watcher.start()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + plan.timeout_s
    ending = loop.call_at(deadline, _end, watcher)
    marking = Bookmarks(watcher, cacher, deadline) if plan.options.bookmarks else None

    def detach() -> None:
        watcher.stop()
        ending.cancel()
        if marking is not None:
            marking.stop()

    return detach


class Bookmarks:
    """One each minute, and one shortly before the watch ends: who begins anew has then missed as
    little as possible.
    """

    def __init__(self, watcher: Watcher, cacher: Cacher, deadline: float) -> None:
        self._watcher = watcher
        self._cacher = cacher
        self._deadline = deadline
        self._timer: asyncio.TimerHandle | None = None
        self._plan()

    def _plan(self) -> None:
        loop = asyncio.get_running_loop()
        due = next_bookmark(loop.time(), self._deadline)
        self._timer = loop.call_at(due, self._send) if due is not None else None

    def _send(self) -> None:
        self._watcher.take_progress(self._cacher.revision)
        self._plan()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def next_bookmark(now: float, deadline: float) -> float | None:
    """When the next one is due; None when there is no time for another."""
    due = min(now + BOOKMARK_EVERY_S, deadline - LAST_BOOKMARK_S)
    return due if due > now else None


def _end(watcher: Watcher) -> None:
    watcher.stop()
    watcher.sink.end()


async def _since(served: Served, cacher: Cacher, revision: int) -> list[Event]:
    """All events behind a revision, from memory or the store's history. Raises Compacted."""
    recent = served.collection.since(revision)
    if recent is not None:
        return recent
    stored = served.stored
    goal = cacher.revision
    older: list[Event] = []
    changes = cacher.store.watch(prefix_of(stored.group, stored.plural), after=revision)
    if served.collection.changed > revision:
        async with aclosing(cast(Any, changes)):
            async for batch in changes:
                older += [_event(change) for change in batch if change.revision <= goal]
                if batch[-1].revision >= min(goal, served.collection.changed):
                    break
    newest = older[-1].revision if older else revision
    rest = served.collection.since(newest)
    if rest is None:
        raise Compacted(newest)
    return older + rest


def _event(change: Change) -> Event:
    _, namespace, name = split_key(change.key)
    item = previous = None
    if change.value is not None:
        body = body_of(change.value, change.revision)
        item = Item(namespace, name, change.revision, body, change.created)
    if change.previous is not None:
        body = body_of(change.previous, change.previous_modified)
        previous = Item(namespace, name, change.previous_modified, body)
    return Event(change.revision, item, previous)


def _only(error: ApiError, *, framed: bool) -> Feed:
    """A watch that says ERROR and ends."""
    line = orjson.dumps({"type": "ERROR", "object": error.status()}) + b"\n"

    def attach(sink: Sink) -> Detach:
        sink.send(frame(line) if framed else line)
        sink.end()
        return lambda: None

    return Feed(attach)


def _too_old(version: int, oldest: int) -> Expired:
    return Expired(f"too old resource version: {version} ({oldest})")
