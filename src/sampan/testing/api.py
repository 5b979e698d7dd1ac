"""An API server of a few lines, in memory: objects, resource versions, conflicts and watches, but
no defaults, no validation, no admission. For tests of components that need somebody to talk to.

    api = FakeApi()
    client = Client(api)
    await client.create(kinds.PODS, {"metadata": {"name": "a", "namespace": "default"}})
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from typing import Any
from urllib.parse import parse_qs

import orjson

from sampan.api.errors import AlreadyExists, ApiError, Conflict, Expired, Invalid, NotFound
from sampan.api.meta import Json, Key, ResourceId
from sampan.api.strategic import DELETE_PREFIX
from sampan.std.http import Request, Response

Collection = tuple[str, str, str]
"""Group, version, plural."""


class FakeApi:
    """A Transport. `fail` may be set to refuse or delay requests."""

    def __init__(self) -> None:
        self.revision = 1
        self.objects: dict[Collection, dict[Key, Json]] = {}
        self.history: list[tuple[int, Collection, str, Json]] = []
        self.requests: list[Request] = []
        self.oldest = 0
        """Watches from before this revision are told that it is gone."""
        self.fail: Callable[[Request], ApiError | None] = lambda request: None
        self.kept_finalizers: tuple[str, ...] = ()
        """Finalizers that no patch takes off, as under a webhook that puts them back."""
        self.late: dict[str, float] = {}
        """Plural -> seconds by which the events of a collection come late."""
        self._news: set[asyncio.Event] = set()
        self._cut = 0

    def put(self, rid: ResourceId, obj: Json) -> Json:
        """Make or replace an object, as somebody else would."""
        collection = (rid.group, rid.version, rid.plural)
        meta = obj["metadata"]
        key = Key(meta.get("namespace", ""), meta["name"])
        known = key in self.objects.get(collection, {})
        return self._store(collection, key, deepcopy(obj), "MODIFIED" if known else "ADDED")

    def drop(self, rid: ResourceId, name: str, namespace: str = "") -> None:
        """Delete an object, as somebody else would."""
        self._drop((rid.group, rid.version, rid.plural), Key(namespace, name))

    def all(self, rid: ResourceId) -> list[Json]:
        return list(self.objects.get((rid.group, rid.version, rid.plural), {}).values())

    def cut(self) -> None:
        """End every watch."""
        self._cut += 1
        self._wake()

    async def request(self, request: Request, *, timeout_s: float = 30) -> Response:
        self.requests.append(request)
        # A real server is never there in the same turn of the loop.
        await asyncio.sleep(0)
        try:
            refusal = self.fail(request)
            if refusal is not None:
                raise refusal
            return self._answer(request)
        except ApiError as error:
            return Response(error.code, {}, orjson.dumps(error.status()))

    async def close(self) -> None:
        return None

    def _answer(self, request: Request) -> Response:
        collection, key, subresource = _parsed(request.path)
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        if request.method == "GET" and not key.name:
            if query.get("watch"):
                after = int(query.get("resourceVersion") or 0)
                return Response(200, {}, self._watch(collection, key.namespace, after))
            return self._list(collection, key.namespace)
        body = orjson.loads(request.body) if request.body else {}
        if request.method == "POST":
            return self._post(collection, key, subresource, body)
        current = self.objects.get(collection, {}).get(key)
        if current is None:
            raise NotFound.of(_rid(collection), key.name)
        if request.method == "DELETE":
            return self._delete(collection, key, current)
        if request.method in ("PUT", "PATCH"):
            sent = self._patched(current, body) if request.method == "PATCH" else body
            return self._update(collection, key, current, (sent, subresource))
        return _json(current)

    def _patched(self, current: Json, patch: Json) -> Json:
        merged: Json = _merged(current, patch)
        before = current["metadata"].get("finalizers") or ()
        kept = [name for name in before if name in self.kept_finalizers]
        left = merged["metadata"].get("finalizers") or []
        if kept:
            merged["metadata"]["finalizers"] = left + [name for name in kept if name not in left]
        return merged

    def _delete(self, collection: Collection, key: Key, current: Json) -> Response:
        if current["metadata"].get("finalizers"):
            marked = _merged(current, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
            return _json(self._store(collection, key, marked, "MODIFIED"))
        self._drop(collection, key)
        return _json(current)

    def _list(self, collection: Collection, namespace: str) -> Response:
        items = [
            obj
            for key, obj in self.objects.get(collection, {}).items()
            if not namespace or key.namespace == namespace
        ]
        return _json({"metadata": {"resourceVersion": str(self.revision)}, "items": items})

    def _post(self, collection: Collection, key: Key, subresource: str, body: Json) -> Response:
        if subresource:
            return _json(body, 201)
        meta = body.setdefault("metadata", {})
        if key.namespace:
            meta["namespace"] = key.namespace
        if not meta.get("name"):
            if not meta.get("generateName"):
                raise Invalid("metadata.name: Required value: name or generateName is required")
            meta["name"] = f"{meta['generateName']}{self.revision:05d}"
        key = Key(meta.get("namespace", ""), meta["name"])
        if key in self.objects.get(collection, {}):
            raise AlreadyExists.of(_rid(collection), key.name)
        meta.setdefault("generation", 1)
        return _json(self._store(collection, key, body, "ADDED"), 201)

    def _update(
        self, collection: Collection, key: Key, current: Json, sent: tuple[Json, str]
    ) -> Response:
        body, subresource = sent
        version = body.get("metadata", {}).get("resourceVersion")
        if version and version != current["metadata"]["resourceVersion"]:
            raise Conflict(f"{key} was changed meanwhile")
        merged = {**current, "status": body.get("status")} if subresource == "status" else body
        meta = {**current["metadata"], **body["metadata"]}
        merged = {**merged, "metadata": meta}
        if merged == current:
            return _json(current)
        if merged.get("spec") != current.get("spec"):
            meta["generation"] = current["metadata"].get("generation", 1) + 1
        waits = meta.get("finalizers") or meta.get("deletionGracePeriodSeconds")
        if meta.get("deletionTimestamp") and not waits:
            self._drop(collection, key)
            return _json(merged)
        return _json(self._store(collection, key, merged, "MODIFIED"))

    def _store(self, collection: Collection, key: Key, obj: Json, kind: str) -> Json:
        self.revision += 1
        meta = obj["metadata"]
        meta["resourceVersion"] = str(self.revision)
        meta.setdefault("uid", f"uid-{self.revision}")
        meta.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        self.objects.setdefault(collection, {})[key] = obj
        self.history.append((self.revision, collection, kind, deepcopy(obj)))
        self._wake()
        return obj

    def _drop(self, collection: Collection, key: Key) -> None:
        obj = self.objects[collection].pop(key)
        self.revision += 1
        last = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}
        self.history.append((self.revision, collection, "DELETED", last))
        self._wake()

    def _wake(self) -> None:
        for event in self._news:
            event.set()

    async def _watch(
        self, collection: Collection, namespace: str, after: int
    ) -> AsyncIterator[bytes]:
        if after < self.oldest:
            yield _line("ERROR", Expired("too old resource version").status())
            return
        cut, news = self._cut, asyncio.Event()
        self._news.add(news)
        place = 0
        try:
            while cut == self._cut:
                for revision, where, kind, obj in self.history[place:]:
                    if revision <= after or where != collection:
                        continue
                    if not namespace or obj["metadata"].get("namespace") == namespace:
                        if collection[2] in self.late:
                            await asyncio.sleep(self.late[collection[2]])
                        yield _line(kind, obj)
                place = len(self.history)
                news.clear()
                await news.wait()
        finally:
            self._news.discard(news)


def _parsed(path: str) -> tuple[Collection, Key, str]:
    parts = path.strip("/").split("/")
    if parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    else:
        group, version, rest = parts[1], parts[2], parts[3:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    rest += ["", ""]
    return (group, version, rest[0]), Key(namespace, rest[1]), rest[2]


def _rid(collection: Collection) -> ResourceId:
    group, version, plural = collection
    return ResourceId(group, version, plural, plural.capitalize())


def _merged(target: Any, patch: Any) -> Any:
    """RFC 7386; of strategic patches only that `$patch: replace` is no element of a list, and what
    is to go from a list of words.
    """
    if isinstance(patch, list):
        return [entry for entry in patch if not (isinstance(entry, dict) and "$patch" in entry)]
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if name.startswith(DELETE_PREFIX):
            field = name.removeprefix(DELETE_PREFIX)
            result[field] = [word for word in result.get(field) or () if word not in value]
        elif value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result


def _json(obj: Json, status: int = 200) -> Response:
    return Response(status, {"content-type": "application/json"}, orjson.dumps(obj))


def _line(kind: str, obj: Json) -> bytes:
    return orjson.dumps({"type": kind, "object": obj}) + b"\n"
