"""The moving process: accepts at portals, picks an endpoint in turn, and moves bytes.

It knows nothing of Kubernetes: questions on standard input say which portals there are, answers say
at which ports. It runs alone, so that no JSON of a large cluster ever makes a packet wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from typing import Any

from sampan.proxy.backends.userspace.succession import END, Succession

DIAL_S = 2.0
UDP_IDLE_S = 60.0
CHUNK = 1 << 16
LINGER_S = 60.0
"""How long a proxy may be away before its clients are let down."""
DRAIN_S = 3600.0
"""How long the connections of a process that was taken over may last."""
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class Choice:
    """Who is next: where the client was, otherwise the one whose turn it is."""

    def __init__(self, stays: dict[str, dict[str, tuple[tuple[str, int], float]]]) -> None:
        self.targets: list[tuple[str, int]] = []
        self.serving: list[tuple[str, int]] = []
        self.affinity = ""
        self.affinity_s = 0
        self._turn = 0
        self._stays = stays

    def order(self, client: str, now: float) -> list[tuple[str, int]]:
        """All endpoints, in the order in which they should be tried."""
        if not self.targets:
            return []
        turn = self._turn % len(self.targets)
        self._turn += 1
        order = [*self.targets[turn:], *self.targets[:turn]]
        where, until = self._stays.get(self.affinity, {}).get(client, (None, 0.0))
        if self.affinity and where in order and now < until:
            order.remove(where)
            order.insert(0, where)
        elif self.affinity:
            # Decided before anybody has answered: a client's second connection may begin meanwhile.
            self.answered(client, order[0], now)
        return order

    def answered(self, client: str, target: tuple[str, int], now: float) -> None:
        """Remember where a client was served; every new connection makes it last longer."""
        if self.affinity:
            clients = self._stays.setdefault(self.affinity, {})
            if len(clients) > 65536:
                for one in [c for c, (_, until) in clients.items() if until < now]:
                    del clients[one]
            clients[client] = (target, now + self.affinity_s)


class TcpPortal:
    """One listening socket."""

    def __init__(self, sock: socket.socket, choice: Choice, tasks: set[asyncio.Task[None]]) -> None:
        self.choice = choice
        self._sock = sock
        self._tasks = tasks
        self._acceptor = asyncio.ensure_future(self._accept())

    def close(self) -> None:
        """Accept no more; connections that stand go on."""
        self._acceptor.cancel()
        self._sock.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(self._sock)
            except OSError:
                # Out of descriptors, most likely: let some connections end.
                await asyncio.sleep(0.1)
                continue
            task = asyncio.ensure_future(self._serve(client, address[0]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: socket.socket, source: str) -> None:
        with client:
            client.setblocking(False)
            now = time.monotonic()
            for target in self.choice.order(source, now):
                server = await _dial(target)
                if server is not None:
                    self.choice.answered(source, target, now)
                    with server:
                        await join(client, server)
                    return


async def _dial(target: tuple[str, int]) -> socket.socket | None:
    """A connection to an endpoint, or nothing: then the next one is tried."""
    sock = socket.socket(FAMILIES[6 if ":" in target[0] else 4], socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        async with asyncio.timeout(DIAL_S):
            await asyncio.get_running_loop().sock_connect(sock, target)
    except (OSError, TimeoutError):
        sock.close()
        return None
    except BaseException:
        sock.close()
        raise
    return sock


async def join(one: socket.socket, two: socket.socket) -> None:
    """Move bytes both ways until both sides have ended; a half-closed side stays half closed."""
    with contextlib.suppress(OSError):
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(one, two))
            group.create_task(_pump(two, one))


async def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Splice: the bytes stay in the kernel, in a pipe between the two sockets."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        while True:
            count = await _splice(source.fileno(), writer, CHUNK, read=source.fileno())
            if not count:
                with contextlib.suppress(OSError):
                    sink.shutdown(socket.SHUT_WR)
                return
            while count:
                count -= await _splice(reader, sink.fileno(), count, write=sink.fileno())
    except OSError:
        # A reset on one side ends both.
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
    finally:
        os.close(reader)
        os.close(writer)


async def _splice(source: int, sink: int, count: int, *, read: int = -1, write: int = -1) -> int:
    while True:
        try:
            return os.splice(source, sink, count)
        except BlockingIOError:
            await _ready(read, write)


async def _ready(read: int, write: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    if read >= 0:
        loop.add_reader(read, wake)
    else:
        loop.add_writer(write, wake)
    try:
        await ready
    finally:
        if read >= 0:
            loop.remove_reader(read)
        else:
            loop.remove_writer(write)


class UdpPortal:
    """One bound socket, and a connected one to an endpoint for each client."""

    def __init__(self, sock: socket.socket, choice: Choice) -> None:
        self.choice = choice
        self._sock = sock
        self._flows: dict[Any, tuple[socket.socket, tuple[str, int], float]] = {}
        loop = asyncio.get_running_loop()
        loop.add_reader(sock.fileno(), self._receive)
        self._timer = loop.call_later(UDP_IDLE_S, self._sweep)

    def close(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer.cancel()
        loop.remove_reader(self._sock.fileno())
        for client in list(self._flows):
            self._end(client)
        self._sock.close()

    def changed(self) -> None:
        """Flows to endpoints that are gone move at their next datagram."""
        targets = {*self.choice.targets, *self.choice.serving}
        for client, (_, target, _) in list(self._flows.items()):
            if target not in targets:
                self._end(client)

    def _receive(self) -> None:
        for _ in range(64):
            try:
                data, client = self._sock.recvfrom(CHUNK)
            except OSError:
                return
            flow = self._flow(client)
            if flow is not None:
                with contextlib.suppress(OSError):
                    flow.send(data)

    def _flow(self, client: Any) -> socket.socket | None:
        now = time.monotonic()
        known = self._flows.get(client)
        if known is not None:
            self._flows[client] = (known[0], known[1], now)
            return known[0]
        order = self.choice.order(client[0], now)
        if not order:
            return None
        target = order[0]
        sock = socket.socket(FAMILIES[6 if ":" in target[0] else 4], socket.SOCK_DGRAM)
        sock.setblocking(False)
        try:
            sock.connect(target)
        except OSError:
            sock.close()
            return None
        self.choice.answered(client[0], target, now)
        self._flows[client] = (sock, target, now)
        asyncio.get_running_loop().add_reader(sock.fileno(), self._back, client, sock)
        return sock

    def _back(self, client: Any, sock: socket.socket) -> None:
        try:
            data = sock.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            # The endpoint refused: the next datagram finds another one.
            self._end(client)
            return
        with contextlib.suppress(OSError):
            self._sock.sendto(data, client)

    def _end(self, client: Any) -> None:
        sock, _, _ = self._flows.pop(client)
        asyncio.get_running_loop().remove_reader(sock.fileno())
        sock.close()

    def _sweep(self) -> None:
        limit = time.monotonic() - UDP_IDLE_S
        for client, (_, _, used) in list(self._flows.items()):
            if used < limit:
                self._end(client)
        self._timer = asyncio.get_running_loop().call_later(UDP_IDLE_S, self._sweep)


class Mover:
    """All portals of a node."""

    def __init__(self) -> None:
        self._portals: dict[str, TcpPortal | UdpPortal] = {}
        self._numbers: dict[str, int] = {}
        self.connections: set[asyncio.Task[None]] = set()
        self.succession: Succession | None = None
        """Only of a process that outlives its proxy."""
        self.left = asyncio.Event()
        self.ended = False
        self._taken: set[str] = set()
        self._kinds: dict[str, str] = {}
        """Who asked for a portal: `only` is about one's own."""
        self._stays: dict[str, dict[str, tuple[tuple[str, int], float]]] = {}

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Open and change portals, close others; the numbers of all that were named."""
        errors = {}
        for portal in question.get("portals", ()):
            self._kinds[portal["name"]] = question.get("kind", "")
            try:
                self._set(portal, question.get("addresses", {}))
            except OSError as error:
                errors[portal["name"]] = error.strerror or str(error)
        for name in question.get("close", ()):
            known = self._portals.pop(name, None)
            self._numbers.pop(name, None)
            if known is not None:
                known.close()
        if question.get("only") is not None:
            kind = question.get("kind", "")
            self._close_kind(kind, set(question["only"]))
            if self.succession is not None and kind not in self._taken:
                self._taken.add(kind)
                self.succession.leave(kind)
        asked = [portal["name"] for portal in question.get("portals", ())]
        numbers = {name: self._numbers[name] for name in asked if name in self._numbers}
        return {"numbers": numbers, "errors": errors}

    def told(self, what: str) -> None:
        """Another proxy serves a kind of portals now, or all in another way."""
        if what == END:
            self.ended = True
            self._portals_closed()
        else:
            self._close_kind(what, set())
        if not self._portals:
            self._portals_closed()

    def _portals_closed(self) -> None:
        for portal in self._portals.values():
            portal.close()
        self._portals.clear()
        self.left.set()

    def _close_kind(self, kind: str, keep: set[str]) -> None:
        mine = {name for name, one in self._kinds.items() if one == kind}
        for name in (mine & self._portals.keys()) - keep:
            self._portals.pop(name).close()
            self._numbers.pop(name, None)

    def _set(self, portal: dict[str, Any], addresses: dict[str, str]) -> None:
        name = portal["name"]
        known = self._portals.get(name)
        if known is None:
            known = self._open(portal, addresses)
        known.choice.targets = [(ip, port) for ip, port in portal["targets"]]
        known.choice.serving = [(ip, port) for ip, port in portal.get("serving", ())]
        known.choice.affinity = portal["affinity"]
        known.choice.affinity_s = portal["affinity_s"]
        if isinstance(known, UdpPortal):
            known.changed()

    def _open(self, portal: dict[str, Any], addresses: dict[str, str]) -> TcpPortal | UdpPortal:
        """UDP answers must come from the address that was asked: so both bind to the node's."""
        address = portal.get("address") or addresses[str(portal["family"])]
        tcp = portal["protocol"] == "tcp"
        kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
        sock = socket.socket(FAMILIES[portal["family"]], kind)
        sock.setblocking(False)
        number = portal.get("number", 0)
        if number:
            # Only a port that was asked for: of those that the kernel chooses, UDP sockets that may
            # be reused would be given the same one.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.succession is not None:
                # The process before this one may still listen there.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            sock.bind((address, number))
            if tcp:
                sock.listen(1024)
        except OSError:
            sock.close()
            raise
        choice = Choice(self._stays)
        made = TcpPortal(sock, choice, self.connections) if tcp else UdpPortal(sock, choice)
        self._portals[portal["name"]] = made
        self._numbers[portal["name"]] = sock.getsockname()[1]
        return made


