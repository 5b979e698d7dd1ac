"""One question to a container: exec, HTTP, TCP or gRPC. An answer is a value, no exception."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from sampan.api.meta import Json
from sampan.kubelet.probes import grpc
from sampan.linux.base.processes import Runtime, RuntimeFailure, StartFailure, Stdio

OUTPUT_LIMIT = 10 << 10
REDIRECTS = 10
MOVED = (301, 302, 303, 307, 308)
USER_AGENT = "kube-probe/1.36"


@dataclass(frozen=True, slots=True)
class Answer:
    """`text` says why not, or what the command printed."""

    good: bool
    text: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """Who is asked."""

    container_id: str
    container: Json
    ip: Callable[[], str]


async def ask(handler: Json, target: Target, runtime: Runtime, timeout_s: float) -> Answer:
    """A probe's or hook's handler, answered within its time."""
    try:
        async with asyncio.timeout(timeout_s):
            if "exec" in handler:
                return await _exec(handler["exec"], target, runtime)
            for kind, how in _OVER_THE_NETWORK.items():
                if kind in handler:
                    return await how(handler[kind], target)
            return Answer(True)
    except TimeoutError:
        return Answer(False, _late(handler, timeout_s))
    except (OSError, ValueError, EOFError) as error:
        return Answer(False, str(error) or type(error).__name__)


def _late(handler: Json, timeout_s: float) -> str:
    if "exec" not in handler:
        return f"context deadline exceeded (timed out after {timeout_s:g}s)"
    words = " ".join(handler["exec"].get("command") or ())
    return f'command timed out: "{words}" timed out after {timeout_s:g}s'


def port_number(wanted: int | str, container: Json) -> int:
    """By number, or by the name of one of the container's ports. Raises ValueError."""
    if isinstance(wanted, int) or wanted.isdigit():
        return int(wanted)
    for port in container.get("ports") or ():
        if port.get("name") == wanted:
            return int(port["containerPort"])
    raise ValueError(f"invalid port number: {wanted}")


async def _exec(wanted: Json, target: Target, runtime: Runtime) -> Answer:
    read, write = os.pipe()
    os.set_blocking(read, False)
    try:
        # One pipe for both: a reader beside it, so that much output never stops the command.
        collector = _Collector(read)
        command = tuple(wanted.get("command") or ())
        with collector:
            code = await runtime.exec(target.container_id, command, Stdio(-1, write, write))
        return Answer(code == 0, collector.text())
    except StartFailure as error:
        return Answer(False, str(error))
    except RuntimeFailure as error:
        return Answer(False, f"rpc error: {error}")
    finally:
        os.close(write)
        os.close(read)


class _Collector:
    """Keeps the first bytes of a pipe and drops the rest."""

    def __init__(self, fd: int) -> None:
        self.fd, self.data = fd, b""

    def __enter__(self) -> None:
        asyncio.get_running_loop().add_reader(self.fd, self._read)

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self.fd)
        self._read()

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.fd, 65536):
                self.data = (self.data + data)[:OUTPUT_LIMIT]

    def text(self) -> str:
        return self.data.decode(errors="replace")


async def _tcp(wanted: Json, target: Target) -> Answer:
    host = wanted.get("host") or target.ip()
    port = port_number(wanted["port"], target.container)
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        return Answer(False, f"dial tcp {_joined(host, port)}: {_reason(error)}")
    writer.close()
    return Answer(True)


async def _grpc(wanted: Json, target: Target) -> Answer:
    status = await grpc.check(target.ip(), int(wanted["port"]), wanted.get("service") or "")
    if status == grpc.SERVING:
        return Answer(True)
    return Answer(False, f'service unhealthy (responded with "{grpc.NAMES.get(status, status)}")')


async def _http(wanted: Json, target: Target) -> Answer:
    scheme = (wanted.get("scheme") or "HTTP").lower()
    host = wanted.get("host") or target.ip()
    port = port_number(wanted["port"], target.container)
    path = wanted.get("path") or "/"
    given = {h["name"].lower(): h["value"] for h in wanted.get("httpHeaders") or ()}
    try:
        for _ in range(REDIRECTS):
            status, headers, body = await _get(scheme, host, port, path, given)
            moved = headers.get("location", "") if status in MOVED else ""
            if not moved.startswith("/"):
                break  # a redirect to another host counts as well
            path = moved
        else:
            return Answer(False, f"stopped after {REDIRECTS} redirects")
    except OSError as error:
        place = _joined(host, port)
        return Answer(False, f'Get "{scheme}://{place}{path}": dial tcp {place}: {_reason(error)}')
    if 200 <= status < 400:
        return Answer(True, body)
    return Answer(False, f"HTTP probe failed with statuscode: {status}")


async def _get(
    scheme: str, host: str, port: int, path: str, given: Mapping[str, str]
) -> tuple[int, dict[str, str], str]:
    """Status, headers and the beginning of the body."""
    tls = None
    if scheme == "https":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        headers = {"host": _joined(host, port), "user-agent": USER_AGENT, "accept": "*/*", **given}
        lines = [f"{name}: {value}" for name, value in headers.items() if value]
        head = "\r\n".join([f"GET {path} HTTP/1.1", *lines, "connection: close"])
        writer.write(head.encode() + b"\r\n\r\n")
        raw = await reader.readuntil(b"\r\n\r\n")
        first, *rest = raw.decode("latin-1").split("\r\n")
        found = {
            name.lower(): value.strip()
            for name, colon, value in (line.partition(":") for line in rest)
            if colon
        }
        status = int(first.split(" ")[1])
        body = await reader.read(OUTPUT_LIMIT) if found.get("content-length") != "0" else b""
        return status, found, body.decode(errors="replace")
    finally:
        writer.close()


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connect: connection refused"
    if isinstance(error, ConnectionResetError):
        return "read: connection reset by peer"
    return (error.strerror or str(error)).lower()


_OVER_THE_NETWORK: dict[str, Callable[[Json, Target], Awaitable[Answer]]] = {
    "httpGet": _http,
    "tcpSocket": _tcp,
    "grpc": _grpc,
}
