"""The proxy subresource of pods, services and nodes: any request, to whoever stands behind it."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from sampan.api.errors import BadRequest, NotFound
from sampan.api.meta import Json
from sampan.apiserver.backend import Asked, Target, forward, headers_for
from sampan.apiserver.cacher.cacher import Cacher
from sampan.apiserver.call import Call
from sampan.apiserver.endpoints import ServiceEndpoints
from sampan.apiserver.served import Served
from sampan.apiserver.verbs.pod_streams import Kubelets, insecure
from sampan.std.http import Response

_LINK = re.compile(rb"""((?:href|src|action)\s*=\s*["'])(/[^"']*)""", re.IGNORECASE)


class Named(NamedTuple):
    """`scheme:name:port`, each of the outer parts optional."""

    scheme: str
    name: str
    port: str


class Proxies:
    def __init__(self, cacher: Cacher, kubelets: Kubelets) -> None:
        self._kubelets = kubelets
        self._endpoints = ServiceEndpoints(cacher)

    async def pod(self, served: Served, call: Call) -> Response:
        named = split_name(call.info.name, "http", "pod")
        pod = _object(served, call, named.name)
        ip = (pod.get("status") or {}).get("podIP") or ""
        check_address(ip)
        port = int(named.port) if named.port.isdigit() else _pod_port(pod, named.port)
        return await self._pass(call, _target(named.scheme, ip, port or _default(named.scheme)))

    async def service(self, served: Served, call: Call) -> Response:
        named = split_name(call.info.name, "http", "service")
        svc = _object(served, call, named.name)
        ip, port = self._endpoints.pick(svc, named.port)
        check_address(ip)
        return await self._pass(call, _target(named.scheme, ip, port))

    async def node(self, served: Served, call: Call) -> Response:
        named = split_name(call.info.name, "", "node")
        target = self._kubelets.target(named.name)
        if named.port.isdigit() and int(named.port) != target.port:
            target = _target(named.scheme or "http", target.host, int(named.port))
        return await self._pass(call, target)

    async def _pass(self, call: Call, target: Target) -> Response:
        request = call.request
        prefix, rest = split_path(request.path, call.info.legacy_verb == "proxy")
        if not rest and request.method in ("GET", "HEAD"):
            where = prefix + "/" + (f"?{request.query}" if request.query else "")
            return Response(301, {"location": where})
        path = rest + (f"?{request.query}" if request.query else "")
        headers = headers_for(request.headers, request.peer)
        headers["x-forwarded-uri"] = prefix + rest
        response = await forward(target, Asked(request.method, path, headers, request.body))
        return await _rewritten(response, prefix, target)


def split_name(text: str, scheme: str, kind: str) -> Named:
    """Raises BadRequest for more than three parts or an unknown scheme."""
    parts = text.split(":")
    if len(parts) == 1:
        return Named(scheme, parts[0], "")
    if len(parts) == 2:
        return Named(scheme, parts[0], parts[1])
    if len(parts) == 3 and parts[0] in ("", "http", "https"):
        return Named(parts[0] or scheme, parts[1], parts[2])
    raise BadRequest(f'invalid {kind} request "{text}"')


def split_path(path: str, legacy: bool) -> tuple[str, str]:
    """The part up to and with `proxy` (or, in the old form, the name), and what follows."""
    parts = path.split("/")
    if legacy:
        # /api/v1/proxy/namespaces/NS/KIND/NAME/..., /api/v1/proxy/nodes/NAME/...
        at = parts.index("proxy") + (5 if parts[parts.index("proxy") + 1] == "namespaces" else 3)
    else:
        # /api/v1/namespaces/NS/KIND/NAME/proxy/..., /api/v1/nodes/NAME/proxy/...
        at = 8 if parts[3] == "namespaces" else 6
    rest = "/".join(parts[at:])
    return "/".join(parts[:at]), f"/{rest}" if len(parts) > at else ""


def check_address(ip: str) -> None:
    """Only addresses that a pod can have: never this machine's own loopback. Raises BadRequest."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        raise BadRequest("address not allowed") from None
    if address.is_loopback or address.is_link_local or address.is_multicast:
        raise BadRequest("address not allowed")
    if address.is_unspecified:
        raise BadRequest("address not allowed")


def _target(scheme: str, host: str, port: int) -> Target:
    return Target(host, port, insecure() if scheme == "https" else None)


def _default(scheme: str) -> int:
    return 443 if scheme == "https" else 80


def _pod_port(pod: Json, name: str) -> int:
    """By name, or the first that a container names."""
    for container in pod["spec"].get("containers") or ():
        for port in container.get("ports") or ():
            if not name or port.get("name") == name:
                return int(port["containerPort"])
    return 0


def _object(served: Served, call: Call, name: str) -> Json:
    item = served.collection.get(call.info.namespace if served.id.namespaced else "", name)
    if item is None:
        raise NotFound.of(served.id, name)
    return served.current(item)


async def _rewritten(response: Response, prefix: str, target: Target) -> Response:
    """Redirects and links of pages lead back through the proxy."""
    where = response.headers.get("location", "")
    if where:
        url = urlsplit(where)
        if not url.netloc or url.netloc in (target.host, target.authority):
            tail = url.path + (f"?{url.query}" if url.query else "")
            if tail.startswith("/"):
                response.headers["location"] = prefix + tail
    media = response.headers.get("content-type", "")
    if media.startswith("text/html") and "content-encoding" not in response.headers:
        page = await response.read()
        start = prefix.encode()
        response.body = _LINK.sub(lambda m: m[1] + start + m[2], page)
    return response