async def main(*, lasting: bool) -> None:
    """Answer questions until standard input ends; with `lasting` serve a while longer, until the
    next proxy's process has taken over.
    """
    loop = asyncio.get_running_loop()
    mover = Mover()
    if lasting:
        mover.succession = Succession(mover.told)
        mover.succession.hold()
    reader = asyncio.StreamReader(limit=1 << 26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    _end_with_asker(reader)
    while line := await reader.readline():
        answer = mover.answer(json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    if mover.succession is not None:
        _let_go_of_output()
        await _linger(mover, mover.succession)


def _end_with_asker(reader: asyncio.StreamReader) -> None:
    """Standard input ends with the asker; but a child that it forked may hold the pipe open."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        # Its own end comes first, where the asker has ended already.
        asker = os.pidfd_open(os.getppid())

        def over() -> None:
            loop.remove_reader(asker)
            os.close(asker)
            reader.feed_eof()

        loop.add_reader(asker, over)


def _let_go_of_output() -> None:
    """Whoever reads what the proxy said waits for the proxy's end, not for this one's."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)


async def _linger(mover: Mover, succession: Succession) -> None:
    """New connections until somebody takes over, then those that stand until they end."""
    try:
        async with asyncio.timeout(LINGER_S):
            await mover.left.wait()
        succession.release()
        async with asyncio.timeout(DRAIN_S):
            while mover.connections and not mover.ended:
                await asyncio.wait(mover.connections)
    except TimeoutError:
        return


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(lasting=sys.argv[1:] == ["lasting"]))
