"""Network namespaces pinned as files: made, entered for a moment, removed (network_namespaces(7)).

A namespace belongs to a thread: `inside` changes only the calling thread and always changes back.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator

CLONE_NEWNET = 0x40000000
MS_BIND, MS_REC, MS_SHARED, MNT_DETACH = 4096, 16384, 1 << 20, 2
libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def enter(path: str) -> None:
    """Move the calling thread into the namespace at `path`, for good."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(libc.setns(fd, CLONE_NEWNET), f"enter network namespace {path}")
    finally:
        os.close(fd)


@contextlib.contextmanager
def inside(path: str) -> Iterator[None]:
    """Do something in another network namespace; sockets opened there stay there."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(path)
        try:
            yield
        finally:
            _checked(libc.setns(home, CLONE_NEWNET), "return to the own network namespace")
    finally:
        os.close(home)


def create(path: str) -> None:
    """Make a namespace pinned at `path`. Raises FileExistsError when something is there."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    refusal: list[OSError] = []

    def work() -> None:
        # A thread of its own: unshare cannot be taken back without a second descriptor.
        try:
            _checked(libc.unshare(CLONE_NEWNET), "make a network namespace")
            source = b"/proc/thread-self/ns/net"
            _checked(libc.mount(source, path.encode(), None, MS_BIND, None), f"pin {path}")
        except OSError as error:
            refusal.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if refusal:
        os.unlink(path)
        raise refusal[0]


def is_pinned(path: str) -> bool:
    """Whether a namespace is really there (a reboot leaves at most an empty file)."""
    try:
        return os.stat(path).st_dev != os.stat(os.path.dirname(path)).st_dev
    except FileNotFoundError:
        return False


def remove(path: str) -> None:
    """Unpin; the kernel frees it with its last process. An absent one is no error."""
    while libc.umount2(path.encode(), MNT_DETACH) == 0:
        pass
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
