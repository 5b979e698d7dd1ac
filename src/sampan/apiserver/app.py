"""The request path, in order:

    limits -> read the path -> authenticate -> impersonate -> authorize -> route -> verb -> answer

Nothing below the first three lines of `_serve` runs without an identity, and no verb without
`authorizer.require`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from sampan.api.errors import ApiError, InternalError
from sampan.apiserver.aggregator import Aggregator
from sampan.apiserver.answers import (
    error_answer,
    json_answer,
    page_not_found,
    too_many,
    wants_indent,
)
from sampan.apiserver.authn.authenticator import Authenticator
from sampan.apiserver.authn.user import MASTERS, User
from sampan.apiserver.authz.attributes import attributes_of
from sampan.apiserver.authz.authorizer import Authorizer
from sampan.apiserver.authz.impersonation import Impersonation
from sampan.apiserver.call import Call, call_for
from sampan.apiserver.discovery import GROUPS, Discovery
from sampan.apiserver.flows import Flows
from sampan.apiserver.health import ENDPOINTS, Check, answer_health, version
from sampan.apiserver.meters import Meters
from sampan.apiserver.options import check_timeout
from sampan.apiserver.refusals import no_such_method, no_such_resource
from sampan.apiserver.request import RequestInfo, read_path
from sampan.apiserver.router import Router
from sampan.apiserver.served import Catalog
from sampan.std import log
from sampan.std.http import Request, Response
from sampan.store.base import StoreFailed

_log = log.get("apiserver")

Page = Callable[[Request], Awaitable[Response]]
"""A plain path's handler: metrics, OpenAPI, the issuer's documents."""

READ_ONLY = frozenset({"get", "list", "watch"})
AUDIT_ID_MAX = 64
LONG_RUNNING = frozenset({"attach", "exec", "log", "portforward", "proxy"})


@dataclass(frozen=True, slots=True)
class Limits:
    """How many requests may be under way, 0: any number; those that last (watch, exec, ...) do
    not count, and administrators' are not refused.
    """

    reading: int = 400
    writing: int = 200


@dataclass(slots=True)
class App:
    """`handle` is the server, for HTTPS and in-process clients alike."""

    authenticator: Authenticator
    authorizer: Authorizer
    impersonation: Impersonation
    catalog: Catalog
    router: Router
    discovery: Discovery
    aggregator: Aggregator
    meters: Meters
    flows: Flows
    new_uid: Callable[[], str]
    checks: Mapping[str, Check]
    pages: Mapping[str, Page]
    program: str = "0"
    limits: Limits = field(default_factory=Limits)

    async def handle(self, request: Request) -> Response:
        """Every answer is a Response; what goes wrong becomes a Status."""
        return await self.handle_as(request, None)

    async def handle_as(self, request: Request, known: User | None) -> Response:
        """The same for someone whom the listener knows already (the plain loopback port)."""
        info = read_path(request.method, request.path, request.query)
        started = self.meters.begin()
        warnings: list[str] = []
        noted: dict[str, str] = {"audit-id": self._audit_id(request)}
        try:
            response = await self._serve(request, info, warnings, known, noted)
        except ApiError as error:
            response = error_answer(error, request, warnings)
        except StoreFailed as error:
            _log.error("not stored", exc=error, method=request.method, path=request.path)
            why = str(error).rpartition(": ")[2]
            broken = InternalError(f"Internal error occurred: nothing was stored: {why}")
            response = error_answer(broken, request, warnings)
        except Exception as error:  # noqa: BLE001 - one broken request must not end the server
            _log.error("request failed", exc=error, method=request.method, path=request.path)
            broken = InternalError(f"Internal error occurred: {type(error).__name__}")
            response = error_answer(broken, request)
        response.headers.update(noted)
        media = request.headers.get("content-type", "")
        self.meters.end(started, info, response.status, request.query, media)
        return response

    def _audit_id(self, request: Request) -> str:
        """The client's own, or a new one."""
        return request.headers.get("audit-id", "")[:AUDIT_ID_MAX] or self.new_uid()

    async def _serve(
        self,
        request: Request,
        info: RequestInfo,
        warnings: list[str],
        known: User | None,
        noted: dict[str, str],
    ) -> Response:
        """`noted` are headers that every answer gets, whatever becomes of the request."""
        asker = known or self.authenticator.authenticate(request, warnings.append)
        user = self.impersonation.user_for(request, attributes_of(asker, info))
        noted.update(self.flows.headers(user, info))
        if request.query and not self._lasting(info):
            check_timeout(request.query)
        self.authorizer.require(attributes_of(user, info))
        if not info.resource_request:
            return await self._plain(request, user)
        if self._lasting(info):
            return await self._resource(request, info, user, warnings)
        reading = info.verb in READ_ONLY
        limit = self.limits.reading if reading else self.limits.writing
        with self.meters.in_flight(reading) as count:
            if limit and count > limit and MASTERS not in user.groups:
                return too_many()
            return await self._resource(request, info, user, warnings)

    @staticmethod
    def _lasting(info: RequestInfo) -> bool:
        return info.verb == "watch" or info.subresource in LONG_RUNNING

    async def _resource(
        self, request: Request, info: RequestInfo, user: User, warnings: list[str]
    ) -> Response:
        served = self.catalog.find(info.group, info.version, info.resource)
        if served is None:
            remote = self.aggregator.find(info.group, info.version)
            if remote is not None:
                return await self.aggregator.answer(remote, request, user)
            if info.group and info.group not in GROUPS:
                return page_not_found()
            raise no_such_resource()
        call: Call = call_for(request, info, user, custom=served.custom)
        call.warnings = warnings
        return await self.router.route(served, call)

    def _paths(self) -> list[str]:
        """What there is, for whoever looks at the root."""
        found = {path.removesuffix("*") for path in self.pages}
        found |= {"/api", "/apis", "/apis/", "/version"}
        for endpoint in ENDPOINTS:
            found |= {f"/{endpoint}", *(f"/{endpoint}/{name}" for name in self.checks)}
        for group, version_ in (*self.catalog.versions, *self.aggregator.lists()):
            found |= (
                {f"/apis/{group}", f"/apis/{group}/{version_}"} if group else {f"/api/{version_}"}
            )
        return sorted(found)

    async def _plain(self, request: Request, user: User) -> Response:
        path = request.path.rstrip("/") or "/"
        parts = path.split("/")
        own = self._own_page(request, path)
        if own is not None:
            return own
        if parts[1] in ("api", "apis"):
            return await self._discovered(request, user, parts)
        page = self.pages.get(path) or self.pages.get("/" + parts[1] + "/" + "*")
        if page is None and len(parts) > 3:
            page = self.pages.get("/".join(parts[:3]) + "/*")
        return await page(request) if page is not None else page_not_found()

    def _own_page(self, request: Request, path: str) -> Response | None:
        if path == "/":
            return json_answer({"paths": self._paths()}, indent=wants_indent(request))
        if path == "/version":
            if request.method != "GET":
                raise no_such_method()
            return json_answer(version(self.program), indent=True)
        return answer_health(request, self.checks)

    async def _discovered(self, request: Request, user: User, parts: list[str]) -> Response:
        remote = self.aggregator.find(*parts[2:]) if len(parts) == 4 else None
        if remote is not None:
            return await self.aggregator.answer(remote, request, user)
        found = self.discovery.answer(request)
        if found is not None:
            if request.method != "GET" and (parts[1] == "api" or len(parts) == 4):
                raise no_such_method()
            return found
        known = len(parts) > 3 or (parts[1] == "api" and len(parts) > 2)
        if known and (parts[1] == "api" or parts[2] in GROUPS):
            raise no_such_resource()
        return page_not_found()
