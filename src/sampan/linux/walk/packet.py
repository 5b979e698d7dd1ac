"""The first packet of a connection, and what becomes of it: the words all walkers share."""

from __future__ import annotations

from typing import NamedTuple


class Packet(NamedTuple):
    """`interface` is where it came in; empty for a packet that the node itself sends."""

    source: str
    destination: str
    protocol: str
    port: int
    interface: str = ""

    @property
    def from_node(self) -> bool:
        return not self.interface


class Outcome(NamedTuple):
    """`to` an endpoint, `reject`, `drop`, or `pass` with its destination unchanged."""

    verdict: str
    ip: str = ""
    port: int = 0
    masquerade: bool = False


REJECT = Outcome("reject")
DROP = Outcome("drop")
PASS = Outcome("pass")


class Host(NamedTuple):
    """What the walker must know of the node: its own addresses, loopback included or not."""

    addresses: frozenset[str]

    def owns(self, ip: str) -> bool:
        return ip in self.addresses or ip.startswith("127.") or ip == "::1"
