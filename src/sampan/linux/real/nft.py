"""nftables of the current network namespace: libnftables for scripts, raw nfnetlink for elements.

The raw path exists because one change must cost microseconds: libnftables and its cache cost ten
times as much. It only ever sends elements of sets that a script made, so `nft list` stays true.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import stat
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence

from sampan.linux.base.nft import Element, Elements, NftError, SetRef
from sampan.linux.real import netns
from sampan.linux.real.nft_dump import (
    DATA,
    KEY,
    KEY_END,
    MOST,
    NETLINK_ERROR,
    PATIENCE_S,
    Torn,
    answer,
    attributes,
    differences,
    listed,
    messages,
)

NETLINK_NETFILTER = 12
SUBSYSTEM = 10
NEWGEN, GETTABLE, GETSET, NEWSETELEM, GETSETELEM, DELSETELEM = 15, 1, 10, 12, 13, 14
BATCH_BEGIN, BATCH_END = 0x10, 0x11
REQUEST, ACK, DUMP, CREATE = 0x1, 0x4, 0x300, 0x400
NESTED = 0x8000
FAMILIES = {"inet": 1, "ip": 2, "ip6": 10}
SOL_NETLINK, ADD_MEMBERSHIP, CAP_ACK, GROUP_NFTABLES = 270, 1, 10, 7
SO_SNDBUFFORCE, SO_RCVBUFFORCE, SO_ATTACH_FILTER = 32, 33, 26
ROOM = 8 << 20
"""For the answers of one question, each in a packet of its own."""
ATTRIBUTE_LIMIT = 60_000
STATELESS, TERSE = 1 << 2, 1 << 11


DUMPS = 5
"""So often a set is read anew when somebody wrote in the middle of it."""
MANY = 50_000
"""A set with so many elements is asked for each that should be there rather than dumped."""
COUNT = 20
"""The attribute that tells a set's size, from Linux 6.16 on."""
SIOCGSKNS = 0x894C
"""The network namespace of a socket."""
LOST = 100
"""So many errors in a row mean that a socket is broken, not that its queue overflowed."""

LIBRARY = threading.Lock()
"""libnftables keeps state of its own between its contexts: one thread at a time."""


