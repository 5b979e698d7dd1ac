"""The API server with its files and sockets: flags to a running process.

State is `<data-dir>/state.db`, keys and certificates `<data-dir>/pki`. What is missing there is
made; what the flags name is taken from where they say.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from sampan.api.resource import Resource
from sampan.apiserver.admission.table import UnknownPlugin
from sampan.apiserver.assemble import ApiServer, assemble
from sampan.apiserver.authn.static import StaticTokens
from sampan.apiserver.authn.user import AUTHENTICATED, MASTERS, User
from sampan.cluster.parts.apiserver_flags import (
    BadFlag,
    Flags,
    authorization,
    options_for,
    port_range,
    server_context,
    signing_key,
    static_tokens,
)
from sampan.std import log
from sampan.std.clock import SystemClock
from sampan.std.http import Handler, Request, Response
from sampan.std.httpd import Server, listener, serve
from sampan.store.base import Store, StoreBusy, StoreFailed

_log = log.get("apiserver")

REFUSALS = (BadFlag, UnknownPlugin, StoreBusy, StoreFailed)
"""What `start` raises when it cannot be done as asked; one line each."""


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
    tokens = own_tokens or static_tokens(flags.token_auth_file)
    folder = flags.data_dir / "pki"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    port_range(flags.service_node_port_range)
    authorization(flags.authorization_modes)
    key = signing_key(flags, folder)
    tls = server_context(flags, folder)
    secure = listener(flags.bind_address, flags.secure_port)
    plain = listener("127.0.0.1", flags.insecure_port) if flags.insecure_port else None
    options = options_for(flags, folder, secure.getsockname()[1], tokens)
    store = await open_store(flags)
    try:
        api = await assemble(store, catalog(), key, options, SystemClock())
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
