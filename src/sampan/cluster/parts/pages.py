"""The pages of a part that runs alone: /healthz and its siblings for everybody; /metrics, /configz,
/statusz and /flagz for whom the API server says it allows them.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sampan.api.meta import Json
from sampan.client.client import Client
from sampan.client.delegation import (
    ANONYMOUS,
    MASTERS,
    VERBS,
    Delegation,
    User,
    bearer,
    certified,
)
from sampan.client.http import HttpTransport
from sampan.client.kubeconfig import Connection, load
from sampan.cluster import pki
from sampan.std.about import About
from sampan.std.clock import Clock
from sampan.std.http import Handler, Request, Response
from sampan.std.httpd import Server, listener, serve
from sampan.std.metrics import CONTENT_TYPE, Registry
from sampan.std.tls import load_pair

TEXT = "text/plain; charset=utf-8"
HEALTH = ("/healthz", "/livez", "/readyz")
GUARDED = ("/configz", "/flagz", "/metrics", "/statusz")
VERSION = "1.36.0"


class BadPort(Exception):
    """The pages cannot be served; the message names the flag."""


@dataclass(frozen=True, slots=True)
class Serving:
    """The serving flags that kube-controller-manager and kube-scheduler have alike."""

    bind_address: str = "0.0.0.0"
    secure_port: int = 0
    """Over TLS; 0 = none."""
    http_port: int = 0
    """The same pages without TLS, for everybody; 0 = none."""
    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""
    authentication_kubeconfig: str = ""
    authorization_kubeconfig: str = ""
    open_paths: tuple[str, ...] = HEALTH
    flags: Mapping[str, str] = field(default_factory=dict)


def count_requests(client: Client, registry: Registry) -> None:
    """Show a client's requests on a metrics page, by the names that client-go has."""
    transport = client.transport
    if not isinstance(transport, HttpTransport):
        return
    counter = registry.known_counter(
        "rest_client_requests_total", "Requests by code, method and host.",
        ("code", "method", "host"),
    )  # fmt: skip
    took = registry.known_histogram(
        "rest_client_request_duration_seconds", "Time until the answer.", ("verb", "host")
    )
    host = transport.authority

    def note(method: str, code: str, seconds: float) -> None:
        counter.labels(code, method, host).inc()
        took.labels(method, host).observe(seconds)

    transport.on_answer = note


