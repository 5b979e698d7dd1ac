"""One moving process after the other: the old one serves until the new one's rules are in force.

A moving process whose proxy ended goes on for a while, under a name that its network namespace has
once. The next proxy's process tells whoever has the name to leave, kind by kind of portals; a
proxy in a mode without portals tells it to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable

NAME = "\0sampan-mover"
"""An abstract address: it belongs to the network namespace, and goes with its holder."""
END = "end"
AGAIN_S = 0.1


def tell(what: str, proxy: int) -> None:
    """Tell whoever has the name: a kind to leave, or to end; `proxy` is the pid of who says so."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.sendto(f"{proxy} {what}".encode(), NAME)


class Succession:
    """The name, held as soon as nobody else has it. `told` gets what another proxy says."""

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told
        self._proxy = os.getppid()
        self._sock: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None

    def hold(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            sock.bind(NAME)
        except OSError:
            # The one before has not left yet.
            sock.close()
            self._timer = loop.call_later(AGAIN_S, self.hold)
            return
        self._sock = sock
        loop.add_reader(sock.fileno(), self._read)

    def leave(self, kind: str) -> None:
        """Tell the one before that this kind of portals is served here now."""
        tell(kind, self._proxy)

    def release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock.fileno())
            self._sock.close()
            self._sock = None

    def _read(self) -> None:
        assert self._sock is not None
        with contextlib.suppress(BlockingIOError):
            proxy, _, what = self._sock.recv(100).decode().partition(" ")
            if proxy != str(self._proxy):
                self._told(what)