class RealNft:
    """Implements `Nft`; keeps one netlink socket and one libnftables context."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._socket = _netlink()
        self._sequence = 0
        self._script = _Script()
        self._lock = threading.Lock()
        self._watches: list[RealWatch] = []

    def run(self, script: str) -> str:
        with self._lock:
            return self._script.run(script)

    def listing(self, family: str, table: str) -> str:
        """Ask for the whole family: `list table` fetches every element first, terse or not. For a
        table that is not there nothing is fetched: others may have very many rules.
        """
        with self._lock:
            if not self._has(family, table):
                return ""
            text = self._script.run(f"list ruleset {family}", TERSE | STATELESS)
        head = f"table {family} {table} {{\n"
        found = text.partition(head)[2].partition("\n}\n")[0]
        return f"{head}{found}\n}}\n" if head in text else ""

    def commit(self, delete: Elements, add: Elements) -> None:
        with self._lock:
            self._sequence += 1
            self._send(_batch(self._sequence, delete, add))

    def elements(
        self, ref: SetRef, guess: Mapping[bytes, Element] | None = None
    ) -> Mapping[bytes, Element]:
        body = _header(ref.family) + _text(1, ref.table) + _text(2, ref.name)
        with self._lock:
            try:
                if guess and len(guess) >= MANY:
                    found = self._checked(body, guess)
                    if found is not None:
                        return found
                return self._dumped(body)
            except OSError as error:
                if isinstance(error, TimeoutError):
                    self._reopen()
                raise NftError(f"{ref.name} cannot be read: {error.strerror}") from error

    def _dumped(self, body: bytes) -> dict[bytes, Element]:
        seen: dict[bytes, Element] = {}
        for _ in range(DUMPS):
            found: dict[bytes, Element] = {}
            try:
                self._ask(GETSETELEM, REQUEST | DUMP, body)
                for part in answer(self._socket, self._sequence):
                    found.update([(one[0], one) for one in listed(part[4:])])
                return found
            except Torn:
                # Where somebody writes all the time, what was seen in any of the dumps counts.
                seen.update(found)
        return seen

    def _checked(
        self, body: bytes, guess: Mapping[bytes, Element]
    ) -> Mapping[bytes, Element] | None:
        """What a set holds, told without a dump; None where that cannot be. If it holds as many as
        were found at the keys of the guess, it holds no others.
        """
        size = self._size(body)
        if size < len(guess) - MOST or size > len(guess):
            return None

        def ask(elements: bytes) -> None:
            wanted = _attribute(3 | NESTED, elements)
            self._ask(GETSETELEM, REQUEST | ACK, body + wanted)

        # No room, no answer: then the dump will tell.
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, self._room)
            other = differences(self._socket, ask, guess)
            if other is not None and self._size(body) == size:
                there = {**guess, **other} if other else guess
                found = {key: one for key, one in there.items() if one} if other else guess
                return found if len(found) == size else None
        self._reopen()
        return None

    def _has(self, family: str, table: str) -> bool:
        try:
            self._ask(GETTABLE, REQUEST | ACK, _header(family) + _text(1, table))
            return bool(list(answer(self._socket, self._sequence)))
        except Torn:
            return True
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise NftError(f"{table} cannot be read: {error.strerror}") from error

    def _size(self, body: bytes) -> int:
        """How many elements a set has; -1 where the kernel does not say."""
        self._ask(GETSET, REQUEST | ACK, body)
        try:
            told = [dict(attributes(part[4:])) for part in answer(self._socket, self._sequence)]
        except Torn:
            return -1
        return struct.unpack("!I", told[0][COUNT])[0] if told and COUNT in told[0] else -1

    def _ask(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        self._socket.send(_message((SUBSYSTEM << 8) | kind, flags, body, self._sequence))

    def _reopen(self) -> None:
        """A socket in the middle of an answer takes no other question. The next one is in the same
        namespace, and its port is the same: watches know our own transactions by it.
        """
        port = self._socket.getsockname()[0]
        space = fcntl.ioctl(self._socket, SIOCGSKNS)
        self._socket.close()
        try:
            with netns.inside(f"/proc/self/fd/{space}"):
                self._socket = _netlink(port)
        finally:
            os.close(space)

    def watch(self, tables: Sequence[tuple[str, str]]) -> RealWatch:
        ports = (self._socket.getsockname()[0], self._script.port)
        made = RealWatch(tables, ports)
        self._watches.append(made)
        return made

    def close(self) -> None:
        for one in self._watches:
            one.close()
        self._socket.close()
        self._script.close()

    def _send(self, batch: bytes) -> None:
        """The kernel answers before send returns: every reply is already waiting."""
        failure = 0
        lost = 0
        acknowledged = False
        try:
            _grow(self._socket, len(batch) + 65536)
            self._socket.send(batch)
        except OSError as error:
            failure = error.errno or errno.EIO
        while True:
            try:
                data = self._socket.recv(1 << 17, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError as error:
                # The queue of answers overflowed: what is left in it is read all the same, so
                # that no later transaction takes it for its own.
                failure = failure or error.errno or errno.EIO
                lost += 1
                if lost > LOST:
                    break
                continue
            for kind, payload in messages(data):
                if kind == NETLINK_ERROR:
                    code = -struct.unpack_from("=i", payload)[0]
                    failure = failure or code
                    acknowledged = acknowledged or not code
        if failure or not acknowledged:
            raise NftError(os.strerror(failure) if failure else "no acknowledgement")


class RealWatch:
    """Implements `Watch` by the kernel's notifications; a socket filter keeps our own away, which
    would overflow the queue at every large load.
    """

    def __init__(self, tables: Sequence[tuple[str, str]], own_ports: Sequence[int]) -> None:
        self._tables = {(FAMILIES[family], name.encode() + b"\0") for family, name in tables}
        self._socket = _netlink()
        self._socket.setblocking(False)
        _ignore(self._socket, own_ports)
        self._socket.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, GROUP_NFTABLES)

    def fileno(self) -> int:
        return self._socket.fileno()

    def foreign(self) -> bool:
        found = False
        while True:
            try:
                data = self._socket.recv(1 << 17)
            except BlockingIOError:
                return found
            except OSError:
                # The queue overflowed: something was missed, so look for yourself.
                return True
            found = found or any(self._ours(kind, body) for kind, body in messages(data))

    def close(self) -> None:
        self._socket.close()

    def _ours(self, kind: int, payload: bytes) -> bool:
        if kind >> 8 != SUBSYSTEM or kind & 0xFF == NEWGEN:
            return False
        # Attribute 1 is the table's name in every message of this subsystem but NEWGEN.
        return (payload[0], dict(attributes(payload[4:])).get(1, b"")) in self._tables


def _ignore(sock: socket.socket, ports: Sequence[int]) -> None:
    """A classic BPF program: drop what was caused from these netlink ports (nlmsg_pid, at 12)."""
    code = [(0x20, 0, 0, 12)]
    for index, port in enumerate(ports):
        # Loads are big-endian, the header is in the machine's order.
        code.append((0x15, len(ports) - index, 0, socket.htonl(port)))
    code += [(0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0)]
    program = b"".join(struct.pack("=HBBI", *one) for one in code)
    buffer = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("@HP", len(code), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, head)


class _Script:
    """libnftables by ctypes: a script in, its output or its error text out."""

    def __init__(self) -> None:
        try:
            library = ctypes.CDLL("libnftables.so.1")
        except OSError as error:
            raise NftError("libnftables.so.1 is missing; install the package nftables") from error
        library.nft_ctx_new.restype = ctypes.c_void_p
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(library, name).restype = ctypes.c_char_p
        self._library = library
        self._context: ctypes.c_void_p | None
        self._context, self.port = _context(library)

    def run(self, script: str, flags: int = 0) -> str:
        library = self._library
        with LIBRARY:
            # A thread may still be at work while the proxy ends.
            context = self._context
            if context is None:
                raise NftError("closed")
            library.nft_ctx_output_set_flags(context, flags)
            code = library.nft_run_cmd_from_buffer(context, script.encode())
            output: bytes = library.nft_ctx_get_output_buffer(context) or b""
            error: bytes = library.nft_ctx_get_error_buffer(context) or b""
        if code:
            lines = error.decode(errors="replace").strip().splitlines()
            raise NftError(" ".join(lines[:2]) or "libnftables failed without a word")
        return output.decode()

    def close(self) -> None:
        with LIBRARY:
            context, self._context = self._context, None
            if context is not None:
                self._library.nft_ctx_free(context)


def _context(library: ctypes.CDLL) -> tuple[ctypes.c_void_p, int]:
    """A libnftables context and the port of the netlink socket that it opens for itself."""
    before = _own_ports()
    context = ctypes.c_void_p(library.nft_ctx_new(0))
    library.nft_ctx_buffer_output(context)
    library.nft_ctx_buffer_error(context)
    # The socket has no port before it first speaks. Most questions, even that for the tables, fetch
    # every element of every set first: seconds and half a gigabyte where there are many.
    library.nft_ctx_output_set_flags(context, TERSE)
    library.nft_run_cmd_from_buffer(context, b"list sets ip")
    fresh = _own_ports() - before
    if not fresh:
        raise NftError("libnftables opened no netlink socket; may this process use nftables?")
    return context, fresh.pop()


def _own_ports() -> set[int]:
    """The ports of all nfnetlink sockets of this process."""
    ports = set()
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
        except OSError:
            # The descriptor of the listing itself, which is closed by now.
            continue
        with socket.socket(fileno=os.dup(descriptor)) as twin:
            if twin.family == socket.AF_NETLINK and twin.proto == NETLINK_NETFILTER:
                ports.add(twin.getsockname()[0])
    return ports


def _netlink(port: int = 0) -> socket.socket:
    sock = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
    )
    sock.bind((port, 0))
    # An answer that never ends must hold nobody up.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", PATIENCE_S, 0))
    # A refusal without the refused message: thousands of them would overflow the queue.
    sock.setsockopt(SOL_NETLINK, CAP_ACK, 1)
    return sock


def _grow(sock: socket.socket, size: int) -> None:
    """Let a socket send a whole transaction, beyond the machine's usual limit."""
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < 2 * size:
        sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, size)