@dataclass(slots=True)
class Pages:
    """One component's."""

    component: str
    registry: Registry
    serving: Serving
    connection: Connection
    clock: Clock
    config: Mapping[str, Json] = field(default_factory=dict)
    """What /configz shows, by API group."""
    checks: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    """By name, beside ping: empty when all is well, else what is wrong."""
    started: float = field(default_factory=time.time)

    async def open(self) -> list[Server]:
        """Listen where the flags say. Raises BadPort, BadKubeconfig."""
        serving, made = self.serving, []
        self.registry.process()
        self.registry.build(VERSION)
        if serving.secure_port:
            gate, tls = self._gate(), self._tls()
            sock = _listener("--secure-port", serving.bind_address, serving.secure_port)
            made.append(await serve(gate, sock=sock, tls=tls, name=self.component))
        if serving.http_port:
            sock = _listener("--http-port", serving.bind_address, serving.http_port)
            made.append(await serve(self.page, sock=sock, name=self.component))
        return made

    def _gate(self) -> Handler:
        serving = self.serving
        first, second = serving.authentication_kubeconfig, serving.authorization_kubeconfig
        reviewer = load(first) if first else self.connection
        authorizer = load(second) if second else reviewer
        agent = f"{self.component}/delegation"
        clients = reviewer.client(agent), authorizer.client(agent)
        return guarded(self.page, Delegation(*clients, self.clock), serving.open_paths)

    def _tls(self) -> ssl.SSLContext:
        serving = self.serving
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if bool(serving.cert_file) != bool(serving.key_file):
            raise BadPort("--tls-cert-file and --tls-private-key-file go together")
        try:
            if serving.cert_file:
                context.load_cert_chain(serving.cert_file, serving.key_file)
            else:
                subject = pki.Subject("localhost", names=("localhost",))
                pair = pki.new_authority(self.component).issue(subject)
                load_pair(context, pair.certificate, pair.key)
        except (OSError, ssl.SSLError) as error:
            raise BadPort(f"--tls-cert-file {serving.cert_file}: {_said(error)}") from error
        self._trust(context)
        return context

    def _trust(self, context: ssl.SSLContext) -> None:
        """Client certificates of the CA that is named, else of the API server's own."""
        path = self.serving.client_ca_file
        try:
            authority = Path(path).read_text() if path else self.connection.ca.decode()
            if authority:
                context.load_verify_locations(cadata=authority)
                context.verify_mode = ssl.CERT_OPTIONAL
        except (OSError, ssl.SSLError, UnicodeDecodeError) as error:
            raise BadPort(f"--client-ca-file {path}: {_said(error)}") from error

    async def page(self, request: Request) -> Response:
        """Any page, for whoever was let in."""
        path = request.path
        for start in HEALTH:
            if path == start or path.startswith(start + "/"):
                return self._health(start, path[len(start) + 1 :], request.query)
        if path == "/metrics":
            text = self.registry.render().encode()
            return Response(200, {"content-type": CONTENT_TYPE}, text)
        if path == "/configz":
            shown = json.dumps(dict(self.config)).encode()
            return Response(200, {"content-type": "application/json"}, shown)
        if path in ("/statusz", "/flagz"):
            about = About(
                self.component, VERSION, self.started, self.serving.flags, (*GUARDED, *HEALTH)
            )
            return about.statusz(request) if path == "/statusz" else about.flagz(request)
        return _plain(404, "404 page not found\n")

    def _health(self, start: str, name: str, query: str) -> Response:
        checks = {"ping": lambda: "", **self.checks}
        if name:
            if name not in checks:
                return _plain(404, "404 page not found\n")
            why = checks[name]()
            return _plain(500, f"internal server error: {why}\n") if why else _plain(200, "ok")
        rows = {check: test() for check, test in checks.items()}
        lines = [
            f"[-]{check} failed: reason withheld" if why else f"[+]{check} ok"
            for check, why in rows.items()
        ]
        if any(rows.values()):
            return _plain(500, "\n".join([*lines, f"{start[1:]} check failed", ""]))
        if "verbose" in query:
            return _plain(200, "\n".join([*lines, f"{start[1:]} check passed", ""]))
        return _plain(200, "ok")


def guarded(page: Handler, delegation: Delegation, open_paths: Sequence[str]) -> Handler:
    """Pages behind the question who asks, but for those that are for everybody."""

    async def handle(request: Request) -> Response:
        if not _is_open(request.path, open_paths):
            refused = await _refusal(request, delegation)
            if refused is not None:
                return refused
        return await page(request)

    return handle


async def _refusal(request: Request, delegation: Delegation) -> Response | None:
    user: User | None = ANONYMOUS
    if request.certificate is not None:
        user = certified(request.certificate)
    elif token := bearer(request.headers):
        user = await delegation.user_of(token)
    if user is None:
        return _status(401, "Unauthorized", "Unauthorized")
    if MASTERS in user.groups:
        return None
    verb = VERBS.get(request.method, "get")
    if await delegation.may(user, path={"path": request.path, "verb": verb}):
        return None
    text = f'forbidden: User "{user.name}" cannot {verb} path "{request.path}"'
    return _status(403, "Forbidden", text)


def _is_open(path: str, patterns: Sequence[str]) -> bool:
    return any(
        path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern
        for pattern in patterns
    )


def _listener(flag: str, host: str, port: int) -> socket.socket:
    try:
        return listener(host, port)
    except OSError as error:
        text = f"{flag}: cannot listen on {host}:{port}: {_said(error)}; 0 turns it off"
        raise BadPort(text) from error


def _said(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).partition("\n")[0]


def _plain(status: int, text: str) -> Response:
    headers = {"content-type": TEXT, "x-content-type-options": "nosniff"}
    return Response(status, headers, text.encode())


def _status(code: int, reason: str, message: str) -> Response:
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code}  # fmt: skip
    return Response(code, {"content-type": "application/json"}, json.dumps(body).encode())
