"""A bound UDP socket that is read and answered in batches: what a DNS server receives with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
Slow = Callable[[bytes, Peer], bytes | None]
"""Takes any other datagram. Its reply, to be sent with the batch, or None where that comes later
by `send`, or never."""

BATCH = 64
LONGEST_AT_HAND = 2048


class Ready(Protocol):
    """A reply that is sent as it is. Whoever sends it counts that in `hits`."""

    first: bytes
    """Without the ID; at most LONGEST_AT_HAND."""
    hits: int


AtHand = tuple[Mapping[bytes, Ready], Mapping[bytes, Ready]]
"""Replies by the bytes of their queries without the ID, to be looked for in turn."""
NOTHING_AT_HAND: AtHand = ({}, {})


class Rows(Protocol):
    """Replies that a loop sends by itself, without asking `fast`. A key is the bytes of a query
    without its ID; with `below` it is the query without its name and what the name must end in,
    as `sampan.dns.fastpath` lays it out. `ident` is the caller's number for the row.
    """

    closed: bool
    """While it is, `fast` hears of every datagram."""

    def put(self, key: bytes, below: bool, row: NewRow) -> None:
        """A row under a key that has none."""
        ...

    def turn(self, key: bytes, reply: bytes) -> None:
        """One more rotation; the loop asks `fast` for those that it lacks."""
        ...

    def drop(self, key: bytes, below: bool) -> int:
        """Forget the row; how often it was sent and not told of yet."""
        ...

    def turn_era(self) -> None:
        """Send no more of the rows that hold for an era; they are kept until they are dropped."""
        ...

    def hits(self) -> Iterable[tuple[int, int]]:
        """The rows that were sent since the last time, and how often."""
        ...

    def clear(self) -> None: ...


class NewRow(NamedTuple):
    """`reply` is without the ID, and without the question where it holds below a name; `turns`
    is the number of its rotations, of which this is the first; `dated` rows hold for this era.
    With a `ttl` all TTLs of the reply go down from it, a second at a time from `since` on.
    """

    ident: int
    reply: bytes
    until: float
    turns: int = 1
    dated: bool = False
    since: float = 0.0
    ttl: int = 0


class Datagrams(Protocol):
    """Replies leave from the address that was asked, also on a wildcard socket."""

    @property
    def port(self) -> int: ...

    @property
    def rows(self) -> Rows | None:
        """None for a loop that knows no replies."""
        ...

    def fileno(self) -> int:
        """To wait on until something can be read."""
        ...

    def drain(self, fast: Fast, slow: Slow, now: float, at_hand: AtHand) -> int:
        """Take what waits, at most a batch, and send what `fast` answers; how many there were.
        Rows that ended before `now` are not sent. A loop without `rows` need not ask `fast` for
        what is `at_hand`.
        """
        ...

    def send(self, wire: bytes, peer: Peer) -> None:
        """Send one reply; a peer that cannot be reached is no error."""
        ...

    def close(self) -> None: ...


class OpenDatagrams(Protocol):
    """Makes the socket. Raises OSError."""

    def __call__(self, host: str, port: int) -> Datagrams: ...
