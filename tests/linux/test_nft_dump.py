"""The kernel's answer about a set, read to its end and no further: played by one end of a pair
of sockets.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.linux.base.nft import Element
from sampan.linux.real.nft import _attribute, _element
from sampan.linux.real.nft_dump import DUMP_INTERRUPTED, MOST, Torn, answer, differences

SET = struct.pack("=HH4s", 8, 1, b"t\0\0\0")
ELEMENTS = [Element(bytes([10, 96, n >> 8, n & 255]), bytes([n & 255] * 8)) for n in range(600)]
GUESS = {one.key: one for one in ELEMENTS}


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Ours and the kernel's; what is not there does not come."""
    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for one in (ours, kernel):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 1000))
    with ours, kernel:
        yield ours, kernel


def message(kind: int, body: bytes, sequence: int = 7, flags: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body


def told(some: list[Element], sequence: int = 7, generation: int = 1, flags: int = 0) -> bytes:
    value = b"".join(_element(one, True) for one in some)
    body = struct.pack("=BBH", 2, 0, generation) + SET + _attribute(0x8003, value)
    return message(0xA0C, body, sequence, flags)


def done(sequence: int = 7, code: int = 0) -> bytes:
    return message(3, struct.pack("=i", -code), sequence)


def acknowledged(code: int = 0) -> bytes:
    return message(2, struct.pack("=i", -code) + bytes(16))


def test_an_answer_is_read_to_its_end_and_older_ones_are_passed_over(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, kernel = ends
    for part in (told(ELEMENTS[:1], 6), done(6), told(ELEMENTS[:2]) + done(6), done()):
        kernel.send(part)
    assert len(list(answer(ours, 7))) == 1


@pytest.mark.parametrize(
    "parts",
    [
        (told(ELEMENTS[:1], flags=DUMP_INTERRUPTED), told(ELEMENTS[:1]), done()),
        (told(ELEMENTS[:1]), told(ELEMENTS[:1], generation=2), done()),
    ],
)
def test_an_answer_from_two_generations_is_torn(
    ends: tuple[socket.socket, socket.socket], parts: tuple[bytes, ...]
) -> None:
    ours, kernel = ends
    for part in parts:
        kernel.send(part)
    with pytest.raises(Torn):
        list(answer(ours, 7))


@pytest.mark.parametrize("refusal", [acknowledged(errno.ENOENT), done(code=errno.ENOENT)])
def test_a_refusal_is_an_error(ends: tuple[socket.socket, socket.socket], refusal: bytes) -> None:
    ours, kernel = ends
    kernel.send(refusal)
    with pytest.raises(FileNotFoundError):
        list(answer(ours, 7))


def test_a_kernel_that_falls_silent_is_not_waited_for(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, kernel = ends
    kernel.send(told(ELEMENTS[:1]))
    with pytest.raises(TimeoutError, match="stopped in the middle"):
        list(answer(ours, 7))


def test_an_answer_without_end_is_given_up(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, kernel = ends
    seconds = iter(range(0, 1000, 30))

    def clock() -> float:
        kernel.send(told(ELEMENTS[:1]))
        return next(seconds)

    with pytest.raises(TimeoutError, match="no end of the answer after 120 s"):
        list(answer(ours, 7, clock=clock))


class Queue:
    """A socket whose receive queue overflows once."""

    def __init__(self, *parts: bytes | OSError) -> None:
        self._parts = iter(parts)

    def recv(self, size: int) -> bytes:
        part = next(self._parts)
        if isinstance(part, OSError):
            raise part
        return part


def test_a_part_that_was_lost_makes_the_answer_torn() -> None:
    queue = Queue(told(ELEMENTS[:1]), OSError(errno.ENOBUFS, "full"), done())
    with pytest.raises(Torn):
        list(answer(queue, 7))  # type: ignore[arg-type]


class Kernel:
    """Answers questions for elements one by one, as the kernel does; then acknowledges."""

    def __init__(self, kernel: socket.socket, there: dict[bytes, Element]) -> None:
        self._socket, self._there = kernel, there
        self.generation = 1
        self.asked = 0

    def __call__(self, wanted: bytes) -> None:
        size = struct.unpack_from("=H", wanted)[0]
        for at in range(0, len(wanted), size):
            self.asked += 1
            found = self._there.get(wanted[at + 12 : at + size])
            if found is None:
                self._socket.send(acknowledged(errno.ENOENT))
                return
            self._socket.send(told([found], generation=self.generation))
        self._socket.send(acknowledged())


def test_a_set_that_holds_what_was_guessed_is_told_without_a_dump(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, kernel = ends
    asked = Kernel(kernel, GUESS)
    assert differences(ours, asked, GUESS) == {}
    assert asked.asked == len(GUESS)


@pytest.mark.parametrize("places", [[0], [1], [255], [256], [300], [599], [0, 1, 2, 598, 599]])
@pytest.mark.parametrize("other", [None, Element(b"", bytes(7) + b"\xfe"), Element(b"", b"less")])
def test_what_is_missing_or_another_is_told(
    ends: tuple[socket.socket, socket.socket], places: list[int], other: Element | None
) -> None:
    ours, kernel = ends
    wanted: dict[bytes, Element | None] = {}
    for place in places:
        key = ELEMENTS[place].key
        wanted[key] = other._replace(key=key) if other else None
    there = {key: one for key, one in {**GUESS, **wanted}.items() if one is not None}
    found = differences(ours, Kernel(kernel, there), GUESS)
    # One that has another shape may be left to the dump.
    assert found == wanted or (found is None and other is not None and len(other.data) != 8)


def test_of_much_that_differs_the_dump_tells(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, kernel = ends
    many = {
        bytes([10, 97, n >> 8, n & 255]): Element(bytes([10, 97, n >> 8, n & 255]))
        for n in range(MOST + 2)
    }
    asked = Kernel(kernel, {})
    assert differences(ours, asked, many) is None


def test_a_set_that_somebody_writes_meanwhile_is_found_out(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, kernel = ends
    asked = Kernel(kernel, GUESS)

    def ask(wanted: bytes) -> None:
        asked(wanted)
        asked.generation += 1

    assert differences(ours, ask, GUESS) is None


@given(
    there=st.dictionaries(st.integers(0, 20), st.integers(0, 2)),
    wanted=st.dictionaries(st.integers(0, 20), st.integers(0, 2), min_size=1),
)
def test_what_is_there_follows_from_the_differences(
    there: dict[int, int], wanted: dict[int, int]
) -> None:
    def elements(some: dict[int, int]) -> dict[bytes, Element]:
        return {
            bytes([n] * 4): Element(bytes([n] * 4), bytes([data] * 8)) for n, data in some.items()
        }

    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, kernel:
        held, guess = elements(there), elements(wanted)
        other = differences(ours, Kernel(kernel, held), guess)
    assert other is not None
    assert {**guess, **other} == {key: held.get(key) for key in guess}
