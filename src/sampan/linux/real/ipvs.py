"""IPVS over generic netlink (linux/ip_vs.h), and the dummy device by rtnetlink."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping

from sampan.linux.base.ipvs import Destination, IpvsError, Serving, VirtualServer
from sampan.linux.base.links import Link
from sampan.linux.real import netlink as nl
from sampan.linux.real.links import NetlinkLinks

NETLINK_GENERIC, CONTROL, GET_FAMILY = 16, 0x10, 3
NEW_SERVICE, SET_SERVICE, DEL_SERVICE, GET_SERVICE = 1, 2, 3, 4
NEW_DEST, SET_DEST, DEL_DEST, GET_DEST = 5, 6, 7, 8
SERVICE, DEST = 1, 2
SVC_FAMILY, SVC_PROTOCOL, SVC_ADDRESS, SVC_PORT = 1, 2, 3, 4
SVC_SCHEDULER, SVC_FLAGS, SVC_TIMEOUT, SVC_NETMASK = 6, 7, 8, 9
DEST_ADDRESS, DEST_PORT, DEST_METHOD, DEST_WEIGHT, DEST_UPPER, DEST_LOWER = 1, 2, 3, 4, 5, 6
DEST_ACTIVE, DEST_INACTIVE, DEST_FAMILY = 7, 8, 11
PERSISTENT = 1
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
NAMES = {number: name for name, number in PROTOCOLS.items()}
NEW_ADDRESS, DEL_ADDRESS = 20, 21
LACKING = (
    "this kernel has no IPVS; load it with 'modprobe ip_vs' (kernel option CONFIG_IP_VS), or "
    "choose another mode"
)


class RealIpvs:
    """Implements `Ipvs` for the network namespace in which it was made."""

    def __init__(self) -> None:
        self._generic = nl.Netlink(NETLINK_GENERIC)
        self._links = NetlinkLinks()
        self._family = 0

    def probe(self) -> str:
        try:
            self._number()
            list(self._dump(GET_SERVICE, b""))
        except (IpvsError, OSError) as error:
            return str(error)
        return ""

    def servers(self) -> dict[VirtualServer, Serving]:
        found = {}
        # Whole first: one socket answers one dump at a time.
        for body in list(self._dump(GET_SERVICE, b"")):
            parts = nl.attributes(nl.attributes(body).get(SERVICE, b""))
            if SVC_ADDRESS not in parts:
                continue
            server = _server(parts)
            flags, _ = struct.unpack("=II", parts[SVC_FLAGS])
            (timeout,) = struct.unpack("=I", parts[SVC_TIMEOUT])
            ends = tuple(
                Destination(*_end(server, dest), struct.unpack("=I", dest[DEST_WEIGHT])[0])
                for dest in self._destinations(server)
            )
            scheduler = parts[SVC_SCHEDULER].rstrip(b"\0").decode()
            found[server] = Serving(scheduler, timeout if flags & PERSISTENT else 0, ends)
        return found

    def put(
        self, servers: Mapping[VirtualServer, Serving], there: Mapping[VirtualServer, Serving]
    ) -> None:
        for server, wanted in servers.items():
            have = there.get(server)
            if have is None:
                self._tell(NEW_SERVICE, _service(server, wanted))
            elif have[:2] != wanted[:2]:
                self._tell(SET_SERVICE, _service(server, wanted))
            self._put_ends(server, have.destinations if have else (), wanted.destinations)

    def remove(self, servers: Iterable[VirtualServer]) -> None:
        for server in servers:
            with contextlib.suppress(FileNotFoundError):
                self._tell(DEL_SERVICE, _service(server))

    def connections(self, server: VirtualServer) -> dict[tuple[str, int], int]:
        found = {}
        for dest in self._destinations(server):
            active, inactive = (
                struct.unpack("=I", dest[kind])[0] for kind in (DEST_ACTIVE, DEST_INACTIVE)
            )
            found[_end(server, dest)] = active + inactive
        return found

    def holds(self, device: str) -> bool:
        return self._links.has(device)

    def addresses(self, device: str) -> frozenset[str]:
        link = self._links.find(device)
        held = link.addresses if link else ()
        ips = (address.partition("/")[0] for address in held)
        return frozenset(ip for ip in ips if not ip.startswith("fe80:"))

    def hold(self, device: str, add: Iterable[str], remove: Iterable[str]) -> None:
        try:
            if not self._links.has(device):
                self._links.ensure(Link(device, kind="dummy"))
            index = self._links.index(device)
            self._links.netlink.batch(
                ((DEL_ADDRESS, 0, _address(index, ip)) for ip in remove),
                accept=(errno.EADDRNOTAVAIL,),
            )
            self._links.netlink.batch(
                ((NEW_ADDRESS, nl.NLM_F_CREATE, _address(index, ip)) for ip in add),
                accept=(errno.EEXIST,),
            )
        except OSError as error:
            raise IpvsError(f"the addresses of {device}: {error.strerror}") from error

    def drop_device(self, device: str) -> None:
        if self._links.has(device):
            self._links.delete(device)

    def tune(self, values: Mapping[str, int]) -> None:
        for path, value in values.items():
            with (
                contextlib.suppress(OSError),
                open(f"/proc/sys/net/{path}", "w", encoding="ascii") as file,
            ):
                file.write(str(value))

    def close(self) -> None:
        self._generic.close()
        self._links.close()

    def _put_ends(
        self, server: VirtualServer, have: Iterable[Destination], want: Iterable[Destination]
    ) -> None:
        there = {(one.ip, one.port): one for one in have}
        for one in want:
            known = there.pop((one.ip, one.port), None)
            if known is None:
                self._tell(NEW_DEST, _service(server) + _destination(one))
            elif known != one:
                self._tell(SET_DEST, _service(server) + _destination(one))
        for one in there.values():
            self._tell(DEL_DEST, _service(server) + _destination(one))

    def _destinations(self, server: VirtualServer) -> Iterator[dict[int, bytes]]:
        for body in self._dump(GET_DEST, _service(server)):
            inner = nl.attributes(body).get(DEST)
            if inner:
                yield nl.attributes(inner)

    def _number(self) -> int:
        """The number of the family IPVS, which the kernel gives when the module is loaded."""
        if not self._family:
            body = struct.pack("=BBH", GET_FAMILY, 1, 0) + nl.text(2, "IPVS")
            self._generic.socket.send(self._generic.message(CONTROL, 0, body))
            data = self._generic.socket.recv(65536)
            kind, answer = struct.unpack_from("=H", data, 4)[0], data[16:]
            if kind == nl.NLMSG_ERROR:
                raise IpvsError(LACKING)
            self._family = struct.unpack("=H", nl.attributes(answer[4:])[1])[0]
        return self._family

    def _dump(self, command: int, body: bytes) -> Iterator[bytes]:
        head = struct.pack("=BBH", command, 1, 0)
        for answer in self._generic.dump(self._number(), head + body):
            yield answer[4:]

    def _tell(self, command: int, body: bytes) -> None:
        try:
            self._generic.send(self._number(), 0, struct.pack("=BBH", command, 1, 0) + body)
        except FileNotFoundError as error:
            if command == DEL_SERVICE:
                raise
            raise IpvsError("IPVS does not know the scheduler; load its module") from error
        except OSError as error:
            raise IpvsError(f"IPVS refused: {os.strerror(error.errno or 0)}") from error


def _kind(ip: str) -> int:
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def _packed(ip: str) -> bytes:
    return socket.inet_pton(_kind(ip), ip).ljust(16, b"\0")


def _service(server: VirtualServer, serving: Serving | None = None) -> bytes:
    """A virtual server as an attribute; with how it serves where it is made or changed."""
    parts = [
        nl.attribute(SVC_FAMILY, struct.pack("=H", _kind(server.ip))),
        nl.attribute(SVC_PROTOCOL, struct.pack("=H", PROTOCOLS[server.protocol])),
        nl.attribute(SVC_ADDRESS, _packed(server.ip)),
        nl.be16(SVC_PORT, server.port),
    ]
    if serving is not None:
        flags = PERSISTENT if serving.persistence_s else 0
        mask = 128 if ":" in server.ip else 0xFFFFFFFF
        parts += [
            nl.text(SVC_SCHEDULER, serving.scheduler),
            nl.attribute(SVC_FLAGS, struct.pack("=II", flags, 0xFFFFFFFF)),
            nl.u32(SVC_TIMEOUT, serving.persistence_s),
            nl.u32(SVC_NETMASK, mask),
        ]
    return nl.nested(SERVICE, *parts)


def _destination(one: Destination) -> bytes:
    return nl.nested(
        DEST,
        nl.attribute(DEST_FAMILY, struct.pack("=H", _kind(one.ip))),
        nl.attribute(DEST_ADDRESS, _packed(one.ip)),
        nl.be16(DEST_PORT, one.port),
        nl.u32(DEST_METHOD, 0),
        nl.u32(DEST_WEIGHT, one.weight),
        nl.u32(DEST_UPPER, 0),
        nl.u32(DEST_LOWER, 0),
    )


def _server(parts: Mapping[int, bytes]) -> VirtualServer:
    (family,) = struct.unpack("=H", parts[SVC_FAMILY])
    (protocol,) = struct.unpack("=H", parts[SVC_PROTOCOL])
    size = 16 if family == socket.AF_INET6 else 4
    ip = socket.inet_ntop(family, parts[SVC_ADDRESS][:size])
    return VirtualServer(ip, struct.unpack("!H", parts[SVC_PORT])[0], NAMES.get(protocol, ""))


def _end(server: VirtualServer, parts: Mapping[int, bytes]) -> tuple[str, int]:
    family = _kind(server.ip)
    size = 16 if family == socket.AF_INET6 else 4
    ip = socket.inet_ntop(family, parts[DEST_ADDRESS][:size])
    return ip, struct.unpack("!H", parts[DEST_PORT])[0]


def _address(index: int, ip: str) -> bytes:
    """RTM_NEWADDR for a host address; IPv6 without duplicate detection."""
    family = _kind(ip)
    packed = socket.inet_pton(family, ip)
    prefix, flags = (128, 0x02) if family == socket.AF_INET6 else (32, 0)
    head = struct.pack("=BBBBi", family, prefix, flags, 0, index)
    return head + nl.attribute(1, packed) + nl.attribute(2, packed)
