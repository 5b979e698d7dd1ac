"""Events: what a component tells about an object. They never delay it: they go through a bounded
queue, repeats are counted instead of repeated, and a storm is cut off.

As client-go's recorder: an equal event counts up; the tenth and later ones alike but for the
message become one "(combined from similar events)"; per object at most 25 at once, then one in
five minutes.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sampan.api import kinds
from sampan.api.errors import ApiError, Forbidden, NotFound
from sampan.api.meta import Json
from sampan.client.client import Client
from sampan.client.transport import Unreachable
from sampan.std import log
from sampan.std.clock import Clock

QUEUE = 1000
REMEMBERED = 4096
SIMILAR = 10
SIMILAR_WITHIN_S = 600
BURST = 25
REFILL_S = 300.0
MESSAGE_LIMIT = 1024
TRIES = 12
PAUSE_S = 10.0
"""An event that cannot be sent is tried again for two minutes (as client-go)."""
_LOG = log.get("events")

Identity = tuple[str, ...]


@dataclass(slots=True)
class _Seen:
    """An event that was sent, and how often."""

    name: str
    count: int
    first: str


@dataclass(slots=True)
class _Alike:
    """Messages of one kind of event about one object, and since when."""

    messages: set[str]
    since: float


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Recorder:
    """A component: `event` notes down, `run` sends. `component` is the reporting controller."""

    name = "events"

    def __init__(self, client: Client, component: str, clock: Clock, host: str = "") -> None:
        self._client = client
        self._component = component
        self._clock = clock
        self._host = host
        self._queue: asyncio.Queue[tuple[Identity, Json]] = asyncio.Queue(QUEUE)
        self._seen: OrderedDict[Identity, _Seen] = OrderedDict()
        self._alike: OrderedDict[Identity, _Alike] = OrderedDict()
        self._buckets: OrderedDict[Identity, _Bucket] = OrderedDict()
        self._dropped = 0
        self._forbidden = False
        self._last_name = 0

    def event(
        self,
        obj: Json,
        type: str,
        reason: str,
        message: str,
        *,
        action: str = "",
        related: Json | None = None,
    ) -> None:
        """Tell something about an object; `type` is Normal or Warning. Returns at once."""
        reference = reference_to(obj)
        about = tuple(str(reference.get(field, "")) for field in _ABOUT)
        alike = self._alike_for((*about, type, reason, action))
        alike.messages.add(message)
        identity: Identity = (*about, type, reason, action, message)
        if len(alike.messages) >= SIMILAR:
            alike.messages.discard(message)
            message = f"(combined from similar events): {message}"
            identity = (*about, type, reason, action)
        if not self._allowed(about):
            return
        body = self._body(reference, (type, reason, message[:MESSAGE_LIMIT]), action, related)
        try:
            self._queue.put_nowait((identity, body))
        except asyncio.QueueFull:
            self._dropped += 1

    async def run(self, started: Callable[[], None] = lambda: None) -> None:
        """Send what was noted down, until cancelled."""
        started()
        while True:
            identity, body = await self._queue.get()
            for attempt in range(TRIES):
                try:
                    await self._send(identity, body)
                except Forbidden as error:
                    if not self._forbidden:
                        _LOG.warning("events cannot be told", error=error)
                    self._forbidden = True
                except ApiError as error:
                    # What is refused once is refused again: it is news, not state.
                    _LOG.debug("not recorded", reason=body["reason"], error=error)
                except Unreachable as error:
                    _LOG.debug("not recorded yet", reason=body["reason"], error=error)
                    await self._clock.sleep(PAUSE_S if attempt else random.random() * PAUSE_S)
                    continue
                break

    async def _send(self, identity: Identity, body: Json) -> None:
        seen = self._seen.get(identity)
        namespace = body["metadata"]["namespace"]
        if seen is not None:
            patch: Json = {
                "count": seen.count + 1,
                "lastTimestamp": body["lastTimestamp"],
                "message": body["message"],
            }
            try:
                await self._client.patch(kinds.EVENTS, seen.name, patch, namespace=namespace)
            except NotFound:
                del self._seen[identity]  # it grew old and was removed: begin anew
            else:
                seen.count += 1
                self._seen.move_to_end(identity)
                return
        await self._client.create(kinds.EVENTS, body)
        first = body["firstTimestamp"]
        self._seen[identity] = _Seen(body["metadata"]["name"], 1, first)
        _trim(self._seen)

    def _body(
        self, reference: Json, what: tuple[str, str, str], action: str, related: Json | None
    ) -> Json:
        type_, reason, message = what
        now = self._clock.now()
        # Two events in one instant still need two names.
        self._last_name = max(int(now * 1e9), self._last_name + 1)
        stamp = datetime.fromtimestamp(now, tz=UTC)
        seconds = stamp.strftime("%Y-%m-%dT%H:%M:%SZ")
        body: Json = {
            "metadata": {
                "name": f"{reference['name']}.{self._last_name:x}",
                "namespace": reference.get("namespace") or "default",
            },
            "involvedObject": reference,
            "type": type_,
            "reason": reason,
            "message": message,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": self._host,
            "firstTimestamp": seconds,
            "lastTimestamp": seconds,
            "count": 1,
        }
        if self._host:
            body["source"]["host"] = self._host
        if action:
            body["action"] = action
        if related is not None:
            body["related"] = reference_to(related)
        return body

    def _alike_for(self, identity: Identity) -> _Alike:
        now = self._clock.monotonic()
        alike = self._alike.get(identity)
        if alike is None or now - alike.since > SIMILAR_WITHIN_S:
            alike = self._alike[identity] = _Alike(set(), now)
            _trim(self._alike)
        return alike

    def _allowed(self, about: Identity) -> bool:
        now = self._clock.monotonic()
        bucket = self._buckets.get(about)
        if bucket is None:
            bucket = self._buckets[about] = _Bucket(BURST, now)
            _trim(self._buckets)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.at) / REFILL_S)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


_ABOUT = ("kind", "namespace", "name", "uid", "apiVersion")


def reference_to(obj: Json) -> Json:
    """An ObjectReference; an object that is one already stays as it is."""
    meta = obj.get("metadata")
    if meta is None:
        return obj
    found = {
        "kind": obj.get("kind", ""),
        "namespace": meta.get("namespace", ""),
        "name": meta.get("name", ""),
        "uid": meta.get("uid", ""),
        "apiVersion": obj.get("apiVersion", ""),
        "resourceVersion": meta.get("resourceVersion", ""),
    }
    return {field: value for field, value in found.items() if value}


def _trim(table: OrderedDict[Identity, _Seen] | OrderedDict[Identity, _Alike]
          | OrderedDict[Identity, _Bucket]) -> None:  # fmt: skip
    if len(table) > REMEMBERED:
        table.popitem(last=False)
