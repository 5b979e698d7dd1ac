"""Those who are attached to a container's own input and output, in the launcher's event loop."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import termios
from collections.abc import Callable

from sampan.linux.real.logpump import CHUNK, Tap


class Attachment:
    """One client: a tap into the output, and its input on the way in.

    Nothing here waits: what a full pipe refuses is tried again by `step`.
    """

    def __init__(self, tap: Tap, stdin: int, writer: int, selector: selectors.BaseSelector) -> None:
        self.tap = tap
        self.stdin, self.writer = stdin, writer
        self.selector = selector
        self.pending = b""
        self.listening = False
        self.input_ended: Callable[[], None] = lambda: None
        if stdin >= 0 and writer >= 0:
            os.set_blocking(stdin, False)
            self._listen(True)

    def is_busy(self) -> bool:
        """Whether `step` has something to do."""
        return bool(self.pending) or self.tap.is_behind() or not self.tap.alive

    def step(self) -> bool:
        """Move what waits; False when the client is gone."""
        if self.pending:
            self._push()
        return self.tap.catch_up()

    def close(self) -> None:
        self._listen(False)
        self.tap.close()
        for fd in (self.stdin, self.writer):
            if fd >= 0:
                os.close(fd)
        self.stdin = self.writer = -1

    def _listen(self, wanted: bool) -> None:
        if wanted and not self.listening:
            self.selector.register(self.stdin, selectors.EVENT_READ, self._fill)
        elif self.listening and not wanted:
            self.selector.unregister(self.stdin)
        self.listening = wanted

    def _fill(self) -> None:
        try:
            data = os.read(self.stdin, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.pending += data
            self._push()
            return
        self._listen(False)
        os.close(self.stdin)
        self.stdin = -1
        self._end_if_done()

    def _push(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self.pending:
                self.pending = self.pending[os.write(self.writer, self.pending) :]
        if self.stdin >= 0:
            self._listen(not self.pending)
        else:
            self._end_if_done()

    def _end_if_done(self) -> None:
        if not self.pending and self.writer >= 0:
            os.close(self.writer)
            self.writer = -1
            self.input_ended()


def hold_terminal(master: int, folder: str, has_stdin: bool) -> None:
    """Copy between a container's terminal and its FIFOs until it hangs up.

    A process of its own, so that the terminal outlives a launcher.
    """
    out = os.open(f"{folder}/stdout", os.O_RDWR | os.O_CLOEXEC)
    with selectors.DefaultSelector() as selector:
        selector.register(master, selectors.EVENT_READ)
        if has_stdin:
            fd = os.open(f"{folder}/stdin", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            selector.register(fd, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                try:
                    data = os.read(key.fd, CHUNK)
                except BlockingIOError:
                    continue
                except OSError:
                    return  # EIO: nobody has the terminal open any more
                _write_all(out if key.fd == master else master, data)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def resize_terminal(pid: int, columns: int, rows: int) -> None:
    """Through the process's own standard input, which is the terminal."""
    fd = os.open(f"/proc/{pid}/fd/0", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        size = rows.to_bytes(2, "little") + columns.to_bytes(2, "little") + bytes(4)
        fcntl.ioctl(fd, termios.TIOCSWINSZ, size)
    finally:
        os.close(fd)
