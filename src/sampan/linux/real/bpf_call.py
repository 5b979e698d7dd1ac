"""bpf(2) by its number, and what the kernel tells of programs and maps."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import platform
import struct
from collections.abc import Iterator

from sampan.linux.base.bpf import BpfError

SYSCALL = {"x86_64": 321, "aarch64": 280}
MAP_CREATE, MAP_UPDATE, MAP_DELETE, MAP_NEXT, PROG_LOAD = 0, 2, 3, 4, 5
MAP_LOOKUP, PROG_ATTACH, PROG_DETACH, PROG_FD, MAP_FD, INFO, QUERY = 1, 8, 9, 13, 14, 15, 16
LOOKUP_BATCH, UPDATE_BATCH = 24, 26
SOCK_ADDR, ALLOW_MULTI = 18, 2
FSOPEN, FSCONFIG, FSMOUNT = 430, 431, 432
FSCONFIG_CREATE = 6
ROOTS = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
PREFIX = "sp_"
"""Of the names of our programs and maps; the kernel allows 15 characters."""


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@functools.cache
def _number() -> int:
    return SYSCALL.get(platform.machine(), -1)


def bpf(command: int, attribute: bytes) -> int:
    buffer = ctypes.create_string_buffer(attribute, max(144, len(attribute)))
    code: int = _library().syscall(_number(), command, buffer, len(buffer))
    if code < 0:
        failure = ctypes.get_errno()
        raise OSError(failure, os.strerror(failure))
    return code


def attached(group: int, kind: int) -> list[int]:
    """Descriptors of our programs at a cgroup."""
    numbers = (ctypes.c_uint32 * 64)()
    attribute = struct.pack("=IIIIQI", group, kind, 0, 0, ctypes.addressof(numbers), 64)
    buffer = ctypes.create_string_buffer(attribute, 144)
    if _library().syscall(_number(), QUERY, buffer, len(buffer)) < 0:
        failure = ctypes.get_errno()
        raise BpfError(f"the cgroup cannot be asked for programs: {os.strerror(failure)}")
    (count,) = struct.unpack_from("=I", buffer.raw, 24)
    found = []
    for number in numbers[:count]:
        descriptor = bpf(PROG_FD, struct.pack("=I", number))
        if program_info(descriptor)[64:80].startswith(PREFIX.encode()):
            found.append(descriptor)
        else:
            os.close(descriptor)
    return found


def info(descriptor: int, request: bytes) -> bytes:
    buffer = ctypes.create_string_buffer(request, len(request))
    where = ctypes.addressof(buffer)
    bpf(INFO, struct.pack("=IIQ", descriptor, len(request), where))
    return buffer.raw


def program_info(descriptor: int) -> bytes:
    return info(descriptor, b"\0" * 80)


def map_numbers(descriptor: int) -> tuple[int, ...]:
    """The numbers of the maps that a program uses: asked twice, for their count and for them."""
    (count,) = struct.unpack_from("=I", program_info(descriptor), 52)
    numbers = (ctypes.c_uint32 * max(1, count))()
    request = bytearray(80)
    struct.pack_into("=I", request, 52, count)
    struct.pack_into("=Q", request, 56, ctypes.addressof(numbers))
    info(descriptor, bytes(request))
    return tuple(numbers[:count])


def identity(descriptor: int) -> tuple[bytes, tuple[int, ...]]:
    """The hash of a program's code, and its maps."""
    return program_info(descriptor)[8:16], map_numbers(descriptor)


def map_info(descriptor: int) -> tuple[str, tuple[int, int, int, int]]:
    raw = info(descriptor, b"\0" * 64)
    kind, _, key, value, most = struct.unpack_from("=5I", raw)
    name = raw[24:40].rstrip(b"\0").decode(errors="replace")
    return name.removeprefix(PREFIX), (kind, key, value, most)


def lookup(descriptor: int, key: bytes, size: int) -> bytes:
    """A value of a map. Raises OSError."""
    value = ctypes.create_string_buffer(size)
    buffer = ctypes.create_string_buffer(key, len(key))
    where = (ctypes.addressof(buffer), ctypes.addressof(value))
    bpf(MAP_LOOKUP, struct.pack("=IIQQQ", descriptor, 0, *where, 0))
    return value.raw


