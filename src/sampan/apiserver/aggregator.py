"""APIService: groups that another server answers for, behind a Service of the cluster.

    request -> authenticated and authorized here -> X-Remote-User, our certificate -> that server

What such a server has is asked for now and then, so that discovery shows it; whether it answers is
told in the APIService's status.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from sampan.api.errors import ApiError, NotFound, ServiceUnavailable
from sampan.api.meta import Json, ResourceId
from sampan.apiserver.answers import text_answer
from sampan.apiserver.authn.user import User
from sampan.apiserver.backend import Asked, Target, forward, headers_for
from sampan.apiserver.cacher.collection import Event
from sampan.apiserver.endpoints import ServiceEndpoints
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.registry.modify import modify
from sampan.apiserver.served import Catalog
from sampan.std import log
from sampan.std.http import Request, Response

_log = log.get("apiserver")

GROUP, PLURAL = "apiregistration.k8s.io", "apiservices"
SERVICES = ResourceId("", "v1", "services", "Service")
CHECK_EVERY_S = 30.0
ASKER = User("system:kube-aggregator", groups=("system:masters",))

GroupVersion = tuple[str, str]


@dataclass(slots=True)
class Remote:
    """One group and version that is served elsewhere."""

    name: str
    spec: Json
    resources: Json | None = None
    """Its APIResourceList, as last seen."""
    available: bool = False


class Aggregator:
    """`run` until cancelled; `identity` is the certificate by which such servers know us."""

    def __init__(
        self, parts: Parts, catalog: Catalog, identity: tuple[str, str] | None = None
    ) -> None:
        self._parts = parts
        self._catalog = catalog
        self._identity = identity
        self._endpoints = ServiceEndpoints(parts.cacher)
        self._services = parts.cacher.collection("", "services")
        self.remotes: dict[GroupVersion, Remote] = {}
        self.generation = 0
        self._wake = asyncio.Event()
        for item in parts.cacher.collection(GROUP, PLURAL).items():
            self._changed(Event(item.revision, item, None))
        parts.cacher.listen(GROUP, PLURAL, self._changed)
        for kind in (("", "endpoints"), ("discovery.k8s.io", "endpointslices")):
            parts.cacher.listen(*kind, self._endpoints_changed)

    def _changed(self, event: Event) -> None:
        spec = (event.item or event.subject).decode().get("spec") or {}
        place = (spec.get("group") or "", spec.get("version") or "")
        if event.item is None or not spec.get("service"):
            if self.remotes.pop(place, None) is not None:
                self.generation += 1
            return
        known = self.remotes.get(place)
        if known is None or known.spec != spec:
            self.remotes[place] = Remote(event.subject.name, spec)
            self.generation += 1
            self._wake.set()

    def _endpoints_changed(self, event: Event) -> None:
        if any(not remote.available for remote in self.remotes.values()):
            self._wake.set()

    def find(self, group: str, version: str) -> Remote | None:
        return self.remotes.get((group, version))

    def lists(self) -> Mapping[GroupVersion, Json | None]:
        """What discovery shows of them."""
        return {place: remote.resources for place, remote in self.remotes.items()}

    # -- passing on

    async def answer(self, remote: Remote, request: Request, user: User) -> Response:
        """The other server's answer, or why there is none, as upstream's plain text."""
        try:
            return await self.forward(remote, request, user)
        except NotFound:
            return text_answer("service unavailable\n", 503)
        except ServiceUnavailable as error:
            missing = "endpoints available" in error.message
            why = "service unavailable" if missing else error.message
            return text_answer(f"{why}\n", 503)

    async def forward(self, remote: Remote, request: Request, user: User) -> Response:
        """Raises ServiceUnavailable."""
        path = request.path + (f"?{request.query}" if request.query else "")
        sent = {k: v for k, v in request.headers.items() if not k.startswith("x-remote-")}
        headers = headers_for(sent, request.peer) | remote_headers(user)
        asked = Asked(request.method, path, headers, request.body)
        return await forward(self._target(remote), asked)

    def _target(self, remote: Remote) -> Target:
        ref = remote.spec["service"]
        namespace, name = ref.get("namespace") or "", ref.get("name") or ""
        item = self._services.get(namespace, name)
        if item is None:
            raise NotFound.of(SERVICES, name)
        host, port = self._endpoints.pick(item.decode(), str(ref.get("port") or 443))
        return Target(host, port, self._context(remote.spec), f"{name}.{namespace}.svc")

    def _context(self, spec: Json) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if spec.get("insecureSkipTLSVerify"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif spec.get("caBundle"):
            context.load_verify_locations(cadata=base64.b64decode(spec["caBundle"]).decode())
        else:
            context.load_default_certs()
        if self._identity is not None:
            context.load_cert_chain(*self._identity)
        return context

    # -- looking after them

    async def run(self) -> None:
        while True:
            for place, remote in list(self.remotes.items()):
                await self._check(place, remote)
            self._wake.clear()
            waiting = asyncio.create_task(self._wake.wait())
            timer = asyncio.create_task(self._parts.clock.sleep(CHECK_EVERY_S))
            try:
                await asyncio.wait({waiting, timer}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
                timer.cancel()

    async def _check(self, place: GroupVersion, remote: Remote) -> None:
        condition, resources = await self._ask(place, remote)
        remote.available = condition["status"] == "True"
        if resources is not None and resources != remote.resources:
            remote.resources = resources
            self.generation += 1
        served = self._catalog.find(GROUP, "v1", PLURAL)
        if served is None or self.remotes.get(place) is not remote:
            return

        def tell(current: Json) -> Json:
            status = current.setdefault("status", {})
            others = [c for c in status.get("conditions") or () if c["type"] != "Available"]
            status["conditions"] = [*others, _since(status, condition)]
            return current

        item = self._parts.cacher.collection(GROUP, PLURAL).get("", remote.name)
        if item is None or tell(served.current(item)) == served.current(item):
            return
        try:
            await modify(self._parts, served, "", remote.name, tell)
        except ApiError as error:
            _log.warning("APIService not updated", name=remote.name, error=error)

    async def _ask(self, place: GroupVersion, remote: Remote) -> tuple[Json, Json | None]:
        """The condition Available, and what the server has."""
        ref, now = remote.spec["service"], self._parts.timestamp()
        path = f"/apis/{place[0]}/{place[1]}"
        try:
            asked = Request("GET", path, headers={"accept": "application/json"})
            response = await self.forward(remote, asked, ASKER)
            content = await response.read()
        except NotFound:
            text = f'service/{ref["name"]} in "{ref["namespace"]}" is not present'
            return _condition("False", "ServiceNotFound", text, now), None
        except ServiceUnavailable as error:
            kind = "MissingEndpoints" if "no endpoints" in error.message else "FailedDiscoveryCheck"
            return _condition("False", kind, error.message, now), None
        if response.status != 200:
            text = f"bad status from {path}: {response.status}"
            return _condition("False", "FailedDiscoveryCheck", text, now), None
        try:
            found: Json = orjson.loads(content)
        except orjson.JSONDecodeError:
            text = f"{path} answered with something that is no JSON"
            return _condition("False", "FailedDiscoveryCheck", text, now), None
        return _condition("True", "Passed", "all checks passed", now), found


def remote_headers(user: User) -> dict[str, str]:
    """Who asks, for a server that trusts our certificate; each value a header line of its own."""
    found = {"x-remote-user": _clean(user.name)}
    if user.uid:
        found["x-remote-uid"] = _clean(user.uid)
    if user.groups:
        found["x-remote-group"] = "\r\nx-remote-group: ".join(map(_clean, user.groups))
    for key, values in user.extra.items():
        name = f"x-remote-extra-{''.join(c if c.isalnum() or c in '-._' else _hex(c) for c in key)}"
        found[name.lower()] = f"\r\n{name.lower()}: ".join(map(_clean, values))
    return found


def _clean(value: str) -> str:
    """No line of a header may smuggle in another."""
    return "".join(char for char in value if char.isprintable())


def _hex(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())


def _condition(status: str, reason: str, message: str, now: str) -> Json:
    return {
        "type": "Available", "status": status, "lastTransitionTime": now, "reason": reason,
        "message": message,
    }  # fmt: skip


def _since(status: Json, condition: Json) -> Json:
    """A condition that stays as it is keeps its time."""
    for before in status.get("conditions") or ():
        if before["type"] == "Available" and before["status"] == condition["status"]:
            return {**condition, "lastTransitionTime": before["lastTransitionTime"]}
    return condition
