"""Watch events as protobuf frames, for clients that want no JSON.

length (4 bytes, big-endian) | WatchEvent{type, object: RawExtension{raw: the object's envelope}}
"""

from __future__ import annotations

from typing import Protocol

import orjson

from sampan.api.protobuf_encode import encode_object
from sampan.api.wire import tagged
from sampan.apiserver.cacher.item import Item

MEDIA_TYPE = "application/vnd.kubernetes.protobuf;stream=watch"


class Lines(Protocol):
    """A form whose events are lines of JSON."""

    def event(self, kind: str, item: Item) -> bytes: ...

    def bookmark(self, revision: int, initial_end: bool) -> bytes: ...


class Framed:
    """The same events as another form's."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.following: Framed = self

    def event(self, kind: str, item: Item) -> bytes:
        return frame(self.lines.event(kind, item))

    def bookmark(self, revision: int, initial_end: bool) -> bytes:
        return frame(self.lines.bookmark(revision, initial_end))


def frame(line: bytes) -> bytes:
    """A line of JSON as a frame."""
    event = orjson.loads(line)
    raw = tagged(1, encode_object(event["object"]))
    body = tagged(1, event["type"].encode()) + tagged(2, raw)
    return len(body).to_bytes(4, "big") + body
