"""Every receive loop takes and answers in batches, from the address that was asked."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest

from sampan.linux.base.datagrams import BATCH, NOTHING_AT_HAND, Datagrams, Peer
from sampan.linux.real.datagrams import PlainDatagrams
from sampan.linux.real.datagrams_mmsg import MmsgDatagrams, is_usable
from sampan.linux.real.datagrams_native import NativeDatagrams, library

LOOPS = [
    PlainDatagrams,
    *([MmsgDatagrams] if is_usable() else []),
    *([NativeDatagrams] if library() else []),
]


@pytest.fixture(params=LOOPS, ids=lambda loop: loop.__name__)
def wildcard(request: pytest.FixtureRequest) -> Iterator[Datagrams]:
    made = request.param("", 0)
    yield made
    made.close()


def client(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((address, port))
    sock.settimeout(5)
    return sock


def drained(loop: Datagrams, count: int, slow: list[tuple[bytes, Peer]] | None = None) -> int:
    """Drain until `count` datagrams were taken; how many calls it took."""
    taken = calls = 0

    def fast(wire: bytes) -> bytes | None:
        return None if slow is not None else wire[::-1]

    def later(wire: bytes, peer: Peer) -> bytes | None:
        assert slow is not None
        slow.append((wire, peer))
        return wire[::-1] if wire.startswith(b"now") else None

    while taken < count:
        assert select.select([loop], [], [], 5)[0]
        taken += loop.drain(fast, later, 0.0, NOTHING_AT_HAND)
        calls += 1
    return calls


def test_many_datagrams_are_taken_in_batches_and_answered_each(wildcard: Datagrams) -> None:
    with client("127.0.0.1", wildcard.port) as sock:
        for number in range(100):
            sock.send(b"%03d" % number)
        calls = drained(wildcard, 100)
        answers = {sock.recv(100) for _ in range(100)}
    assert answers == {(b"%03d" % number)[::-1] for number in range(100)}
    assert 100 / BATCH <= calls <= 100


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "127.7.7.7", "::1"])
def test_a_reply_leaves_from_the_address_that_was_asked(wildcard: Datagrams, address: str) -> None:
    # A connected socket hears only from the very address that it sent to.
    with client(address, wildcard.port) as sock:
        sock.send(b"abc")
        drained(wildcard, 1)
        assert sock.recv(100) == b"cba"


@pytest.mark.parametrize("address", ["127.0.0.3", "::1"])
def test_a_reply_may_come_later(wildcard: Datagrams, address: str) -> None:
    kept: list[tuple[bytes, Peer]] = []
    with client(address, wildcard.port) as sock:
        sock.send(b"question")
        drained(wildcard, 1, kept)
        wire, peer = kept[0]
        assert (wire, peer.address, peer.local) == (b"question", sock.getsockname()[0], address)
        assert (peer.port, peer.local_port) == (sock.getsockname()[1], wildcard.port)
        wildcard.send(b"answer", peer)
        assert sock.recv(100) == b"answer"


def test_a_reply_of_the_slow_way_may_leave_with_the_batch(wildcard: Datagrams) -> None:
    kept: list[tuple[bytes, Peer]] = []
    with client("127.0.0.1", wildcard.port) as sock:
        for wire in (b"now 1", b"later", b"now 2", b"now 3" + b"x" * 5000):
            sock.send(wire)
        drained(wildcard, 4, kept)
        assert [wire[:5] for wire, _ in kept] == [b"now 1", b"later", b"now 2", b"now 3"]
        got = sorted(sock.recv(6000)[-5:] for _ in range(3))
        assert got == [b"1 won", b"2 won", b"3 won"]
        wildcard.send(b"answer", kept[1][1])
        assert sock.recv(100) == b"answer"


def test_a_large_datagram_and_an_empty_one(wildcard: Datagrams) -> None:
    with client("127.0.0.1", wildcard.port) as sock:
        sock.send(b"")
        sock.send(b"x" * 4000 + b"y")
        drained(wildcard, 2)
        assert sorted(len(sock.recv(5000)) for _ in range(2)) == [0, 4001]


class Known:
    """A reply that is at hand."""

    def __init__(self, first: bytes) -> None:
        self.first = first
        self.hits = 0


@pytest.mark.parametrize(
    "wildcard",
    [loop for loop in LOOPS if loop is not NativeDatagrams],  # which has a table of its own
    indirect=True,
    ids=lambda loop: loop.__name__,
)
def test_what_is_at_hand_is_sent_as_it_is_and_counted(wildcard: Datagrams) -> None:
    firm, dated = Known(b" firm"), Known(b" dated and longer")
    at_hand = ({b"one": firm}, {b"two": dated})
    with client("127.0.0.1", wildcard.port) as sock:
        for wire in (b"01one", b"02two", b"03other", b"04one", b"05one and more"):
            sock.send(wire)
        taken = 0
        while taken < 5:
            assert select.select([wildcard], [], [], 5)[0]
            taken += wildcard.drain(lambda wire: wire[::-1], lambda w, p: None, 0.0, at_hand)
        answers = {sock.recv(100) for _ in range(5)}
    assert answers == {
        b"01 firm", b"02 dated and longer", b"rehto30", b"04 firm", b"erom dna eno50"
    }  # fmt: skip
    assert (firm.hits, dated.hits) == (2, 1)


def test_nothing_waiting_is_no_error(wildcard: Datagrams) -> None:
    assert wildcard.drain(lambda wire: wire, lambda wire, peer: None, 0.0, NOTHING_AT_HAND) == 0


def test_a_peer_that_is_gone_does_not_matter(wildcard: Datagrams) -> None:
    sock = client("127.0.0.1", wildcard.port)
    for _ in range(5):
        sock.send(b"x")
    sock.close()
    drained(wildcard, 5)
    with client("127.0.0.1", wildcard.port) as other:
        other.send(b"still there")
        drained(wildcard, 1)
        assert other.recv(100) == b"ereht llits"


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_one_address_alone_and_a_taken_one(loop: type[PlainDatagrams]) -> None:
    one = loop("127.0.0.4", 0)
    with client("127.0.0.4", one.port) as sock:
        sock.send(b"ab")
        drained(one, 1)
        assert sock.recv(10) == b"ba"
    one.close()
    with pytest.raises(OSError, match="assign"):
        loop("192.0.2.1", 0)
