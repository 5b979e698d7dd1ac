"""pods/log, exec, attach and portforward: checked here, answered by the pod's kubelet."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from urllib.parse import quote, urlencode

from sampan.api.errors import ApiError, BadRequest, FieldError, InternalError, Invalid, NotFound
from sampan.api.meta import Json, ResourceId
from sampan.apiserver.attempts import CONNECT, Attempt
from sampan.apiserver.authz.attributes import attributes_of
from sampan.apiserver.authz.authorizer import Authorizer
from sampan.apiserver.backend import Asked, Target, forward, headers_for
from sampan.apiserver.cacher.collection import Collection
from sampan.apiserver.call import Call
from sampan.apiserver.options import Query, flag, number, one
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.served import Served
from sampan.std.http import Response

LOG_OPTIONS = ResourceId("", "v1", "", "PodLogOptions")
KUBELET_PORT = 10250
ADDRESS_ORDER = ("InternalIP", "ExternalIP", "InternalDNS", "Hostname", "ExternalDNS")
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
CONTAINER_LISTS = ("containers", "initContainers", "ephemeralContainers")


class Kubelets:
    """Where the kubelets are and how to speak to them."""

    def __init__(self, nodes: Collection, tls: ssl.SSLContext | None) -> None:
        self._nodes = nodes
        self._tls = tls

    def target(self, name: str) -> Target:
        """Raises NotFound for a node that is not there, InternalError for one without address."""
        item = self._nodes.get("", name)
        if item is None:
            raise NotFound.of(ResourceId("", "v1", "nodes", "Node", namespaced=False), name)
        status = item.decode().get("status") or {}
        held = {a["type"]: a["address"] for a in reversed(status.get("addresses") or ())}
        address = next((held[kind] for kind in ADDRESS_ORDER if held.get(kind)), "")
        if not address:
            text = f"Internal error occurred: no preferred addresses found for node {name}"
            raise InternalError(text)
        endpoint = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
        return Target(address, endpoint.get("Port") or KUBELET_PORT, self._tls or insecure())


def insecure() -> ssl.SSLContext:
    """A kubelet without a CA to check it by, as upstream's default."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class PodStreams:
    def __init__(self, parts: Parts, kubelets: Kubelets, authorizer: Authorizer) -> None:
        self._parts = parts
        self._kubelets = kubelets
        self._authorizer = authorizer

    async def log(self, served: Served, call: Call) -> Response:
        check_log_options(call.query, call.info.name)
        pod = _pod(served, call)
        container = _container(pod, one(call.query, "container"), log=True)
        node = pod["spec"].get("nodeName")
        if not node:
            return Response(204)
        names = (
            "follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines",
            "limitBytes", "stream",
        )  # fmt: skip
        query = {name: one(call.query, name) for name in names if one(call.query, name)}
        meta = pod["metadata"]
        path = _path("containerLogs", meta["namespace"], meta["name"], container)
        asked = Asked("GET", f"{path}?{urlencode(query)}", {"accept": "*/*"})
        response = await self._ask(node, asked)
        if response.status >= 400:
            raise await _refused(response, node)
        response.headers.setdefault("content-type", "text/plain")
        return response

    async def exec(self, served: Served, call: Call) -> Response:
        return await self._stream(served, call, "exec")

    async def attach(self, served: Served, call: Call) -> Response:
        return await self._stream(served, call, "attach")

    async def _stream(self, served: Served, call: Call, what: str) -> Response:
        self._check_websocket(call)
        await self._admit(served, call)
        pod = _pod(served, call)
        container = _container(pod, one(call.query, "container"))
        node = _node(pod)
        query = [
            (target, "1")
            for source, target in (
                ("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"),
            )
            if flag(call.query, source)
        ]  # fmt: skip
        query += [("command", word) for word in call.query.get("command", ())]
        meta = pod["metadata"]
        path = _path(what, meta["namespace"], meta["name"], container)
        return await self._pass(call, node, f"{path}?{urlencode(query)}")

    async def portforward(self, served: Served, call: Call) -> Response:
        self._check_websocket(call)
        await self._admit(served, call)
        pod = _pod(served, call)
        node = _node(pod)
        ports: Sequence[str] = call.query.get("ports", ())
        query = urlencode([("port", ",".join(ports))] if ports else [])
        meta = pod["metadata"]
        path = _path("portForward", meta["namespace"], meta["name"])
        return await self._pass(call, node, f"{path}?{query}")

    def _check_websocket(self, call: Call) -> None:
        """A WebSocket comes as GET, but does what POST does: it takes the right to create."""
        if call.info.verb != "create" and "sec-websocket-key" in call.request.headers:
            asked = attributes_of(call.user, call.info)
            from dataclasses import replace

            self._authorizer.require(replace(asked, verb="create"))

    async def _admit(self, served: Served, call: Call) -> None:
        info = call.info
        options = {key: list(values) for key, values in call.query.items()}
        attempt = Attempt(
            CONNECT, served, call, info.namespace, info.name, None, None, info.subresource,
            options=options,
        )  # fmt: skip
        await self._parts.chain.admit(attempt)
        await self._parts.chain.validate(attempt)

    async def _pass(self, call: Call, node: str, path: str) -> Response:
        request = call.request
        headers = headers_for(request.headers, request.peer, kubelet=True)
        return await self._ask(node, Asked(request.method, path, headers, request.body))

    async def _ask(self, node: str, asked: Asked) -> Response:
        try:
            return await forward(self._kubelets.target(node), asked)
        except NotFound as error:
            raise InternalError(f"Internal error occurred: {error.message}") from error


