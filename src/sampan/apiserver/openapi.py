"""/openapi/v3 and /openapi/v2: documents made when they are asked for, kept until the catalog
changes, addressed by a hash so that clients never fetch one twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import orjson

from sampan.api.meta import Json
from sampan.api.openapi.documents import Published, digest, document, index
from sampan.api.openapi.swagger import swagger
from sampan.apiserver.answers import GZIP_FROM, gzipped
from sampan.apiserver.options import one, read_query
from sampan.apiserver.served import Catalog
from sampan.std.http import Request, Response

V3 = "/openapi/v3"
YEAR = "public, max-age=31536000, immutable"
V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
PLAIN_PATHS = (".well-known/openid-configuration", "api", "apis", "openid/v1/jwks", "version")


class OpenApi:
    def __init__(self, catalog: Catalog, release: str) -> None:
        self._catalog = catalog
        self._release = release
        self._generation = -1
        self._hashes: dict[str, str] = {}
        self._made: dict[str, bytes] = {}
        self._index = b""
        self._swagger: dict[str, bytes] = {}

    async def v3(self, request: Request) -> Response:
        """The index, or the document of one group and version."""
        self._refresh()
        name = request.path.removeprefix(V3).strip("/")
        if not name:
            return _answer(request, self._index, "text/plain; charset=utf-8")
        wanted = self._hashes.get(name)
        if wanted is None:
            return Response(404)
        asked = one(read_query(request.query), "hash")
        if asked and asked != wanted:
            where = f"{V3}/{name}?hash={wanted}"
            return Response(301, {"location": where, "content-type": "application/json"})
        response = _answer(request, self._document(name, wanted), "application/json", wanted)
        if asked:
            response.headers["cache-control"] = YEAR
        return response

    async def v2(self, request: Request) -> Response:
        self._refresh()
        if "proto-openapi.spec.v2" in request.headers.get("accept", ""):
            from sampan.api.openapi.gnostic import encode_swagger

            body = self._swagger.get("protobuf")
            if body is None:
                body = self._swagger["protobuf"] = encode_swagger(self._v2())
            return _answer(request, body, V2_PROTOBUF)
        body = self._swagger.get("json")
        if body is None:
            body = self._swagger["json"] = orjson.dumps(self._v2())
        return _answer(request, body, "application/json")

    def _refresh(self) -> None:
        if self._generation == self._catalog.generation:
            return
        self._generation = self._catalog.generation
        hashes = {path: _plain_hash(path, self._release) for path in PLAIN_PATHS}
        for (group, version), published in self._published().items():
            path = f"apis/{group}/{version}" if group else f"api/{version}"
            hashes[path] = digest(published, self._release)
            if group:
                hashes[f"apis/{group}"] = _plain_hash(f"apis/{group}", self._release)
        self._made = {h: body for h, body in self._made.items() if h in hashes.values()}
        self._hashes = hashes
        self._index = orjson.dumps(index(hashes))
        self._swagger.clear()

    def _published(self) -> Mapping[tuple[str, str], list[Published]]:
        return {
            group_version: [Published(s.resource, s.definition) for s in served.values()]
            for group_version, served in self._catalog.versions.items()
        }

    def _document(self, name: str, wanted: str) -> bytes:
        body = self._made.get(wanted)
        if body is None:
            parts = name.split("/")
            key = ("", parts[1]) if parts[0] == "api" and len(parts) == 2 else None
            if parts[0] == "apis" and len(parts) == 3:
                key = (parts[1], parts[2])
            published = self._published().get(key) if key is not None else None
            made = document(*key, published) if key and published else _plain(name)
            body = self._made[wanted] = orjson.dumps(made)
        return body

    def _v2(self) -> Json:
        every = [
            document(group, version, published)
            for (group, version), published in self._published().items()
        ]
        return swagger(every)


def _answer(request: Request, body: bytes, media: str, tag: str = "") -> Response:
    """With an ETag, and 304 where the client has it already."""
    etag = f'"{tag or hashlib.sha256(body).hexdigest().upper()}"'
    headers = {"content-type": media, "etag": etag, "vary": "Accept, Accept-Encoding"}
    if request.headers.get("if-none-match") == etag:
        return Response(304, headers)
    if len(body) >= GZIP_FROM and "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        body = gzipped(body)
    return Response(200, headers, body)


def _plain(name: str) -> Json:
    """Discovery and the like: a path with a GET, and no schemas."""
    path = f"/{name}/" if name.startswith("api") else f"/{name}"
    answer = {"200": {"description": "OK"}, "401": {"description": "Unauthorized"}}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36"},
        "paths": {path: {"get": {"description": f"get {name}", "responses": answer}}},
    }


def _plain_hash(name: str, release: str) -> str:
    return hashlib.sha256(f"{release} {name}".encode()).hexdigest().upper()
