"""An API server of one page: list, watch, create, replace, merge-patch and delete, no rules.

The proxy's own tests need objects that come and go, not validation; the real server is another
room's. Also runs alone for the replay tool: `python tests/proxy/tiny_api.py 8080`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

from sampan.std.http import Request, Response
from sampan.std.httpd import listener, serve

Json = dict[str, Any]


class TinyApi:
    """`handle` is an HTTP handler; objects live in `objects` by their path."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.revision = 0
        self.history: list[tuple[int, str, str, Json]] = []
        self.news = asyncio.Condition()
        self.down = False
        self.expired_below = 0

    async def put(self, path: str, obj: Json) -> Json:
        """Create or replace the object at its path, /api/v1/namespaces/default/services/web."""
        self.revision += 1
        old = self.objects.get(path)
        fresh = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}
        self.objects[path] = fresh
        await self._tell("ADDED" if old is None else "MODIFIED", path, fresh)
        return fresh

    async def remove(self, path: str) -> None:
        obj = self.objects.pop(path)
        self.revision += 1
        last = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}
        await self._tell("DELETED", path, last)

    async def _tell(self, kind: str, path: str, obj: Json) -> None:
        async with self.news:
            self.history.append((self.revision, kind, path, obj))
            self.news.notify_all()

    async def handle(self, request: Request) -> Response:
        if self.down:
            return _status(503, "the server is down")
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        collection = self._collection(request.path)
        if request.method == "GET" and collection:
            if query.get("watch") in ("1", "true"):
                if int(query.get("resourceVersion", "0")) < self.expired_below:
                    return _status(410, "too old resource version", "Expired")
                return Response(
                    200, {"content-type": "application/json"}, self._watch(collection, query)
                )
            items = [obj for path, obj in self.objects.items() if _under(collection, path)]
            wanted = [obj for obj in items if _selected(obj, query)]
            meta = {"resourceVersion": str(self.revision)}
            return _json(200, {"kind": "List", "metadata": meta, "items": wanted})
        return await self._single(request)

    async def _single(self, request: Request) -> Response:
        path = request.path.removesuffix("/status")
        found = self.objects.get(path)
        if request.method == "POST":
            obj = json.loads(request.body)
            obj.setdefault("metadata", {})
            parts = request.path.split("/namespaces/")
            if len(parts) > 1 and "/" in parts[1]:
                obj["metadata"].setdefault("namespace", parts[1].split("/")[0])
            return _json(201, await self.put(f"{path}/{obj['metadata']['name']}", obj))
        if found is None:
            return _status(404, f"{path} not found", "NotFound")
        if request.method == "GET":
            return _json(200, found)
        if request.method == "DELETE":
            await self.remove(path)
            return _json(200, found)
        body = json.loads(request.body)
        if request.method == "PATCH":
            return _json(200, await self.put(path, _merged(found, body)))
        return _json(200, await self.put(path, {**body, "status": found.get("status")}))

    def _collection(self, path: str) -> str:
        """The path if it names a collection: the last word is a plural that we know."""
        last = path.rpartition("/")[2]
        known = ("services", "endpointslices", "nodes", "namespaces", "servicecidrs")
        return path if last in known else ""

    async def _watch(self, collection: str, query: dict[str, str]) -> AsyncIterator[bytes]:
        seen = int(query.get("resourceVersion", "0"))
        while not self.down:
            for revision, kind, path, obj in list(self.history):
                if revision > seen and _under(collection, path):
                    event = {"type": kind if _selected(obj, query) else "DELETED", "object": obj}
                    yield json.dumps(event).encode() + b"\n"
            seen = max(seen, self.revision)
            async with self.news:
                if self.revision <= seen:
                    await self.news.wait()


def _under(collection: str, path: str) -> bool:
    """Whether an object's path lies in a collection, of one namespace or of all."""
    prefix, _, plural = collection.rpartition("/")
    parent = path.rpartition("/")[0]
    return parent == collection or (
        "/namespaces/" not in collection
        and parent.startswith(f"{prefix}/namespaces/")
        and parent.endswith(f"/{plural}")
    )


def _selected(obj: Json, query: dict[str, str]) -> bool:
    labels = obj["metadata"].get("labels") or {}
    for term in filter(None, query.get("labelSelector", "").split(",")):
        if term.startswith("!") and term[1:] in labels:
            return False
    fields = query.get("fieldSelector", "")
    return not fields or fields == f"metadata.name={obj['metadata']['name']}"


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


def _json(status: int, body: Json) -> Response:
    return Response(status, {"content-type": "application/json"}, json.dumps(body).encode())


def _status(code: int, message: str, reason: str = "") -> Response:
    return _json(
        code,
        {"kind": "Status", "status": "Failure", "message": message, "code": code, "reason": reason},
    )


async def _alone(port: int) -> None:
    api = TinyApi()
    for name, cidr in (("kubernetes", "10.96.0.0/12"), ("kubernetes-v6", "fd00:10:96::/112")):
        await api.put(
            f"/apis/networking.k8s.io/v1/servicecidrs/{name}",
            {"metadata": {"name": name}, "spec": {"cidrs": [cidr]}},
        )
    await serve(api.handle, sock=listener("127.0.0.1", port), name="tiny")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_alone(int(sys.argv[1])))