async def _refused(response: Response, node: str) -> ApiError:
    text = (await response.read()).decode(errors="replace").strip()
    kind = {400: BadRequest, 404: NotFound}.get(response.status, InternalError)
    if kind is NotFound:
        return NotFound("the server could not find the requested resource", details={})
    return kind(text or f"the kubelet of {node} answered with {response.status}")


def _pod(served: Served, call: Call) -> Json:
    item = served.collection.get(call.info.namespace, call.info.name)
    if item is None:
        raise NotFound.of(served.id, call.info.name)
    return served.current(item)


def _container(pod: Json, wanted: str, *, log: bool = False) -> str:
    """The container's name. Raises BadRequest when there is no telling or no such container."""
    name, spec = pod["metadata"]["name"], pod["spec"]
    every = {key: [c["name"] for c in spec.get(key) or ()] for key in CONTAINER_LISTS}
    if wanted:
        if not any(wanted in names for names in every.values()):
            raise BadRequest(f"container {wanted} is not valid for pod {name}")
        return wanted
    containers = every["containers"]
    if not log:
        chosen = (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER, "")
        if chosen in containers:
            return str(chosen)
    if len(containers) == 1:
        return str(containers[0])
    text = f"a container name must be specified for pod {name}, choose one of: "
    text += f"[{' '.join(containers)}]"
    if every["initContainers"]:
        text += f" or one of the init containers: [{' '.join(every['initContainers'])}]"
    raise BadRequest(text)


def _node(pod: Json) -> str:
    node = pod["spec"].get("nodeName")
    if not node:
        raise BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")
    return str(node)


def _path(*parts: str) -> str:
    return "/" + "/".join(quote(part, safe="") for part in parts)


def check_log_options(query: Query, name: str) -> None:
    """Raises Invalid."""
    errors: list[FieldError] = []
    for field, least in (("tailLines", 0), ("limitBytes", 1), ("sinceSeconds", 1)):
        value = number(query, field)
        if value is not None and value < least:
            text = "must be greater than 0" if least else "must be greater than or equal to 0"
            errors.append(FieldError("Invalid", field, value, text))
    if one(query, "sinceTime") and one(query, "sinceSeconds"):
        text = "at most one of `sinceTime` or `sinceSeconds` may be specified"
        errors.append(FieldError("Forbidden", "[]", detail=text))
    stream = one(query, "stream")
    if stream and stream not in ("All", "Stdout", "Stderr"):
        text = 'supported values: "All", "Stderr", "Stdout"'
        errors.append(FieldError("NotSupported", "stream", stream, text))
    if errors:
        raise Invalid.of(LOG_OPTIONS, name, errors)
