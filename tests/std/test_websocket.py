"""WebSocket frames against the RFC's own examples and each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.std import websocket as ws


def test_the_accept_key_is_that_of_the_rfc() -> None:
    assert ws.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_rfc_examples_decode() -> None:
    hello = bytes.fromhex("818537fa213d7f9f4d5158")
    assert ws.Decoder().feed(hello) == [ws.Frame(ws.TEXT, b"Hello")]
    fragments = bytes.fromhex("010348656c80026c6f")
    assert ws.Decoder().feed(fragments) == [ws.Frame(ws.TEXT, b"Hello")]


@given(st.lists(st.binary(max_size=300)), st.booleans(), st.integers(1, 50))
def test_what_is_encoded_is_decoded_however_it_is_cut(
    payloads: list[bytes], mask: bool, step: int
) -> None:
    frames = [ws.Frame(ws.BINARY, payload) for payload in payloads]
    wire = b"".join(ws.encode(frame, mask=mask) for frame in frames)
    decoder = ws.Decoder()
    got = [f for at in range(0, len(wire), step) for f in decoder.feed(wire[at : at + step])]
    assert got == frames


def test_a_large_message_uses_the_wide_lengths() -> None:
    for size in (125, 126, 65535, 65536):
        frame = ws.Frame(ws.BINARY, b"x" * size)
        assert ws.Decoder().feed(ws.encode(frame, mask=True)) == [frame]


def test_a_ping_may_come_between_fragments() -> None:
    decoder = ws.Decoder()
    got = decoder.feed(b"\x02\x01a" + ws.encode(ws.Frame(ws.PING, b"p")) + b"\x80\x01b")
    assert got == [ws.Frame(ws.PING, b"p"), ws.Frame(ws.BINARY, b"ab")]


@pytest.mark.parametrize("wire", [b"\xc1\x00", b"\x80\x01x", b"\x01\x00\x01\x00", b"\x09\x00"])
def test_what_the_rfc_forbids_is_refused(wire: bytes) -> None:
    with pytest.raises(ws.ProtocolViolation):
        ws.Decoder().feed(wire)


def test_a_message_beyond_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(ws.ProtocolViolation, match="more than 10 bytes"):
        ws.Decoder(limit=10).feed(b"\x82\x7f" + (1 << 40).to_bytes(8, "big"))
