"""Socket load balancing by bpf(2), called directly: no compiler and no libbpf on the machine.

The programs come prebuilt with their source. They are attached to a cgroup of the unified hierarchy
and stay there when this process ends; the maps are found again through the attached programs.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import ipaddress
import os
import platform
import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from sampan.linux.base.bpf import BpfError, SocketEnd, SocketService
from sampan.linux.real import elf
from sampan.linux.real.bpf_call import (
    ALLOW_MULTI,
    MAP_CREATE,
    MAP_DELETE,
    MAP_FD,
    MAP_UPDATE,
    PREFIX,
    PROG_ATTACH,
    PROG_DETACH,
    PROG_LOAD,
    SOCK_ADDR,
    SYSCALL,
    UPDATE_BATCH,
    Directory,
    attached,
    bpf,
    contents,
    groups,
    identity,
    lookup,
    map_info,
    map_numbers,
)

ATTACH = {
    "connect4": 10,
    "connect6": 11,
    "sendmsg4": 14,
    "sendmsg6": 15,
    "recvmsg4": 19,
    "recvmsg6": 20,
    "getpeername4": 29,
    "getpeername6": 30,
}
PROTOCOLS = {"tcp": 6, "udp": 17}
MAPPED = b"\0" * 10 + b"\xff\xff"
SO_NETNS_COOKIE = 71
RANGES = 4
ONE = struct.pack("=I", 1)
TCP = struct.pack("=H", 6)
_PORT = struct.Struct("!H").unpack_from


class RealSocketBalancer:
    """Implements `SocketBalancer` for the processes of one cgroup."""

    def __init__(self, cgroup: str, image: bytes) -> None:
        self._cgroup = cgroup
        self._object = elf.read(image)
        self._maps: dict[str, int] = {}
        self._known: dict[SocketService, tuple[int, tuple[SocketEnd, ...], int]] = {}
        """Slots, ends and member of each service."""
        self._heads: dict[bytes, bytes] = {}
        """What the map `services` should hold: compared at every look."""
        self._last = 0

    def probe(self) -> str:
        if platform.machine() not in SYSCALL:
            return f"eBPF mode does not know the machine {platform.machine()}"
        try:
            # The group itself is made at the start if there is none.
            with Directory(""):
                pass
            maps = self._make_maps()
        except BpfError as error:
            return str(error)
        try:
            for name in ATTACH:
                os.close(self._load(name, maps))
        except BpfError as error:
            return str(error)
        finally:
            _close(maps.values())
        return ""

    def start(self, pods: Sequence[str]) -> Mapping[SocketService, tuple[SocketEnd, ...]]:
        try:
            self._start(pods)
            self._known = self._read()
        except OSError as error:
            raise BpfError(_why("sockets cannot be translated", error)) from error
        return {service: ends for service, (_, ends, _) in self._known.items()}

    def set(self, services: Mapping[SocketService, Sequence[SocketEnd]]) -> None:
        """New slots first, then the service points to them, then the old ones go."""
        slots: list[tuple[bytes, bytes]] = []
        members: list[tuple[bytes, bytes]] = []
        heads: list[tuple[bytes, bytes]] = []
        old: list[tuple[SocketService, tuple[int, tuple[SocketEnd, ...], int] | None]] = []
        for service, wanted in services.items():
            ends = tuple(wanted)
            known = self._known.get(service)
            number = self._next()
            member = known[2] if known else number
            packed = [_address(ip, port, service.protocol) for ip, port in ends]
            slots += [(struct.pack("=II", number, n), one) for n, one in enumerate(packed)]
            members += [(struct.pack("=I", member) + one, ONE) for one in packed]
            head = struct.pack("=III", number, len(ends), member)
            heads.append((_address(*service), head))
            old.append((service, known))
            self._known[service] = (number, ends, member)
        self._heads.update(heads)
        for name, pairs in (("slots", slots), ("members", members), ("services", heads)):
            self._fill(name, pairs)
        for service, known in old:
            if known is not None:
                self._drop(service, known, keep=self._known[service][1])

    def remove(self, services: Sequence[SocketService]) -> None:
        for service in services:
            known = self._known.pop(service)
            name = _address(*service)
            self._heads.pop(name, None)
            self._delete("services", name)
            self._drop(service, known, keep=())

    def whole(self) -> bool:
        """Whether all programs are attached over our maps, and the maps hold what they should."""
        try:
            with Directory(self._cgroup) as group:
                for kind in ATTACH.values():
                    there = attached(group, kind)
                    _close(there)
                    if len(there) != 1:
                        return False
            slots = sum(len(ends) for _, ends, _ in self._known.values())
            right = self._contents("services") == self._heads
            return right and len(self._contents("slots")) == slots
        except (BpfError, OSError):
            return False

    def stop(self) -> None:
        try:
            if self._cgroup:
                with contextlib.suppress(BpfError), Directory(self._cgroup) as group:
                    _detach(group, None)
            own = _cookie()
            for group in groups():
                _detach(group, own)
        except OSError as error:
            raise BpfError(_why("programs cannot be detached", error)) from error
        _close(self._maps.values())
        self._maps, self._known, self._heads = {}, {}, {}

    def _start(self, pods: Sequence[str]) -> None:
        with Directory(self._cgroup, make=True) as group:
            there = {name: attached(group, kind) for name, kind in ATTACH.items()}
            try:
                _close(self._maps.values())
                self._maps = {}
                self._maps = self._adopted(there) or self._make_maps()
                self._fill("locals", [(b"\0\0\0\0", _local(pods))])
                for name, kind in ATTACH.items():
                    self._attach(group, name, kind, there[name])
            finally:
                _close(descriptor for some in there.values() for descriptor in some)

    # Programs.

    def _make_maps(self) -> dict[str, int]:
        made = {}
        for name, (kind, key, value, most, flags) in self._object.maps.items():
            label = (PREFIX + name).encode()[:15].ljust(16, b"\0")
            attribute = struct.pack("=7I16s", kind, key, value, most, flags, 0, 0, label)
            try:
                made[name] = bpf(MAP_CREATE, attribute)
            except OSError as error:
                _close(made.values())
                raise BpfError(_why(f"the map {name} cannot be made", error)) from error
        return made

    def _load(self, name: str, maps: Mapping[str, int]) -> int:
        program = self._object.programs[name]
        code = bytearray(program.code)
        for offset, wanted in program.maps:
            # A 64-bit load of a map: source register 1 says that the value is a descriptor.
            code[offset + 1] = (code[offset + 1] & 0x0F) | 0x10
            struct.pack_into("=i", code, offset + 4, maps[wanted])
        text = ctypes.create_string_buffer(bytes(code), len(code))
        terms = ctypes.create_string_buffer(self._object.license.encode())
        label = (PREFIX + name).encode()[:15].ljust(16, b"\0")
        attribute = struct.pack(
            "=IIQQIIQII16sII",
            SOCK_ADDR,
            len(code) // 8,
            ctypes.addressof(text),
            ctypes.addressof(terms),
            0,
            0,
            0,
            0,
            0,
            label,
            0,
            ATTACH[name],
        )
        try:
            return bpf(PROG_LOAD, attribute)
        except OSError as error:
            raise BpfError(_why(f"the program {name} cannot be loaded", error)) from error

    def _attach(self, group: int, name: str, kind: int, there: Sequence[int]) -> None:
        """Attach unless the same code over the same maps is attached; then older code goes."""
        fresh = self._load(name, self._maps)
        try:
            same = [one for one in there if identity(one) == identity(fresh)]
            if not same:
                bpf(PROG_ATTACH, struct.pack("=IIII", group, fresh, kind, ALLOW_MULTI))
            for one in there:
                if one not in same[:1]:
                    bpf(PROG_DETACH, struct.pack("=IIII", group, one, kind, 0))
        except OSError as error:
            raise BpfError(_why(f"the program {name} cannot be attached", error)) from error
        finally:
            os.close(fresh)

    def _adopted(self, there: Mapping[str, Sequence[int]]) -> dict[str, int]:
        """The maps of programs that are attached already; nothing unless all are there and fit."""
        found: dict[str, int] = {}
        for programs in there.values():
            for program in programs[:1]:
                for number in map_numbers(program):
                    descriptor = bpf(MAP_FD, struct.pack("=I", number))
                    name, shape = map_info(descriptor)
                    wanted = self._object.maps.get(name)
                    if wanted is None or name in found or tuple(wanted)[:4] != shape:
                        os.close(descriptor)
                    else:
                        found[name] = descriptor
        if found.keys() != self._object.maps.keys():
            _close(found.values())
            return {}
        return found

    # Maps.

    def _read(self) -> dict[SocketService, tuple[int, tuple[SocketEnd, ...], int]]:
        """What the maps hold; what is half there counts as no endpoint and is made anew."""
        found = {}
        slots = self._contents("slots")
        used: set[bytes] = set()
        members: set[bytes] = set()
        self._heads = self._contents("services")
        pack = struct.Struct("=II").pack
        for key, value in self._heads.items():
            number, count, member = struct.unpack("=III", value)
            names = [pack(number, index) for index in range(count)]
            used.update(names)
            there = [slots[name] for name in names if name in slots]
            members.update([value[8:] + one for one in there])
            protocol = "tcp" if key[18:] == TCP else "udp"
            ends = tuple([_end(one) for one in there])
            found[SocketService(*_end(key), protocol)] = (number, ends, member)
        numbers = [one for number, _, member in found.values() for one in (number, member)]
        self._last = max(numbers, default=0)
        for name in slots.keys() - used:
            self._delete("slots", name)
        self._right_members(members)
        return found

    def _right_members(self, wanted: AbstractSet[bytes]) -> None:
        """A proxy that was killed in the middle of a change leaves members behind, at which flows
        would stay for ever, or none yet of the endpoints that are in force.
        """
        have = self._contents("members").keys()
        for name in have - wanted:
            self._delete("members", name)
        self._fill("members", [(name, ONE) for name in sorted(wanted - have)])

    def _drop(
        self,
        service: SocketService,
        known: tuple[int, tuple[SocketEnd, ...], int],
        *,
        keep: Sequence[SocketEnd],
    ) -> None:
        number, ends, member = known
        for index, (ip, port) in enumerate(ends):
            self._delete("slots", struct.pack("=II", number, index))
            if (ip, port) not in keep:
                packed = _address(ip, port, service.protocol)
                self._delete("members", struct.pack("=I", member) + packed)

    def _next(self) -> int:
        self._last = (self._last + 1) & 0xFFFFFFFF
        return self._last

    def _fill(self, name: str, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Many elements in one call; kernels before 5.6 take them one by one."""
        if not pairs:
            return
        keys = ctypes.create_string_buffer(b"".join(key for key, _ in pairs))
        values = ctypes.create_string_buffer(b"".join(value for _, value in pairs))
        where = (ctypes.addressof(keys), ctypes.addressof(values))
        attribute = struct.pack("=QQQQIIQQ", 0, 0, *where, len(pairs), self._maps[name], 0, 0)
        try:
            if len(pairs) > 1:
                bpf(UPDATE_BATCH, attribute)
                return
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise BpfError(_why(f"the map {name} is full or gone", error)) from error
        for key, value in pairs:
            self._call(MAP_UPDATE, name, key, value)

    def _delete(self, name: str, key: bytes) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._call(MAP_DELETE, name, key, b"")

    def _contents(self, name: str) -> dict[bytes, bytes]:
        shape = self._object.maps[name]
        return contents(self._maps[name], shape.key_size, shape.value_size)

    def _call(self, command: int, name: str, key: bytes, value: bytes) -> None:
        first = ctypes.create_string_buffer(key, len(key))
        second = ctypes.create_string_buffer(value, max(1, len(value)))
        # A deletion must leave the value's place empty.
        where = (ctypes.addressof(first), ctypes.addressof(second) if value else 0)
        try:
            bpf(command, struct.pack("=IIQQQ", self._maps[name], 0, *where, 0))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise BpfError(_why(f"the map {name} is full or gone", error)) from error


