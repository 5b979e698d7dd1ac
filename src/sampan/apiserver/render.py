"""The forms in which objects leave the server: whole, metadata only, or rows of a table.

One `Form` per resource, version and wish is made once and kept, so that watchers who want the same
share the very same bytes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import orjson

from sampan.api import decode
from sampan.api.meta import Json
from sampan.api.resource import Column, Resource
from sampan.apiserver.cacher.item import Item, head_of

JSON_TYPE = "application/json"
META_V1 = "meta.k8s.io/v1"


class Form(Protocol):
    """What a client's Accept header came to."""

    @property
    def following(self) -> Form:
        """The form of a watch's events but the first."""
        ...

    def single(self, item: Item) -> bytes: ...

    def of(self, obj: Json) -> bytes:
        """An object that is not (or not yet) in the cacher."""
        ...

    def list(self, items: Iterable[Item], meta: Json) -> bytes: ...

    def event(self, kind: str, item: Item) -> bytes: ...

    def bookmark(self, revision: int, initial_end: bool) -> bytes: ...


def list_meta(revision: int, resume: str = "", remaining: int = 0) -> Json:
    meta: Json = {"resourceVersion": str(revision)}
    if resume:
        meta["continue"] = resume
        if remaining:
            meta["remainingItemCount"] = remaining
    return meta


