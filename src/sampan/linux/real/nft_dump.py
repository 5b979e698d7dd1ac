"""What a set of nftables holds, as the kernel tells it: a dump to its end, or single elements asked
for by their key; and elements out of the bytes. Nothing here writes.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from sampan.linux.base.nft import Element

NETLINK_ERROR, NETLINK_DONE = 2, 3
DUMP_INTERRUPTED = 0x10
KEY, DATA, FLAGS, KEY_END = 1, 2, 3, 10
VERDICT = 2
VERDICTS = {0: "drop", 1: "accept", -3: "jump", -4: "goto", -5: "return"}
PART = 1 << 16
"""Bytes for a part of a dump: the kernel makes none larger than half of it."""
PATIENCE_S = 5
"""So long may the kernel be silent in the middle of an answer."""
WHOLE_S = 120.0
"""So long may one answer take; of 300,000 elements it takes five seconds."""
AT_ONCE = 256
"""Elements asked for in one message: each comes in a packet of its own, which must find room."""
SINGLE = 4096
MOST = 1000
"""With more differences than this a dump is as good."""
Ask = Callable[[bytes], None]
"""Sends a request for elements, given in the attribute that lists them."""


class Torn(Exception):
    """The kernel says that an answer does not hold together (NLM_F_DUMP_INTR), or lost a part."""


def answer(
    sock: socket.socket,
    sequence: int,
    *,
    whole_s: float = WHOLE_S,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[bytes]:
    """The bodies of all messages that answer one request. Raises Torn at the end if somebody wrote
    meanwhile: then something may lack. The kernel flags that not for every kind of set, but each
    message names its generation. Raises OSError where the kernel refuses, and TimeoutError where it
    falls silent or finds no end: then the socket is good for nothing more.
    """
    until = clock() + whole_s
    torn = False
    generations: set[bytes] = set()
    while True:
        data, lost = _part(sock)
        torn = torn or lost
        for kind, flags, body in _answers(data, sequence):
            torn = torn or bool(flags & DUMP_INTERRUPTED)
            if kind not in (NETLINK_ERROR, NETLINK_DONE):
                generations.add(body[2:4])
                yield body
                continue
            code = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
            if code > 0:
                raise OSError(code, os.strerror(code))
            if torn or len(generations) > 1:
                raise Torn
            return
        if clock() > until:
            raise TimeoutError(errno.ETIMEDOUT, f"no end of the answer after {whole_s:.0f} s")


def _part(sock: socket.socket) -> tuple[bytes, bool]:
    """What comes next, and whether something before it was lost."""
    try:
        data = sock.recv(PART)
    except BlockingIOError as error:
        raise TimeoutError(errno.ETIMEDOUT, "the kernel stopped in the middle of it") from error
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise
        return b"", True
    if not data:
        raise TimeoutError(errno.ETIMEDOUT, "the kernel hung up in the middle of it")
    return data, False


def differences(
    sock: socket.socket, ask: Ask, guess: Mapping[bytes, Element]
) -> dict[bytes, Element | None] | None:
    """What a set holds at the keys of these instead of them, None for nothing; elements at other
    keys are not looked for. None for all if that cannot be told: too much differs, or somebody
    writes meanwhile. Then the socket may still have answers to come.

    A dump of a large set walks it from its beginning for each part, so it costs the square of the
    set's size; this costs as much as there is to ask.
    """
    wanted = list(guess.values())
    found: dict[bytes, Element | None] = {}
    form: tuple[bytes, bytes, bytes] | None = None
    at = 0
    while at < len(wanted) and len(found) <= MOST:
        part = wanted[at : at + AT_ONCE]
        ask(_wanted(part))
        for one in part:
            at += 1
            message = sock.recv(SINGLE)
            if form and message[16:] == form[0] + one[0] + form[1] + one[1] + form[2]:
                continue
            if _code(message) == errno.ENOENT:
                # That ends the answer: the rest is asked for again.
                found[one.key] = None
                break
            there = _single(message)
            if there is None or (form and message[16:20] != form[0][:4]):
                return None
            form = form or _form(message, there)
            if form is None:
                return None
            if there != one:
                found[one.key] = there
        else:
            if _code(sock.recv(SINGLE)) != 0:
                return None
    return found if at == len(wanted) else None


def _wanted(elements: Sequence[Element]) -> bytes:
    size = len(elements[0].key)
    # Element, key, value: nested attributes, all but the key constant.
    lead = struct.pack("=6H", 12 + size, 0x8001, 8 + size, 0x8001, 4 + size, 1)
    return b"".join([lead + key for key, _, _ in elements])


def _code(message: bytes) -> int:
    """The error that a message tells, 0 for none; -1 if it is another message."""
    if len(message) < 20 or struct.unpack_from("=H", message, 4)[0] != NETLINK_ERROR:
        return -1
    return -int(struct.unpack_from("=i", message, 16)[0])


def _single(message: bytes) -> Element | None:
    """The only element of a message."""
    if _code(message) >= 0:
        return None
    found = list(listed(message[20:]))
    return found[0] if len(found) == 1 else None


def _form(message: bytes, element: Element) -> tuple[bytes, bytes, bytes] | None:
    """The body of a message with one element is these three, with key and data between them; None
    if it has more than key and data.
    """
    body = message[16:]
    start = 4
    for kind, value in attributes(body[4:]):
        if kind == 3:
            break
        start += 4 + (len(value) + 3 & ~3)
    if not _shape(body[start + 4 :]):
        return None
    key = start + 4 + 12
    data = key + len(element.key) + (8 if element.data else 0)
    end = data + len(element.data)
    return body[:key], body[key + len(element.key) : data], body[end:]


# From bytes.


def _answers(data: bytes, sequence: int) -> Iterator[tuple[int, int, bytes]]:
    """Kind, flags and body; what answers an older request is a left-over."""
    start = 0
    while start + 16 <= len(data):
        length, kind, flags, number = struct.unpack_from("=IHHI", data, start)
        if number == sequence:
            yield kind, flags, data[start + 16 : start + length]
        start += max(16, (length + 3) & ~3)


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    while start + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, start)
        yield kind, data[start + 16 : start + length]
        start += max(16, (length + 3) & ~3)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    while start + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, start)
        if length < 4:
            return
        yield kind & 0x3FFF, data[start + 4 : start + length]
        start += (length + 3) & ~3


def listed(body: bytes) -> Iterator[Element]:
    """The elements in one message."""
    for kind, value in attributes(body):
        if kind != 3:
            continue
        found = alike(value)
        if found is not None:
            yield from found
            continue
        for _, item in attributes(value):
            parts = dict(attributes(item))
            if KEY not in parts:
                continue
            yield Element(
                *(_value(parts.get(part)) for part in (KEY, DATA, KEY_END)),
            )


def alike(value: bytes) -> list[Element] | None:
    """Elements that all have the first one's shape, key and perhaps data and nothing else, cut at
    fixed places: several times faster than reading every attribute. None where they differ.
    """
    shape = _shape(value)
    if not shape:
        return None
    form, heads, stride = shape
    count, rest = divmod(len(value), stride)
    if rest or any(value[at::stride].count(value[at]) != count for at in heads):
        # Other lengths or other attributes somewhere.
        return None
    new = tuple.__new__
    found = struct.iter_unpack(form, value)
    if len(heads) == 12:
        return [new(Element, (key, b"", b"")) for (key,) in found]
    return [new(Element, (key, data, b"")) for key, data in found]


def _shape(value: bytes) -> tuple[str, Sequence[int], int] | None:
    """The form of the first element with its key, and its data if it has any; the places of what
    must be the same in all; and its length. None if it has more.
    """
    if len(value) < 12:
        return None
    stride, key = (struct.unpack_from("=H", value, at)[0] for at in (0, 8))
    stride, key = (stride + 3) & ~3, key - 4
    form = f"=12x{key}s{-key % 4}x"
    size = struct.calcsize(form)
    heads = list(range(12))
    if size + 8 <= stride <= len(value):
        kind, data, inner = struct.unpack_from("=2xHHH", value, size)
        if kind & 0x3FFF == DATA and inner & 0x3FFF == 1:
            # A value; a verdict is another attribute.
            form += f"8x{data - 4}s{-data % 4}x"
            heads += range(size, size + 8)
    return (form, heads, stride) if struct.calcsize(form) == stride <= len(value) else None


def _value(nested: bytes | None) -> bytes:
    parts = dict(attributes(nested)) if nested else {}
    if VERDICT not in parts:
        return parts.get(1, b"")
    verdict = dict(attributes(parts[VERDICT]))
    word = VERDICTS.get(struct.unpack("!i", verdict[1])[0], "")
    return f"{word} {verdict.get(2, b'').rstrip(bytes(1)).decode()}".strip().encode()
