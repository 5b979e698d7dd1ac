"""From a container's FIFOs to its log file, and to whoever is attached."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

from sampan.linux.base.logformat import Cutter, stamp
from sampan.linux.base.processes import Output

CHUNK = 65536
TAP_LIMIT = 16 << 20


class LogFile:
    """Appends, and starts a new file when this one is full."""

    def __init__(self, output: Output) -> None:
        self.output = output
        os.makedirs(os.path.dirname(output.path), mode=0o755, exist_ok=True)
        self._open()

    def write(self, data: bytes, now_ns: int) -> None:
        if self.size and self.size + len(data) > self.output.max_bytes:
            self._rotate(now_ns)
        with contextlib.suppress(OSError):  # a full disk must not stop the pod
            os.write(self.fd, data)
        self.size += len(data)

    def close(self) -> None:
        os.close(self.fd)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self.fd = os.open(self.output.path, flags, 0o640)
        self.size = os.fstat(self.fd).st_size

    def _rotate(self, now_ns: int) -> None:
        folder, name = os.path.split(self.output.path)
        when = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now_ns // 1_000_000_000))
        old = f"{self.output.path}.{when}"
        while os.path.exists(old):
            old += "x"  # two in one second
        full, size = self.fd, self.size
        try:
            os.rename(self.output.path, old)
            self._open()
        except OSError:  # a full disk: go on in the old file, and try again much later
            self.fd, self.size = full, size - self.output.max_bytes
            return
        os.close(full)
        kept = sorted(entry for entry in os.listdir(folder) if entry.startswith(name + "."))
        for entry in kept[: max(0, len(kept) - self.output.files + 1)]:
            os.unlink(f"{folder}/{entry}")


class Tap:
    """One who is attached: gets the raw bytes, never holds up the pod."""

    def __init__(self, stdout: int, stderr: int) -> None:
        self.fds = {"stdout": stdout, "stderr": stderr}
        self.waiting = {"stdout": b"", "stderr": b""}
        self.alive = True
        """False once the reader is gone or hopelessly behind."""
        for fd in self.fds.values():
            if fd >= 0:
                os.set_blocking(fd, False)

    def give(self, stream: str, data: bytes) -> None:
        fd = self.fds[stream]
        if fd < 0 or not self.alive:
            return
        self.waiting[stream] += data
        try:
            sent = os.write(fd, self.waiting[stream]) if self.waiting[stream] else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self.alive = False
            return
        self.waiting[stream] = self.waiting[stream][sent:]
        self.alive = len(self.waiting[stream]) <= TAP_LIMIT

    def is_behind(self) -> bool:
        return self.alive and any(self.waiting.values())

    def catch_up(self) -> bool:
        """False once it is no use."""
        for stream in self.fds:
            self.give(stream, b"")
        return self.alive

    def close(self) -> None:
        for fd in self.fds.values():
            if fd >= 0:
                os.close(fd)


class Pump:
    """Both streams of one container."""

    def __init__(self, folder: str, output: Output, streams: tuple[str, ...]) -> None:
        self.file = LogFile(output)
        self.taps: list[Tap] = []
        self.cutters = {name: Cutter(name) for name in streams}
        # Held open both ways: the end of one writer is not the end of the stream.
        flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
        self.fds = {name: os.open(f"{folder}/{name}", flags) for name in streams}

    def step(self, stream: str, now_ns: int) -> bool:
        """Move one chunk; False when there is none now."""
        try:
            data = os.read(self.fds[stream], CHUNK)
        except BlockingIOError:
            return False
        lines = self.cutters[stream].feed(data, stamp(now_ns))
        if lines:
            self.file.write(lines, now_ns)
        for tap in self.taps:
            tap.give(stream, data)
        return True

    def finish(self, now: Callable[[], int]) -> None:
        """Everything that is still in the FIFOs, then the end of the log."""
        for stream, cutter in self.cutters.items():
            while self.step(stream, now()):
                pass
            rest = cutter.flush(stamp(now()))
            if rest:
                self.file.write(rest, now())
            os.close(self.fds[stream])
        self.file.close()
