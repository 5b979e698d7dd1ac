"""A typed-enough Kubernetes client: resources by `ResourceId`, objects as JSON, errors as
`ApiError`; any transport.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from sampan.api.errors import NotFound, from_status
from sampan.api.meta import Json, ResourceId
from sampan.client.transport import Request, Response, Transport, Unreachable
from sampan.client.trouble import Trouble
from sampan.std.http import Feed


class PatchKind(Enum):
    """The media type of a patch body."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK; errors are raised instead."""

    type: str
    object: Json


class Client:
    """Every call is one request; nothing is retried here, since only the caller knows what a
    second try would mean.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        user_agent: str = "sampan",
        token: str | Callable[[], str] = "",
    ) -> None:
        self.transport = transport
        self.trouble = Trouble()
        self._headers = {"accept": "application/json", "user-agent": user_agent}
        self._token = token

    async def get(
        self, rid: ResourceId, name: str, namespace: str = "", *, subresource: str = ""
    ) -> Json:
        """The object. Raises NotFound and its siblings."""
        return await self._json("GET", rid.path(namespace, name, subresource))

    async def find(self, rid: ResourceId, name: str, namespace: str = "") -> Json | None:
        """The object, or None where there is none."""
        try:
            return await self.get(rid, name, namespace)
        except NotFound:
            return None

    async def list(  # noqa: PLR0913 - each one is a query parameter of the API
        self,
        rid: ResourceId,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        resume: str = "",
        resource_version: str = "",
    ) -> Json:
        """One page of the collection as a List object; `resume` is `metadata.continue` of the
        page before.
        """
        query = {
            "labelSelector": labels,
            "fieldSelector": fields,
            "limit": str(limit) if limit else "",
            "continue": resume,
            "resourceVersion": resource_version,
        }
        return await self._json("GET", rid.path(namespace), query)

    async def create(
        self,
        rid: ResourceId,
        obj: Json,
        *,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
    ) -> Json:
        """POST; with `name` and `subresource` to a subresource (`binding`, `eviction`, `token`)."""
        where = namespace or obj.get("metadata", {}).get("namespace", "")
        return await self._json("POST", rid.path(where, name, subresource), body=obj)

    async def update(self, rid: ResourceId, obj: Json, *, subresource: str = "") -> Json:
        """PUT; conflicts when `metadata.resourceVersion` is not the newest."""
        meta = obj["metadata"]
        path = rid.path(meta.get("namespace", ""), meta["name"], subresource)
        return await self._json("PUT", path, body=obj)

    async def patch(
        self,
        rid: ResourceId,
        name: str,
        body: Any,
        *,
        namespace: str = "",
        kind: PatchKind = PatchKind.MERGE,
        subresource: str = "",
    ) -> Json:
        path = rid.path(namespace, name, subresource)
        return await self._json("PATCH", path, body=body, content_type=kind.value)

    async def apply(
        self,
        rid: ResourceId,
        obj: Json,
        *,
        manager: str,
        force: bool = True,
        subresource: str = "",
    ) -> Json:
        """Server-side apply: the fields in `obj` are this manager's, others stay as they are."""
        meta = obj["metadata"]
        path = rid.path(meta.get("namespace", ""), meta["name"], subresource)
        full = {"apiVersion": rid.api_version, "kind": rid.kind, **obj}
        query = {"fieldManager": manager, "force": "true" if force else ""}
        return await self._json(
            "PATCH", path, query, body=full, content_type="application/apply-patch+yaml"
        )

    async def delete(
        self,
        rid: ResourceId,
        name: str,
        namespace: str = "",
        *,
        grace_s: int | None = None,
        uid: str = "",
        propagation: str = "",
    ) -> Json | None:
        """What the server answered, or None where the object was not there."""
        options: Json = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        if uid:
            options["preconditions"] = {"uid": uid}
        if propagation:
            options["propagationPolicy"] = propagation
        try:
            return await self._json("DELETE", rid.path(namespace, name), body=options)
        except NotFound:
            return None

    async def watch(
        self,
        rid: ResourceId,
        namespace: str = "",
        *,
        resource_version: str,
        labels: str = "",
        fields: str = "",
        timeout_s: float = 0,
    ) -> AsyncIterator[WatchEvent]:
        """Changes after `resource_version` until the server ends the stream; bookmarks are asked
        for. Raises the error that an ERROR event carries (Expired: list again).
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "labelSelector": labels,
            "fieldSelector": fields,
            "timeoutSeconds": str(int(timeout_s)) if timeout_s else "",
        }
        response = await self._send("GET", rid.path(namespace), query)
        body = response.body
        if isinstance(body, bytes):
            for line in body.splitlines():
                yield _event(line)
            return
        try:
            rest = b""
            async for chunk in body:
                *lines, rest = (rest + chunk if rest else chunk).split(b"\n")
                for line in lines:
                    if line:
                        yield _event(line)
        except ConnectionError as error:
            raise Unreachable(f"the watch was cut off: {error}") from error
        finally:
            await _close(body)

    async def raw(self, request: Request, *, timeout_s: float = 30) -> Response:
        """Any request, with this client's credentials; the status is the caller's to judge."""
        headers = {**self._credentials(), **request.headers}
        full = Request(request.method, request.path, request.query, headers, request.body)
        return await self.transport.request(full, timeout_s=timeout_s)

    async def close(self) -> None:
        await self.transport.close()

    def _credentials(self) -> dict[str, str]:
        token = self._token if isinstance(self._token, str) else self._token()
        return {**self._headers, "authorization": f"Bearer {token}"} if token else self._headers

    async def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Json:
        response = await self._send(method, path, query, body=body, content_type=content_type)
        answer: Json = orjson.loads(await response.read())
        return answer

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Response:
        headers = self._credentials()
        data = b""
        if body is not None:
            headers = {**headers, "content-type": content_type}
            data = orjson.dumps(body)
        text = urlencode({k: v for k, v in query.items() if v}) if query else ""
        request = Request(method, quote(path, safe="/:"), text, headers, data)
        response = await self.transport.request(request)
        if response.status >= 300:
            raise from_status(_status(await response.read()), response.status)
        return response


async def _close(body: AsyncIterator[bytes]) -> None:
    """End a stream that nobody reads on, so that its connection is given up at once."""
    if isinstance(body, AsyncGenerator | Feed):
        await body.aclose()


def _event(line: bytes) -> WatchEvent:
    raw = orjson.loads(line)
    if raw["type"] == "ERROR":
        raise from_status(raw["object"], int(raw["object"].get("code", 500)))
    return WatchEvent(raw["type"], raw["object"])


def _status(body: bytes) -> Json:
    """The Status in an error answer; a body that is none becomes the message."""
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return status
    return {"message": body.decode(errors="replace").strip()[:500]}