def _address(ip: str, port: int, protocol: str) -> bytes:
    packed = socket.inet_pton(socket.AF_INET6, ip) if ":" in ip else MAPPED + socket.inet_aton(ip)
    return packed + struct.pack("!H", port) + struct.pack("=H", PROTOCOLS[protocol])


def _end(packed: bytes) -> SocketEnd:
    if packed[:12] == MAPPED:
        ip = socket.inet_ntoa(packed[12:16])
    else:
        ip = socket.inet_ntop(socket.AF_INET6, packed[:16])
    return ip, _PORT(packed, 16)[0]


def _local(pods: Sequence[str]) -> bytes:
    """As `struct local`: this network namespace, and the pods' ranges; at most four."""
    cookie = _cookie()
    ranges = b""
    for text in pods[:RANGES]:
        network = ipaddress.ip_network(text, strict=False)
        ip, mask = network.network_address.packed, network.netmask.packed
        if network.version == 4:
            ip, mask = MAPPED + ip, b"\xff" * 12 + mask
        ranges += ip + mask
    head = cookie + struct.pack("=II", min(len(pods), RANGES), 0)
    return head + ranges.ljust(32 * RANGES, b"\0")


def _cookie() -> bytes:
    """What the kernel calls this network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        return sock.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8)


def _detach(group: int, node: bytes | None) -> None:
    """Detach our programs from a group: all, or those that serve one network namespace."""
    for kind in ATTACH.values():
        for program in attached(group, kind):
            try:
                if node is None or _node_of(program) == node:
                    bpf(PROG_DETACH, struct.pack("=IIII", group, program, kind, 0))
            finally:
                os.close(program)


def _node_of(program: int) -> bytes:
    """The network namespace whose proxy attached a program, from its map `locals`."""
    for number in map_numbers(program):
        descriptor = bpf(MAP_FD, struct.pack("=I", number))
        try:
            name, (_, key, size, _) = map_info(descriptor)
            if name == "locals":
                return lookup(descriptor, b"\0" * key, size)[:8]
        finally:
            os.close(descriptor)
    return b""


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _why(what: str, error: OSError) -> str:
    hint = "; it needs root or CAP_BPF and CAP_NET_ADMIN" if error.errno == errno.EPERM else ""
    return f"{what}: {error.strerror}{hint}"
