"""Addresses of one node's pods, kept as files: one per address, named by it, holding its owner.

As the host-local plugin does: the next free address behind the last one given, so that an address
rests as long as it can before somebody else gets it. Files survive the agent, not a reboot.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
from pathlib import Path

LAST = "last"


class Exhausted(Exception):
    """No address is free; the message names the range."""


class AddressPool:
    """One range. Not safe for several processes at once; one agent owns a node's pool."""

    def __init__(self, folder: Path, cidr: str) -> None:
        self.folder = folder / cidr.replace("/", "_").replace(":", "-")
        self.network = ipaddress.ip_network(cidr)
        self.folder.mkdir(parents=True, exist_ok=True)
        # The network's own address is the VXLAN device's, the next one the bridge's.
        self.first = int(self.network.network_address) + 2
        self.end = int(self.network.broadcast_address) + (self.network.version == 6)
        self.taken = self._read()
        self.owners = {owner: ip for ip, owner in self.taken.items()}

    def _read(self) -> dict[str, str]:
        return {
            path.name.replace("_", ":"): path.read_text()
            for path in self.folder.iterdir()
            if path.name != LAST
        }

    def allocate(self, owner: str) -> str:
        """The owner's address, the same one when asked again. Raises Exhausted."""
        if owner in self.owners:
            return self.owners[owner]
        ip = self._next()
        path = self.folder / ip.replace(":", "_")
        path.write_text(owner)
        (self.folder / LAST).write_text(ip)
        self.taken[ip], self.owners[owner] = owner, ip
        return ip

    def _next(self) -> str:
        start = self.first
        with contextlib.suppress(FileNotFoundError, ValueError):
            start = int(ipaddress.ip_address((self.folder / LAST).read_text())) + 1
        kind = type(self.network.network_address)
        size = self.end - self.first
        for step in range(min(size, len(self.taken) + 1)):
            ip = str(kind(self.first + (start - self.first + step) % size))
            if ip not in self.taken:
                return ip
        raise Exhausted(f"no free address in {self.network}: {len(self.taken)} are in use")

    def release(self, owner: str) -> None:
        """Give the owner's address back; one who holds none is no error."""
        ip = self.owners.pop(owner, None)
        if ip is not None:
            del self.taken[ip]
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.folder / ip.replace(":", "_"))