def contents(descriptor: int, key: int, size: int) -> dict[bytes, bytes]:
    """All of a hash map, thousands of elements in one call; kernels before 5.6 tell one by one."""
    found: dict[bytes, bytes] = {}
    step = 4096
    place = ctypes.create_string_buffer(8)
    begun = False
    while True:
        keys = ctypes.create_string_buffer(key * step)
        values = ctypes.create_string_buffer(size * step)
        following = ctypes.create_string_buffer(8)
        where = (ctypes.addressof(one) for one in (following, keys, values))
        start = ctypes.addressof(place) if begun else 0
        attribute = struct.pack("=QQQQIIQQ", start, *where, step, descriptor, 0, 0)
        buffer = ctypes.create_string_buffer(attribute, 144)
        failed = _library().syscall(_number(), LOOKUP_BATCH, buffer, len(buffer)) < 0
        code = ctypes.get_errno() if failed else 0
        if code == errno.ENOSPC:
            step *= 4
            continue
        if code == errno.EINVAL and not begun:
            return {one: lookup(descriptor, one, size) for one in _keys(descriptor, key)}
        if code not in (0, errno.ENOENT):
            raise OSError(code, os.strerror(code))
        (count,) = struct.unpack_from("=I", buffer.raw, 32)
        names = struct.iter_unpack(f"{key}s", keys.raw[: count * key])
        held = struct.iter_unpack(f"{size}s", values.raw[: count * size])
        found.update((name, value) for (name,), (value,) in zip(names, held, strict=True))
        if code:
            return found
        place, begun = following, True


def _keys(descriptor: int, size: int) -> list[bytes]:
    found: list[bytes] = []
    last: ctypes.Array[ctypes.c_char] | None = None
    while True:
        following = ctypes.create_string_buffer(size)
        before = ctypes.addressof(last) if last is not None else 0
        where = (before, ctypes.addressof(following))
        try:
            bpf(MAP_NEXT, struct.pack("=IIQQQ", descriptor, 0, *where, 0))
        except FileNotFoundError:
            return found
        found.append(following.raw)
        last = following


class Directory:
    """A descriptor of a control group of the unified hierarchy, for the length of a block. Where
    /sys does not show the hierarchy (`ip netns exec` mounts another), it is mounted without a name.
    With `make` the group is made if there is none.
    """

    def __init__(self, path: str, *, make: bool = False) -> None:
        self._path = path
        self._make = make

    def __enter__(self) -> int:
        try:
            root = _root()
            try:
                self._descriptor = self._open(root)
            finally:
                os.close(root)
        except OSError as error:
            raise BpfError(f"control group {self._path or '/'}: {error.strerror}") from error
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def _open(self, root: int) -> int:
        parts = _relative(self._path).split("/")
        for depth in range(1, len(parts) + 1) if self._make and parts != ["."] else ():
            with contextlib.suppress(FileExistsError):
                os.mkdir("/".join(parts[:depth]), dir_fd=root)
        return os.open("/".join(parts), DIRECTORY, dir_fd=root)


def groups() -> Iterator[int]:
    """A descriptor of every control group in turn, the root's first; each is closed when the next
    one is asked for. None where there is no unified hierarchy.
    """
    try:
        root = _root()
    except OSError:
        return
    try:
        for _, _, _, group in os.fwalk(".", dir_fd=root):
            yield group
    finally:
        os.close(root)


def _root() -> int:
    """The root of the unified hierarchy. Raises OSError where there is none."""
    for root in ROOTS:
        if os.path.isfile(f"{root}/cgroup.procs"):
            return os.open(root, DIRECTORY)
    return _unnamed_mount()


def _relative(path: str) -> str:
    """The path below the hierarchy's root."""
    for root in ROOTS:
        if path == root or path.startswith(root + "/"):
            path = path[len(root) :]
            break
    return path.strip("/") or "."


def _unnamed_mount() -> int:
    """The root of the unified hierarchy as a descriptor; no path leads there."""
    context = _system(FSOPEN, ctypes.c_char_p(b"cgroup2"), 1)
    try:
        _system(FSCONFIG, context, FSCONFIG_CREATE, None, None, 0)
        return _system(FSMOUNT, context, 1, 0)
    finally:
        os.close(context)


def _system(number: int, *arguments: object) -> int:
    code: int = _library().syscall(number, *arguments)
    if code < 0:
        failure = ctypes.get_errno()
        raise OSError(failure, os.strerror(failure))
    return code
