"""Links over rtnetlink (linux/if_link.h, linux/if_addr.h, linux/neighbour.h)."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable

from sampan.linux.base.links import Forward, Link, LinkInfo, Neighbour, Route, Veth
from sampan.linux.real import netlink as nl

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO, IFLA_NET_NS_FD = (
    1,
    3,
    4,
    10,
    18,
    28,
)
IFLA_PROTINFO, IFLA_BRPORT_MODE = 12, 4
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
VETH_INFO_PEER = 1
VXLAN_ID, VXLAN_LINK, VXLAN_LOCAL, VXLAN_LEARNING, VXLAN_PORT = 1, 3, 4, 7, 15
VXLAN_LOCAL6 = 17
IFF_UP = 1
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_NODAD, IFA_F_NOPREFIXROUTE = 0x02, 0x200
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC, RTA_TABLE = 1, 4, 5, 7, 15
RTPROT_KERNEL, RTPROT_STATIC, RTNH_F_ONLINK = 2, 4, 4
NDA_DST, NDA_LLADDR = 1, 2
NUD_PERMANENT, NTF_SELF = 0x80, 0x02
EXISTS = (errno.EEXIST,)
ABSENT = (errno.ENODEV, errno.ENOENT, errno.ESRCH)
Request = tuple[int, int, bytes]


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


NO_SUCH_NAME = (errno.ENODEV, errno.ERANGE, errno.EINVAL)
"""The latter two for what is too long for a name, or empty."""


def link_body(index: int = 0, flags: int = 0, change: int = 0, family: int = 0) -> bytes:
    return struct.pack("=BxHiII", family, 0, index, flags, change)


def family_of(ip: str) -> int:
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def packed(ip: str) -> bytes:
    return ipaddress.ip_address(ip).packed


class NetlinkLinks:
    """`Links` of the namespace in which it is made."""

    def __init__(self) -> None:
        self.netlink = nl.Netlink()

    def close(self) -> None:
        self.netlink.close()

    def all(self) -> tuple[LinkInfo, ...]:
        addresses: dict[int, list[str]] = {}
        for body in self.netlink.dump(RTM_GETADDR, struct.pack("=BBBBi", 0, 0, 0, 0, 0)):
            _family, prefix, _flags, _scope, index = struct.unpack_from("=BBBBi", body)
            found = nl.attributes(body[8:])
            raw = found.get(IFA_LOCAL) or found.get(IFA_ADDRESS)
            if raw:
                addresses.setdefault(index, []).append(f"{ipaddress.ip_address(raw)}/{prefix}")
        return tuple(
            self._info(body, addresses) for body in self.netlink.dump(RTM_GETLINK, link_body())
        )

    @staticmethod
    def _info(body: bytes, addresses: dict[int, list[str]]) -> LinkInfo:
        _family, _kind, index, flags, _change = struct.unpack_from("=BxHiII", body)
        found = nl.attributes(body[16:])
        info = nl.attributes(found.get(IFLA_LINKINFO, b""))
        return LinkInfo(
            index=index,
            name=found[IFLA_IFNAME].rstrip(b"\0").decode(),
            kind=info.get(IFLA_INFO_KIND, b"").rstrip(b"\0").decode(),
            mac=found.get(IFLA_ADDRESS, b"").hex(":"),
            mtu=struct.unpack("=I", found[IFLA_MTU])[0],
            up=bool(flags & IFF_UP),
            addresses=tuple(addresses.get(index, ())),
        )

    def find(self, name: str) -> LinkInfo | None:
        return next((link for link in self.all() if link.name == name), None)

    def index(self, name: str) -> int:
        """Raises OSError(ENODEV) naming the link. Only this link is asked for: one may have very
        many addresses, and there may be many links.
        """
        try:
            body = self.netlink.get(RTM_GETLINK, link_body() + nl.text(IFLA_IFNAME, name))
        except OSError as error:
            if error.errno not in NO_SUCH_NAME:
                raise
            raise OSError(errno.ENODEV, f"no link named {name}") from error
        index: int = struct.unpack_from("=BxHi", body)[2]
        return index

    def has(self, name: str) -> bool:
        try:
            return self.index(name) > 0
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            return False

    def ensure(self, link: Link) -> None:
        have = self.find(link.name)
        if have is not None and link.kind and have.kind != link.kind:
            self.delete(link.name)
            have = None
        if have is None:
            self.netlink.send(RTM_NEWLINK, nl.NLM_F_CREATE | nl.NLM_F_EXCL, self._new(link))
        index = self.index(link.name)
        body = link_body(index, IFF_UP, IFF_UP)
        if link.mac:
            body += nl.attribute(IFLA_ADDRESS, mac_bytes(link.mac))
        if link.mtu:
            body += nl.u32(IFLA_MTU, link.mtu)
        self.netlink.send(RTM_NEWLINK, 0, body)
        for address in link.addresses:
            self._address(index, address, prefix_route=True)

    def _new(self, link: Link) -> bytes:
        data = b""
        if link.vxlan is not None:
            six = ":" in link.vxlan.local
            data = nl.nested(
                IFLA_INFO_DATA,
                nl.u32(VXLAN_ID, link.vxlan.vni),
                nl.attribute(VXLAN_LOCAL6 if six else VXLAN_LOCAL, packed(link.vxlan.local)),
                nl.u32(VXLAN_LINK, self.index(link.vxlan.device)) if link.vxlan.device else b"",
                nl.u8(VXLAN_LEARNING, 0),
                nl.be16(VXLAN_PORT, link.vxlan.port),
            )
        kind = nl.nested(IFLA_LINKINFO, nl.text(IFLA_INFO_KIND, link.kind), data)
        mac = nl.attribute(IFLA_ADDRESS, mac_bytes(link.mac)) if link.mac else b""
        return link_body() + nl.text(IFLA_IFNAME, link.name) + mac + kind

    def ensure_veth(self, veth: Veth) -> None:
        if not self.has(veth.name):
            self._make_veth(veth)
        body = link_body(self.index(veth.name), IFF_UP, IFF_UP)
        if veth.master:
            body += nl.u32(IFLA_MASTER, self.index(veth.master))
        self.netlink.send(RTM_NEWLINK, 0, body)
        if veth.hairpin:
            port = link_body(self.index(veth.name), family=socket.AF_BRIDGE)
            port += nl.nested(IFLA_PROTINFO, nl.u8(IFLA_BRPORT_MODE, 1))
            self.netlink.send(RTM_NEWLINK, 0, port)

    def _make_veth(self, veth: Veth) -> None:
        fd = os.open(veth.netns, os.O_RDONLY | os.O_CLOEXEC)
        try:
            mtu = nl.u32(IFLA_MTU, veth.mtu) if veth.mtu else b""
            mac = nl.attribute(IFLA_ADDRESS, mac_bytes(veth.mac)) if veth.mac else b""
            peer = nl.text(IFLA_IFNAME, veth.peer) + mtu + mac + nl.u32(IFLA_NET_NS_FD, fd)
            data = nl.nested(IFLA_INFO_DATA, nl.nested(VETH_INFO_PEER, link_body() + peer))
            kind = nl.nested(IFLA_LINKINFO, nl.text(IFLA_INFO_KIND, "veth"), data)
            body = link_body() + nl.text(IFLA_IFNAME, veth.name) + mtu + kind
            self.netlink.send(RTM_NEWLINK, nl.NLM_F_CREATE | nl.NLM_F_EXCL, body)
        finally:
            os.close(fd)

    def set_address(self, device: str, address: str, *, prefix_route: bool = True) -> None:
        self._address(self.index(device), address, prefix_route=prefix_route)

    def _address(self, index: int, address: str, *, prefix_route: bool) -> None:
        ip, _, prefix = address.partition("/")
        flags = IFA_F_NODAD | (0 if prefix_route else IFA_F_NOPREFIXROUTE)
        body = struct.pack("=BBBBi", family_of(ip), int(prefix), flags & 0xFF, 0, index)
        body += nl.attribute(IFA_LOCAL, packed(ip)) + nl.attribute(IFA_ADDRESS, packed(ip))
        body += nl.u32(IFA_FLAGS, flags)
        self.netlink.send(RTM_NEWADDR, nl.NLM_F_CREATE | nl.NLM_F_EXCL, body, accept=EXISTS)

    def up(self, device: str) -> None:
        self.netlink.send(RTM_NEWLINK, 0, link_body(self.index(device), IFF_UP, IFF_UP))

    def delete(self, device: str) -> None:
        body = link_body() + nl.text(IFLA_IFNAME, device)
        self.netlink.send(RTM_DELLINK, 0, body, accept=ABSENT)

    def add_routes(self, routes: Iterable[Route]) -> None:
        indexes = {link.name: link.index for link in self.all()}
        flags = nl.NLM_F_CREATE | nl.NLM_F_REPLACE
        self.netlink.batch([(RTM_NEWROUTE, flags, route_body(r, indexes)) for r in routes])

    def sync_routes(self, device: str, routes: Iterable[Route]) -> None:
        indexes = {link.name: link.index for link in self.all()}
        wanted = {route.to: route for route in routes}
        stale = [r for r in self.routes() if r.device == device and r.to not in wanted]
        requests: list[Request] = [
            (RTM_NEWROUTE, nl.NLM_F_CREATE | nl.NLM_F_REPLACE, route_body(r, indexes))
            for r in wanted.values()
        ]
        requests += [(RTM_DELROUTE, 0, route_body(r, indexes)) for r in stale]
        self.netlink.batch(requests, accept=(errno.ESRCH,))

    def routes(self) -> tuple[Route, ...]:
        names = {link.index: link.name for link in self.all()}
        found = [
            route_of(body, names)
            for family in (socket.AF_INET, socket.AF_INET6)
            for body in self.netlink.dump(RTM_GETROUTE, struct.pack("=8BI", family, *[0] * 8))
        ]
        return tuple(route for route in found if route is not None)

    def sync_neighbours(self, device: str, entries: Iterable[Neighbour]) -> None:
        index = self.index(device)
        wanted = {entry.ip: entry.mac for entry in entries}
        have: dict[str, str] = {}
        for family in (socket.AF_INET, socket.AF_INET6):
            have |= self._entries(index, family, NUD_PERMANENT)
        self._sync_entries(index, wanted, have, forward=False)

    def sync_forwards(self, device: str, entries: Iterable[Forward]) -> None:
        index = self.index(device)
        wanted = {entry.mac: entry.to for entry in entries}
        have = {
            mac: ip for ip, mac in self._entries(index, socket.AF_BRIDGE, NUD_PERMANENT).items()
        }
        self._sync_entries(index, wanted, have, forward=True)

    def _entries(self, index: int, family: int, state: int) -> dict[str, str]:
        """Permanent entries of a link, address to MAC."""
        found: dict[str, str] = {}
        body = struct.pack("=BxHiHBB", family, 0, index, 0, 0, 0)
        for data in self.netlink.dump(RTM_GETNEIGH, body):
            _family, _pad, at, entry_state, _flags, _kind = struct.unpack_from("=BxHiHBB", data)
            parts = nl.attributes(data[12:])
            if at == index and entry_state & state and NDA_DST in parts and NDA_LLADDR in parts:
                found[str(ipaddress.ip_address(parts[NDA_DST]))] = parts[NDA_LLADDR].hex(":")
        return found

    def _sync_entries(
        self, index: int, wanted: dict[str, str], have: dict[str, str], *, forward: bool
    ) -> None:
        flags = nl.NLM_F_CREATE | nl.NLM_F_REPLACE
        requests: list[Request] = [
            (RTM_DELNEIGH, 0, entry_body(index, key, value, forward=forward))
            for key, value in have.items()
            if key not in wanted
        ]
        requests += [
            (RTM_NEWNEIGH, flags, entry_body(index, key, value, forward=forward))
            for key, value in wanted.items()
            if have.get(key) != value
        ]
        self.netlink.batch(requests, accept=(errno.ENOENT,))


def entry_body(index: int, key: str, value: str, *, forward: bool) -> bytes:
    """A neighbour (key: IP, value: MAC) or a forwarding entry (key: MAC, value: IP)."""
    ip, mac = (value, key) if forward else (key, value)
    family = socket.AF_BRIDGE if forward else family_of(ip)
    flags = NTF_SELF if forward else 0
    body = struct.pack("=BxHiHBB", family, 0, index, NUD_PERMANENT, flags, 0)
    return body + nl.attribute(NDA_DST, packed(ip)) + nl.attribute(NDA_LLADDR, mac_bytes(mac))


def route_body(route: Route, indexes: dict[str, int]) -> bytes:
    network = ipaddress.ip_network(route.to)
    family = socket.AF_INET6 if network.version == 6 else socket.AF_INET
    # Scope: 253 = on the link, 0 = universe; the kernel refuses a gateway with link scope.
    scope = 0 if route.via or family == socket.AF_INET6 else 253
    flags = RTNH_F_ONLINK if route.onlink else 0
    head = struct.pack("=8BI", family, network.prefixlen, 0, 0, 254, RTPROT_STATIC, scope, 1, flags)
    body = head + nl.attribute(RTA_DST, network.network_address.packed)
    if route.via:
        body += nl.attribute(RTA_GATEWAY, packed(route.via))
    if route.device:
        if route.device not in indexes:
            raise OSError(errno.ENODEV, f"no link named {route.device}")
        body += nl.u32(RTA_OIF, indexes[route.device])
    if route.source:
        body += nl.attribute(RTA_PREFSRC, packed(route.source))
    return body


def route_of(body: bytes, names: dict[int, str]) -> Route | None:
    """A unicast route of the main table that somebody set; None for all others."""
    family, prefix, _s, _t, table, protocol, _scope, kind, flags = struct.unpack_from("=8BI", body)
    if table != 254 or kind != 1 or protocol == RTPROT_KERNEL:
        return None
    found = nl.attributes(body[12:])
    raw = found.get(RTA_DST, b"\0" * (16 if family == socket.AF_INET6 else 4))
    via, out = found.get(RTA_GATEWAY), found.get(RTA_OIF)
    return Route(
        to=f"{ipaddress.ip_address(raw)}/{prefix}",
        via=str(ipaddress.ip_address(via)) if via else "",
        device=names.get(struct.unpack("=I", out)[0], "") if out else "",
        onlink=bool(flags & RTNH_F_ONLINK),
    )
