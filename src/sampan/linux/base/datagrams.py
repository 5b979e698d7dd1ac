"""A bound UDP socket that is read and answered in batches: what a DNS server receives with."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol


class Peer(NamedTuple):
    """Where a datagram came from and at which of our addresses it arrived; `back` is what the
    implementation needs to send from that very address.
    """

    address: str
    port: int
    local: str
    local_port: int
    back: object = None


Fast = Callable[[bytes], bytes | None]
"""The reply to a datagram when it is at hand."""
Slow = Callable[[bytes, Peer], None]
"""Takes a datagram whose reply comes later, by `send`."""

BATCH = 64


class Datagrams(Protocol):
    """Replies leave from the address that was asked, also on a wildcard socket."""

    @property
    def port(self) -> int: ...

    def fileno(self) -> int:
        """To wait on until something can be read."""
        ...

    def drain(self, fast: Fast, slow: Slow) -> int:
        """Take what waits, at most a batch, and send what `fast` answers; how many there were."""
        ...

    def send(self, wire: bytes, peer: Peer) -> None:
        """Send one reply; a peer that cannot be reached is no error."""
        ...

    def close(self) -> None: ...


class OpenDatagrams(Protocol):
    """Makes the socket. Raises OSError."""

    def __call__(self, host: str, port: int) -> Datagrams: ...
