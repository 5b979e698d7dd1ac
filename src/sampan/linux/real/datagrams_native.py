"""The compiled receive loop: replies that are known leave without an instruction of Python's.

The library is `native/` of this repository, an optional package; where it is not installed this
loop cannot be had. Between two batches Python puts rows in and takes them out; during one, the
library alone touches them.
"""

from __future__ import annotations

import ctypes
import importlib.util
import secrets
from collections.abc import Iterable
from pathlib import Path

from sampan.linux.base.datagrams import BATCH, NOTHING_AT_HAND, AtHand, Fast, NewRow, Peer, Slow
from sampan.linux.real.datagrams import bind, plain_address
from sampan.linux.real.datagrams_mmsg import control_address, send_back, sockaddr

BUCKETS = 1 << 16
HITS_ROOM = 4096
_SIGNATURES: dict[str, tuple[object, tuple[object, ...]]] = {
    "new": (ctypes.c_void_p, (ctypes.c_uint32, ctypes.c_uint64)),
    "free": (None, ()),
    "clear": (None, ()),
    "put": (
        ctypes.c_int,
        (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint32, ctypes.c_char_p,
         ctypes.c_size_t, ctypes.c_double, ctypes.c_int, ctypes.c_int,
         ctypes.c_double, ctypes.c_uint32),
    ),
    "turn_era": (None, ()),
    "turn": (
        ctypes.c_int,
        (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t),
    ),
    "drop": (ctypes.c_uint64, (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)),
    "hits": (ctypes.c_size_t, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)),
    "drain": (
        ctypes.c_int,
        (ctypes.c_int, ctypes.c_double, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p),
    ),
    "answer_late": (ctypes.c_int, (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)),
    "send_late": (None, (ctypes.c_int,)),
    "query": (
        ctypes.c_void_p,
        (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
    ),
}  # fmt: skip


def library() -> Path | None:
    """Where the compiled loop lies; None where it is not installed."""
    found = importlib.util.find_spec("sampan_native")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).with_name("answer.abi3.so")
    return path if path.exists() else None


def _loaded(path: Path) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(path))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(loaded, "loop_" + name)
        function.restype = result
        first = () if name == "new" else (ctypes.c_void_p,)
        function.argtypes = [*first, *arguments]
    return loaded


class NativeRows:
    """The library's table."""

    def __init__(self, loaded: ctypes.CDLL) -> None:
        self._library = loaded
        self.handle = loaded.loop_new(BUCKETS, secrets.randbits(64))
        if not self.handle:
            raise MemoryError("no room for the table of replies")
        self.closed = False
        self._idents = (ctypes.c_uint32 * HITS_ROOM)()
        self._hits = (ctypes.c_uint64 * HITS_ROOM)()

    def put(self, key: bytes, below: bool, row: NewRow) -> None:
        self._library.loop_put(
            self.handle, below, key, len(key), row.ident, row.reply, len(row.reply),
            min(row.until, 1e300), row.turns, row.dated, row.since, row.ttl,
        )  # fmt: skip

    def turn(self, key: bytes, reply: bytes) -> None:
        self._library.loop_turn(self.handle, False, key, len(key), reply, len(reply))

    def drop(self, key: bytes, below: bool) -> int:
        return int(self._library.loop_drop(self.handle, below, key, len(key)))

    def turn_era(self) -> None:
        self._library.loop_turn_era(self.handle)

    def hits(self) -> Iterable[tuple[int, int]]:
        found = HITS_ROOM
        while found == HITS_ROOM:
            found = self._library.loop_hits(self.handle, self._idents, self._hits, HITS_ROOM)
            yield from zip(self._idents[:found], self._hits[:found], strict=True)

    def clear(self) -> None:
        self._library.loop_clear(self.handle)

    def free(self) -> None:
        self._library.loop_free(self.handle)


class NativeDatagrams:
    """Raises OSError where the address cannot be had, ImportError without the library."""

    def __init__(self, host: str, port: int) -> None:
        path = library()
        if path is None:
            raise ImportError("sampan-native is not installed: pip install ./native")
        self._library = _loaded(path)
        self._sock = bind(host, port)
        self.port: int = self._sock.getsockname()[1]
        self.rows = NativeRows(self._library)
        self._missed = (ctypes.c_uint8 * BATCH)()
        self._missed_count = ctypes.c_int()
        self._sizes = (ctypes.c_uint32 * 3)()
        self._name, self._control = ctypes.c_void_p(), ctypes.c_void_p()

    def fileno(self) -> int:
        return self._sock.fileno()

    def drain(
        self, fast: Fast, slow: Slow, now: float = 0.0, at_hand: AtHand = NOTHING_AT_HAND
    ) -> int:
        count: int = self._library.loop_drain(
            self.rows.handle, self._sock.fileno(), now, not self.rows.closed, self._missed,
            ctypes.byref(self._missed_count),
        )  # fmt: skip
        # The slots are read before anything else can fill them: `fast` and `slow` do not drain.
        missed = self._missed[: self._missed_count.value]
        for i in missed:
            wire = self._wire(i)
            reply = fast(wire)
            if reply is None:
                reply = slow(wire, self._peer())
            if reply is not None and self._library.loop_answer_late(
                self.rows.handle, i, reply, len(reply)
            ):
                self.send(reply, self._peer())
        if missed:
            self._library.loop_send_late(self.rows.handle, self._sock.fileno())
        return max(count, 0)

    def _wire(self, i: int) -> bytes:
        """Query i of the batch, which is then the one that `_peer` tells of."""
        at = self._library.loop_query(
            self.rows.handle, i, self._sizes,
            ctypes.byref(self._name), ctypes.byref(self._control),
        )  # fmt: skip
        return ctypes.string_at(at, self._sizes[0])

    def _peer(self) -> Peer:
        _, name_size, control_size = self._sizes
        name = ctypes.string_at(self._name.value or 0, name_size)
        control = ctypes.string_at(self._control.value or 0, control_size)
        address, port = sockaddr(name)
        local = control_address(control) or self._sock.getsockname()[0]
        return Peer(address, port, plain_address(local), self.port, (name, control))

    def send(self, wire: bytes, peer: Peer) -> None:
        send_back(self._sock, wire, peer)

    def close(self) -> None:
        self._sock.close()
        self.rows.free()
