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
from sampan.linux.real.datagrams import bind
from sampan.linux.real.datagrams_mmsg import bound_address, control_address, send_back, sockaddr

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
    "send_late": (None, (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)),
    "places": (None, (ctypes.c_void_p, ctypes.c_void_p)),
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


def _memory(place: int, size: int) -> memoryview:
    return memoryview((ctypes.c_char * size).from_address(place)).cast("B")


class NativeDatagrams:
    """Raises OSError where the address cannot be had, ImportError without the library."""

    def __init__(self, host: str, port: int) -> None:
        path = library()
        if path is None:
            raise ImportError("sampan-native is not installed: pip install ./native")
        self._library = _loaded(path)
        self._sock = bind(host, port)
        self._host, self.port = bound_address(self._sock)
        self.rows = NativeRows(self._library)
        self._missed = (ctypes.c_uint8 * BATCH)()
        self._missed_count = ctypes.c_int()
        self._late = (ctypes.c_uint32 * (2 * BATCH))()
        places, steps = (ctypes.c_void_p * 4)(), (ctypes.c_uint32 * 3)()
        self._library.loop_places(self.rows.handle, places, steps)
        self._slot, self._name, self._control = steps
        self._data, self._names, self._controls = (
            _memory(place or 0, BATCH * step) for place, step in zip(places, steps, strict=False)
        )
        self._sizes = _memory(places[3] or 0, BATCH * 3 * 4).cast("I")

    def fileno(self) -> int:
        return self._sock.fileno()

    def drain(
        self, fast: Fast, slow: Slow, now: float = 0.0, at_hand: AtHand = NOTHING_AT_HAND
    ) -> int:
        count: int = self._library.loop_drain(
            self.rows.handle, self._sock.fileno(), now, not self.rows.closed, self._missed,
            ctypes.byref(self._missed_count),
        )  # fmt: skip
        missed = self._missed[: self._missed_count.value]
        if missed:
            self._answer(missed, fast, slow)
        return max(count, 0)

    def _answer(self, missed: list[int], fast: Fast, slow: Slow) -> None:
        """Those that the library could not: a reply takes its query's place."""
        data, sizes, slot = self._data, self._sizes, self._slot
        late: list[int | ctypes.c_uint32] = []
        for i in missed:
            at = i * slot
            wire = data[at : at + sizes[3 * i]].tobytes()
            reply = fast(wire)
            if reply is None:
                reply = slow(wire, self._peer(i))
            if reply is None:
                continue
            size = len(reply)
            if size > slot:
                self.send(reply, self._peer(i))
                continue
            data[at : at + size] = reply
            late += (i, size)
        self._late[: len(late)] = late
        self._library.loop_send_late(
            self.rows.handle, self._sock.fileno(), self._late, len(late) // 2
        )

    def _peer(self, i: int) -> Peer:
        _, name_size, control_size = self._sizes[3 * i : 3 * i + 3]
        at = i * self._name
        name = self._names[at : at + name_size].tobytes()
        at = i * self._control
        control = self._controls[at : at + control_size].tobytes()
        address, port = sockaddr(name)
        local = control_address(control) or self._host
        return Peer(address, port, local, self.port, (name, control))

    def send(self, wire: bytes, peer: Peer) -> None:
        send_back(self._sock, wire, peer)

    def close(self) -> None:
        self._sock.close()
        self.rows.free()
