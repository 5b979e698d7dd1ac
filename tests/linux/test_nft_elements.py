"""Elements as the kernel lists them: cut at fixed places where all look alike, read one by one
where they do not, with the same result.
"""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from sampan.linux.base.nft import Element
from sampan.linux.real.nft import _element
from sampan.linux.real.nft_dump import alike, listed

SIZES = st.tuples(st.sampled_from((4, 8, 12, 16, 20)), st.sampled_from((0, 4, 8, 20)))


def listing(value: bytes) -> bytes:
    """A message's attributes, as the kernel sends them: table and set come first."""
    return struct.pack("=HH4s", 8, 1, b"t\0\0\0") + struct.pack("=HH", 4 + len(value), 3) + value


@given(sizes=SIZES, data=st.data())
def test_elements_of_one_shape_are_read_as_they_were_written(
    sizes: tuple[int, int], data: st.DataObject
) -> None:
    key, size = sizes
    words = st.lists(
        st.builds(Element, *(st.binary(min_size=n, max_size=n) for n in (key, size)), st.just(b"")),
        min_size=1,
        max_size=9,
    )
    wanted = data.draw(words)
    value = b"".join(_element(one, bool(size)) for one in wanted)
    assert alike(value) == wanted
    assert list(listed(listing(value))) == wanted


def test_elements_of_several_shapes_are_read_one_by_one() -> None:
    mixed = [
        Element(b"\1\2\3\4", b"\5\6\7\7"),
        Element(b"\1\2\3\5", b""),
        Element(b"\1\2\3\6", b"\1\1\1\1"),
    ]
    value = b"".join(_element(one, bool(one.data)) for one in mixed)
    assert alike(value) is None
    assert list(listed(listing(value))) == mixed


def test_intervals_are_read_one_by_one() -> None:
    ranges = [Element(bytes([n] * 4), b"", bytes([n] * 3 + [255])) for n in range(3)]
    value = b"".join(_element(one, False) for one in ranges)
    assert alike(value) is None
    assert list(listed(listing(value))) == ranges


def test_verdicts_are_no_values() -> None:
    value = bytearray(_element(Element(b"\1\2\3\4", b"\5\6\7\7"), True))
    assert alike(bytes(value)) is not None
    inner = len(value) - 6
    assert struct.unpack_from("=H", value, inner)[0] & 0x3FFF == 1
    struct.pack_into("=H", value, inner, 0x8002)
    assert alike(bytes(value)) is None


def test_nothing_is_nothing() -> None:
    assert alike(b"") is None
    assert list(listed(listing(b""))) == []
