"""The API server with its files and sockets: flags to a running process.

State is `<data-dir>/state.db`, keys and certificates `<data-dir>/pki`. What is missing there is
made; what the flags name is taken from where they say.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sampan.api.resource import Resource
from sampan.apiserver.admission.table import UnknownPlugin
from sampan.apiserver.assemble import ApiServer, Options, assemble
from sampan.apiserver.authn.static import StaticTokens
from sampan.apiserver.authn.tokens import VerifyingKey, load_key, load_public_key
from sampan.apiserver.authn.user import AUTHENTICATED, MASTERS, User
from sampan.apiserver.bootstrap import Cluster
from sampan.cluster import pki
from sampan.std import log
from sampan.std.clock import SystemClock
from sampan.std.http import Handler, Request, Response
from sampan.std.httpd import Server, listener, serve
from sampan.store.base import Store, StoreBusy, StoreFailed

_log = log.get("apiserver")

SERVICE_NAMES = (
    "kubernetes", "kubernetes.default", "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local", "localhost",
)  # fmt: skip


class BadFlag(Exception):
    """A flag cannot be used; the message names it."""


REFUSALS = (BadFlag, UnknownPlugin, StoreBusy, StoreFailed)
"""What `start` raises when it cannot be done as asked; one line each."""


@dataclass(frozen=True, slots=True)
class Flags:
    """kube-apiserver's, as far as they mean something here."""

    data_dir: Path
    bind_address: str = "0.0.0.0"
    secure_port: int = 6443
    advertise_address: str = ""
    service_cluster_ip_range: str = "10.96.0.0/12"
    service_node_port_range: str = "30000-32767"
    token_auth_file: str = ""
    client_ca_file: str = ""
    tls_cert_file: str = ""
    tls_private_key_file: str = ""
    service_account_signing_key_file: str = ""
    service_account_key_files: tuple[str, ...] = ()
    service_account_issuer: str = "https://kubernetes.default.svc"
    api_audiences: tuple[str, ...] = ()
    enable_admission_plugins: tuple[str, ...] = ()
    disable_admission_plugins: tuple[str, ...] = ()
    anonymous_auth: bool = True
    insecure_port: int = 0
    event_ttl_s: float = 3600.0
    kubelet_certificate_authority: str = ""
    kubelet_client_certificate: str = ""
    kubelet_client_key: str = ""
    names: tuple[str, ...] = ()
    """More names and addresses for the serving certificate."""
    endpoints: tuple[str, ...] = ()
    """Addresses behind `default/kubernetes` where they are not the advertised one."""


@dataclass(slots=True)
class Running:
    """An API server that answers; `close` ends it and its store."""

    api: ApiServer
    servers: list[Server] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.servers[0].port

    async def close(self) -> None:
        for server in self.servers:
            await server.close()
        if self.api.follower is not None:
            self.api.follower.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.api.follower
        await self.api.parts.store.close()


async def start(
    flags: Flags, *, own_tokens: StaticTokens | None = None, sockets: Sequence[socket.socket] = ()
) -> Running:
    """Open the store, make what is missing, listen, at `sockets` too (TLS).

    `own_tokens` are those of components in this process. Raises BadFlag, StoreBusy, OSError.
    """
    ranges = service_ranges(flags.service_cluster_ip_range)
    tokens = own_tokens or static_tokens(flags.token_auth_file)
    node_ports = port_range(flags.service_node_port_range)
    folder = flags.data_dir / "pki"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    first = tuple(first_address(text) for text in ranges)
    advertised = flags.endpoints or advertise_address(flags)
    tls = server_context(flags, folder, (*first, *advertised))
    secure = listener(flags.bind_address, flags.secure_port)
    plain = listener("127.0.0.1", flags.insecure_port) if flags.insecure_port else None
    port = secure.getsockname()[1]
    ca_file = Path(flags.client_ca_file) if flags.client_ca_file else folder / "ca.crt"
    cluster = Cluster(ranges, first, advertised, port, ca_file.read_text())
    options = Options(
        cluster=cluster,
        issuer=flags.service_account_issuer,
        audiences=flags.api_audiences,
        node_ports=node_ports,
        old_keys=tuple(_public_key(path) for path in flags.service_account_key_files),
        tokens=tokens,
        anonymous=flags.anonymous_auth,
        enable_admission=flags.enable_admission_plugins,
        disable_admission=flags.disable_admission_plugins,
        event_ttl_s=flags.event_ttl_s,
        kubelet_tls=kubelet_context(flags, folder),
    )
    store = await open_store(flags)
    try:
        api = await assemble(
            store, catalog(), load_key(_signing_key(flags, folder)), options, SystemClock()
        )
    except BaseException:
        await store.close()
        raise
    running = Running(api)
    running.servers.append(await serve(api.app.handle, sock=secure, tls=tls, name="secure"))
    for sock in sockets:
        running.servers.append(await serve(api.app.handle, sock=sock, tls=tls, name="secure"))
    if plain is not None:
        running.servers.append(await serve(as_administrator(api), sock=plain, name="insecure"))
    return running


