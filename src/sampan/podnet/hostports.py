"""Ports of the node that lead to pods (`hostPort`): one small nftables table of the node.

    to a local address ── map (protocol, port) or (address, protocol, port) ── DNAT to the pod
    from the loopback, or from the pod itself ── masqueraded, or the answer would not come back

What each sandbox asked for is kept as a file, so that a new agent makes the same table.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sampan.linux.base.nft import Nft

TABLE = "sampan-hostports"


class HostPort(Protocol):
    """A mapping as the kubelet asks for it; an empty `host_ip` means every address of the node."""

    @property
    def port(self) -> int: ...
    @property
    def container_port(self) -> int: ...
    @property
    def protocol(self) -> str: ...
    @property
    def host_ip(self) -> str: ...


class Wanted(Protocol):
    """What a pod asks of the network."""

    @property
    def host_ports(self) -> Sequence[HostPort]: ...


@dataclass(frozen=True, slots=True)
class Mapping:
    """One rule: where a packet comes in and where it goes."""

    host_ip: str
    protocol: str
    port: int
    pod_ip: str
    pod_port: int


def mappings(ips: Sequence[str], ports: Sequence[HostPort]) -> list[Mapping]:
    """A port leads to the pod's address of the same family."""
    found = []
    for port in ports:
        host_ip = "" if port.host_ip in ("", "0.0.0.0", "::") else port.host_ip
        found += [
            Mapping(host_ip, port.protocol.lower(), port.port, ip, port.container_port)
            for ip in ips
            if not host_ip or (":" in host_ip) == (":" in ip)
        ]
    return found


def table(family: str, wanted: Sequence[Mapping]) -> str:
    """The whole table of a family (`ip` or `ip6`) as one transaction; empty when nothing is."""
    fresh = f"table {family} {TABLE}\ndelete table {family} {TABLE}\n"
    if not wanted:
        return fresh
    address = "ipv6_addr" if family == "ip6" else "ipv4_addr"
    loopback = "::1" if family == "ip6" else "127.0.0.0/8"
    every = [m for m in wanted if not m.host_ip]
    single = [m for m in wanted if m.host_ip]
    to_every = _elements(f"{m.protocol} . {m.port} : {m.pod_ip} . {m.pod_port}" for m in every)
    to_single = _elements(
        f"{m.host_ip} . {m.protocol} . {m.port} : {m.pod_ip} . {m.pod_port}" for m in single
    )
    own = _elements(sorted({f"{m.pod_ip} . {m.pod_ip}" for m in wanted}))
    pods = _elements(sorted({m.pod_ip for m in wanted}))
    dnat = f"""
        fib daddr type local dnat {family} to {family} daddr . meta l4proto . th dport map @single
        fib daddr type local dnat {family} to meta l4proto . th dport map @every"""
    return f"""{fresh}table {family} {TABLE} {{
      map every {{ type inet_proto . inet_service : {address} . inet_service{to_every}; }}
      map single {{
        type {address} . inet_proto . inet_service : {address} . inet_service{to_single};
      }}
      set own {{ type {address} . {address}{own}; }}
      set pods {{ type {address}{pods}; }}
      chain prerouting {{ type nat hook prerouting priority -99; {dnat}
      }}
      chain output {{ type nat hook output priority -99; {dnat}
      }}
      chain postrouting {{
        type nat hook postrouting priority 99;
        {family} saddr . {family} daddr @own masquerade
        {family} saddr {loopback} {family} daddr @pods masquerade
      }}
    }}
    """


def _elements(rows: Iterable[str]) -> str:
    listed = ", ".join(rows)
    return f"; elements = {{ {listed} }}" if listed else ""


class NodeHostPorts:
    """Every pod's host ports on one node."""

    def __init__(self, nft: Nft, folder: Path) -> None:
        self.nft, self.folder = nft, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.wanted: dict[str, list[Mapping]] = {}
        for path in sorted(folder.iterdir()):
            self.wanted[path.name] = [Mapping(**row) for row in json.loads(path.read_text())]
        if self.wanted:
            self._load()

    async def publish(self, sandbox: str, ips: tuple[str, ...], wanted: Wanted) -> None:
        """Make these ports of the sandbox true, replacing what it had. Raises NftError."""
        self.wanted[sandbox] = mappings(ips, wanted.host_ports)
        rows = [{f: getattr(m, f) for f in m.__slots__} for m in self.wanted[sandbox]]
        (self.folder / sandbox).write_text(json.dumps(rows))
        self._load()

    async def withdraw(self, sandbox: str) -> None:
        """Take the sandbox's ports away; harmless when it has none."""
        if self.wanted.pop(sandbox, None):
            self._load()
        with contextlib.suppress(FileNotFoundError):
            (self.folder / sandbox).unlink()

    def _load(self) -> None:
        every = [mapping for rows in self.wanted.values() for mapping in rows]
        for family, six in (("ip", False), ("ip6", True)):
            self.nft.run(table(family, [m for m in every if (":" in m.pod_ip) == six]))
