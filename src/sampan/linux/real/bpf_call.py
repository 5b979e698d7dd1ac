"""bpf(2) by its number, and what the kernel tells of programs and maps."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import struct

from sampan.linux.base.bpf import BpfError

SYSCALL = {"x86_64": 321, "aarch64": 280}
MAP_CREATE, MAP_UPDATE, MAP_DELETE, MAP_NEXT, PROG_LOAD = 0, 2, 3, 4, 5
MAP_LOOKUP, PROG_ATTACH, PROG_DETACH, PROG_FD, MAP_FD, INFO, QUERY = 1, 8, 9, 13, 14, 15, 16
UPDATE_BATCH = 26
SOCK_ADDR, ALLOW_MULTI = 18, 2
FSOPEN, FSCONFIG, FSMOUNT = 430, 431, 432
FSCONFIG_CREATE = 6
ROOTS = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
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


class Directory:
    """A descriptor of a control group of the unified hierarchy, for the length of a block. Where
    /sys does not show the hierarchy (`ip netns exec` mounts another), it is mounted without a name.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            for root in ROOTS:
                if os.path.isfile(f"{root}/cgroup.procs"):
                    self._descriptor = os.open(_below(root, self._path), flags)
                    return self._descriptor
            mount = _unnamed_mount()
            try:
                self._descriptor = os.open(_relative(self._path), flags, dir_fd=mount)
            finally:
                os.close(mount)
        except OSError as error:
            raise BpfError(f"control group {self._path or '/'}: {error.strerror}") from error
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _relative(path: str) -> str:
    """The path below the hierarchy's root."""
    for root in (*ROOTS, "/sys/fs/cgroup"):
        if path == root or path.startswith(root + "/"):
            path = path[len(root) :]
            break
    return path.strip("/") or "."


def _below(root: str, path: str) -> str:
    return os.path.join(root, _relative(path))


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