def catalog() -> Sequence[Resource]:
    from sampan.resources.catalog import CATALOG

    return CATALOG


async def open_store(flags: Flags) -> Store:
    from sampan.store.sqlite import SqliteStore

    return SqliteStore(flags.data_dir / "state.db")


def as_administrator(api: ApiServer) -> Handler:
    """The old plain port: whoever reaches it on this machine is root anyway."""
    user = User("system:unsecured", groups=(MASTERS, AUTHENTICATED))

    async def handle(request: Request) -> Response:
        return await api.app.handle_as(request, user)

    return handle


# -- flags to values


def service_ranges(text: str) -> tuple[str, ...]:
    """One range, or one of each family."""
    found = []
    for part in text.split(","):
        try:
            found.append(ipaddress.ip_network(part.strip()))
        except ValueError as error:
            raise BadFlag(f"--service-cluster-ip-range: {error}") from error
    if len(found) > 2 or len({network.version for network in found}) != len(found):
        raise BadFlag("--service-cluster-ip-range: at most one range of each address family")
    return tuple(str(network) for network in found)


def first_address(range_text: str) -> str:
    network = ipaddress.ip_network(range_text)
    return str(network.network_address + 1)


def port_range(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    if not (dash and low.isdigit() and high.isdigit() and int(low) <= int(high) < 65536):
        raise BadFlag(f"--service-node-port-range: {text!r} is no range such as 30000-32767")
    return int(low), int(high)


def static_tokens(path: str) -> StaticTokens:
    if not path:
        return StaticTokens()
    try:
        return StaticTokens(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise BadFlag(f"--token-auth-file: {path}: {error}") from error


def advertise_address(flags: Flags) -> tuple[str, ...]:
    """Where `default/kubernetes` leads; loopback cannot be an endpoint."""
    if flags.advertise_address:
        return (flags.advertise_address,)
    address = ipaddress.ip_address(flags.bind_address)
    if not address.is_unspecified and not address.is_loopback:
        return (flags.bind_address,)
    return (own_address(),)


def own_address() -> str:
    """The address that the machine would speak from; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "192.0.2.1"
        found: str = probe.getsockname()[0]
        return found


def server_context(flags: Flags, folder: Path, addresses: Sequence[str]) -> ssl.SSLContext:
    """TLS with our own certificate or the given one; client certificates are welcome."""
    if bool(flags.tls_cert_file) != bool(flags.tls_private_key_file):
        raise BadFlag("--tls-cert-file and --tls-private-key-file go together")
    if not (folder / "ca.crt").exists():
        pki.authority(folder)
    if flags.tls_cert_file:
        pair = Path(flags.tls_cert_file), Path(flags.tls_private_key_file)
    else:
        names = [*SERVICE_NAMES, "127.0.0.1", "::1", *addresses, *flags.names]
        if not ipaddress.ip_address(flags.bind_address).is_unspecified:
            names.append(flags.bind_address)
        pair = pki.serving_pair(folder, "apiserver", names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(*pair)
        context.load_verify_locations(flags.client_ca_file or folder / "ca.crt")
    except (OSError, ssl.SSLError) as error:
        raise BadFlag(
            f"the serving certificate or the client CA cannot be read: {error}"
        ) from error
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def kubelet_context(flags: Flags, folder: Path) -> ssl.SSLContext:
    """Our certificate for kubelets; theirs is checked only by a CA that a flag names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if flags.kubelet_client_certificate:
        pair = Path(flags.kubelet_client_certificate), Path(flags.kubelet_client_key)
    else:
        subject = pki.Subject("kube-apiserver-kubelet-client", ("system:masters",))
        pair = pki.client_pair(folder, "apiserver-kubelet-client", subject)
    try:
        if flags.kubelet_certificate_authority:
            context.load_verify_locations(flags.kubelet_certificate_authority)
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(*pair)
    except (OSError, ssl.SSLError) as error:
        raise BadFlag(f"--kubelet-...: a certificate cannot be read: {error}") from error
    return context


def _public_key(path: str) -> VerifyingKey:
    try:
        return load_public_key(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise BadFlag(f"--service-account-key-file: {path}: {error}") from error


def _signing_key(flags: Flags, folder: Path) -> bytes:
    if not flags.service_account_signing_key_file:
        return pki.signing_key(folder)
    try:
        return Path(flags.service_account_signing_key_file).read_bytes()
    except OSError as error:
        raise BadFlag(f"--service-account-signing-key-file: {error}") from error


# -- the process


def run(flags: Flags) -> int:
    """Serve until SIGTERM or SIGINT. Raises BadFlag, StoreBusy, OSError before it serves."""
    raise_file_limit()
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    asyncio.run(_run(flags))
    return 0


async def _run(flags: Flags) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = await start(flags)
    _log.info("serving", address=flags.bind_address, port=running.port, pid=os.getpid())
    following = asyncio.create_task(running.api.run())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    await running.close()
    if not stop.is_set():
        following.result()


def raise_file_limit() -> None:
    """Each watcher is a connection: take as many as the machine gives."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