def _message(kind: int, flags: int, body: bytes, sequence: int) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body


def _header(family: str) -> bytes:
    return struct.pack("=BBH", FAMILIES[family], 0, 0)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _batch(sequence: int, delete: Elements, add: Elements) -> bytes:
    edge = struct.pack("=BBH", 0, 0, socket.htons(SUBSYSTEM))
    parts = [_message(BATCH_BEGIN, REQUEST, edge, sequence)]
    messages = [
        *_changes(DELSETELEM, REQUEST, delete, sequence),
        *_changes(NEWSETELEM, REQUEST | CREATE, add, sequence),
    ]
    if messages:
        # Only the last message is acknowledged; a refused one answers for itself.
        last = messages.pop()
        flags = struct.unpack_from("=H", last, 6)[0] | ACK
        parts += [*messages, last[:6] + struct.pack("=H", flags) + last[8:]]
    parts.append(_message(BATCH_END, REQUEST, edge, sequence))
    return b"".join(parts)


def _changes(kind: int, flags: int, sets: Elements, sequence: int) -> Iterator[bytes]:
    for ref, elements in sets.items():
        if not elements:
            continue
        with_data = kind == NEWSETELEM and bool(elements[0].data)
        head = _header(ref.family) + _text(1, ref.table) + _text(2, ref.name)
        for part in _parts(elements, with_data):
            body = head + _attribute(3 | NESTED, part)
            yield _message((SUBSYSTEM << 8) | kind, flags, body, sequence)


def _parts(elements: Sequence[Element], with_data: bool) -> Iterator[bytes]:
    """The elements of one set, in attributes small enough for their 16-bit length."""
    first = elements[0]
    size = len(_element(first, with_data))
    step = max(1, ATTRIBUTE_LIMIT // size)
    if first.key_end:
        for start in range(0, len(elements), step):
            yield b"".join(_element(one, False) for one in elements[start : start + step])
        return
    # All elements of a set have the same shape: everything but key and data is constant.
    whole = _element(first, with_data)
    lead = whole[: 4 + 4 + 4]
    middle = whole[12 + len(first.key) : 12 + len(first.key) + 8] if with_data else b""
    for start in range(0, len(elements), step):
        some = elements[start : start + step]
        if with_data:
            yield b"".join([lead + one[0] + middle + one[1] for one in some])
        else:
            yield b"".join([lead + one[0] for one in some])


def _element(element: Element, with_data: bool) -> bytes:
    body = _attribute(KEY | NESTED, _attribute(1, element.key))
    if with_data:
        body += _attribute(DATA | NESTED, _attribute(1, element.data))
    if element.key_end:
        body += _attribute(KEY_END | NESTED, _attribute(1, element.key_end))
    return _attribute(1 | NESTED, body)