class Whole:
    """The object itself."""

    def __init__(self, resource: Resource, *, custom: bool = False) -> None:
        self.resource = resource
        self.head = head_of(resource.id.kind, resource.id.api_version)
        self.list_head = head_of(resource.id.kind + "List", resource.id.api_version)
        self.custom = custom
        self.following: Form = self
        converts = resource.storage is not None
        self.convert: Callable[[Json], Json] | None = resource.from_storage if converts else None

    def body(self, item: Item) -> bytes:
        """From the metadata on, without kind and apiVersion."""
        if self.convert is None:
            return item.body
        obj = self.convert(item.decode())
        obj.pop("kind", None)
        obj.pop("apiVersion", None)
        return orjson.dumps(obj)

    def nothing(self) -> Json:
        """An object of which nothing is known, for a bookmark's row."""
        return {} if self.custom else decode.normal({}, self.resource.schema)

    def single(self, item: Item) -> bytes:
        return self.head + self.body(item)[1:]

    def of(self, obj: Json) -> bytes:
        rest = {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
        return self.head + orjson.dumps(rest)[1:]

    def list(self, items: Iterable[Item], meta: Json) -> bytes:
        # Upstream's typed lists leave kind and apiVersion out of their items; lists of custom
        # resources do not.
        if self.custom:
            meta = {"continue": "", **meta}
            parts = [self.single(item) for item in items]
        elif self.convert is None:
            parts = [item.body for item in items]
        else:
            parts = [self.body(item) for item in items]
        text = b",".join(parts)
        return self.list_head + b'"metadata":%b,"items":[%b]}' % (orjson.dumps(meta), text)

    def event(self, kind: str, item: Item) -> bytes:
        return b'{"type":"%b","object":%b%b}\n' % (kind.encode(), self.head, self.body(item)[1:])

    def bookmark(self, revision: int, initial_end: bool) -> bytes:
        return _bookmark(self.head, revision, initial_end)


class MetadataOnly:
    """PartialObjectMetadata, for those who only count or collect."""

    def __init__(self, whole: Whole, api_version: str = META_V1) -> None:
        self.whole = whole
        self.following: Form = self
        self.head = head_of("PartialObjectMetadata", api_version)
        self.list_head = head_of("PartialObjectMetadataList", api_version)

    def single(self, item: Item) -> bytes:
        return self.of(item.decode())

    def of(self, obj: Json) -> bytes:
        return self.head + orjson.dumps({"metadata": obj["metadata"]})[1:]

    def list(self, items: Iterable[Item], meta: Json) -> bytes:
        text = b",".join([self.single(item) for item in items])
        return self.list_head + b'"metadata":%b,"items":[%b]}' % (orjson.dumps(meta), text)

    def event(self, kind: str, item: Item) -> bytes:
        return b'{"type":"%b","object":%b}\n' % (kind.encode(), self.single(item))

    def bookmark(self, revision: int, initial_end: bool) -> bytes:
        return _bookmark(self.head, revision, initial_end)


class Table:
    """Rows with the resource's columns; `include` is None, Metadata or Object."""

    def __init__(
        self, whole: Whole, include: str, now: Callable[[], float], api_version: str = META_V1
    ) -> None:
        self.whole = whole
        self.head = head_of("Table", api_version)
        self.partial_head = head_of("PartialObjectMetadata", api_version)
        self.include = include
        self.now = now
        self.columns = whole.resource.columns or DEFAULT_COLUMNS
        definitions = [definition_of(column) for column in self.columns if column.defined]
        self.definitions = orjson.dumps(definitions)
        self.following: Form = copy.copy(self)
        self.following.definitions = b"null"
        self.following.following = self.following

    def row(self, obj: Json, whole: bytes, meta: Json | None = None) -> bytes:
        now = self.now()
        cells: list[Any] = [column.cell(obj, now) for column in self.columns]
        if self.include == "None":
            shown = b"null"
        elif self.include == "Object":
            shown = whole
        else:
            shown = self.partial_head + orjson.dumps({"metadata": meta or obj["metadata"]})[1:]
        marks = self.whole.resource.row_conditions(obj)
        marked = b'"conditions":%b,' % orjson.dumps(marks) if marks else b""
        return b'{"cells":%b,%b"object":%b}' % (orjson.dumps(cells), marked, shown)

    def _row(self, item: Item) -> bytes:
        body = self.whole.body(item)
        return self.row(orjson.loads(body), self.whole.head + body[1:])

    def _table(self, rows: bytes, meta: Json) -> bytes:
        return self.head + b'"metadata":%b,"columnDefinitions":%b,"rows":[%b]}' % (
            orjson.dumps(meta), self.definitions, rows,
        )  # fmt: skip

    def single(self, item: Item) -> bytes:
        return self._table(self._row(item), list_meta(item.revision))

    def of(self, obj: Json) -> bytes:
        meta = {k: v for k, v in obj["metadata"].items() if k == "resourceVersion"}
        return self._table(self.row(obj, self.whole.of(obj)), meta)

    def list(self, items: Iterable[Item], meta: Json) -> bytes:
        order = self.whole.resource.row_order
        if order is not None:
            items = sorted(items, key=lambda item: order(item.decode()))
        return self._table(b",".join([self._row(item) for item in items]), meta)

    def event(self, kind: str, item: Item) -> bytes:
        return b'{"type":"%b","object":%b}\n' % (kind.encode(), self.single(item))

    def bookmark(self, revision: int, initial_end: bool) -> bytes:
        """A table, too: with the row of an object of which nothing is known."""
        meta = bookmark_meta(revision, initial_end)
        obj = {**self.whole.nothing(), "metadata": {"name": "", **meta}}
        row = self.row(obj, self.whole.of({"metadata": meta}), meta)
        table = self._table(row, {"resourceVersion": meta["resourceVersion"]})
        return b'{"type":"BOOKMARK","object":%b}\n' % table


def definition_of(column: Column) -> Json:
    return {
        "name": column.title,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


DEFAULT_COLUMNS = (
    Column("Name", lambda obj, _now: obj["metadata"]["name"], format="name"),
    Column("Created At", lambda obj, _now: obj["metadata"].get("creationTimestamp"), type="date"),
)


def bookmark_meta(revision: int, initial_end: bool) -> Json:
    meta: Json = {"resourceVersion": str(revision)}
    if initial_end:
        meta["annotations"] = {"k8s.io/initial-events-end": "true"}
    return meta


def _bookmark(head: bytes, revision: int, initial_end: bool) -> bytes:
    meta = bookmark_meta(revision, initial_end)
    return b'{"type":"BOOKMARK","object":%b"metadata":%b}}\n' % (head, orjson.dumps(meta))
