"""The codec: what goes in comes out, dnspython agrees, and no bytes crash or hang it."""

from __future__ import annotations

import contextlib
import os

import dns.exception
import dns.message
import dns.name
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.dns import codes, message, names, rdata
from sampan.dns.backend import kind_of_host
from sampan.dns.message import BadMessage, Edns, Message, Question, Record
from sampan.dns.render import render

EXAMPLES = int(os.environ.get("SAMPAN_EXAMPLES", "30"))
"""More for a long night: SAMPAN_EXAMPLES=20000."""
labels = st.binary(min_size=1, max_size=20)
any_name = st.lists(labels, max_size=8).map(
    lambda parts: "".join(names.escape(part) + "." for part in parts) or "."
)
WORDS = ["a", "B", "org", "example", "svc", "_tcp", "x-1", "cluster", "x" * 63, "local", "0"]
plain_name = st.lists(st.sampled_from(WORDS), max_size=4).map(lambda parts: ".".join(parts) + ".")
addresses = st.ip_addresses(v=4).map(lambda ip: rdata.a_record("x.", 1, str(ip)).rdata)
addresses6 = st.ip_addresses(v=6).map(lambda ip: rdata.a_record("x.", 1, str(ip)).rdata)


@st.composite
def records(draw: st.DrawFn) -> Record:
    owner, ttl = draw(plain_name), draw(st.integers(0, 2**31 - 1))
    kind = draw(
        st.sampled_from([codes.A, codes.AAAA, codes.CNAME, codes.NS, codes.PTR, codes.MX,
                         codes.SRV, codes.SOA, codes.TXT, 65280])
    )  # fmt: skip
    if kind == codes.A:
        data = draw(addresses)
    elif kind == codes.AAAA:
        data = draw(addresses6)
    elif kind in (codes.CNAME, codes.NS, codes.PTR):
        data = names.wire(draw(plain_name))
    elif kind == codes.MX:
        data = draw(st.binary(min_size=2, max_size=2)) + names.wire(draw(plain_name))
    elif kind == codes.SRV:
        data = draw(st.binary(min_size=6, max_size=6)) + names.wire(draw(plain_name))
    elif kind == codes.SOA:
        data = names.wire(draw(plain_name)) + names.wire(draw(plain_name)) + b"\1" * 20
    elif kind == codes.TXT:
        parts = draw(st.lists(st.binary(max_size=30), min_size=1, max_size=3))
        data = b"".join(bytes((len(part),)) + part for part in parts)
    else:
        data = draw(st.binary(max_size=40))
    return Record(owner, kind, codes.IN, ttl, data)


sections = st.lists(records(), max_size=3).map(tuple)
edns = st.none() | st.builds(
    Edns,
    st.integers(0, 65535),
    st.sampled_from([0, codes.DO]),
    st.just(0),
    st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=12)), max_size=3).map(tuple),
)
messages = st.builds(
    Message,
    st.integers(0, 65535),
    st.integers(0, 65535).map(lambda bits: bits & 0x87B0),
    st.sampled_from([codes.QUERY, 4]),
    st.integers(0, 15),
    st.builds(Question, plain_name, st.integers(1, 255), st.sampled_from([1, 3])),
    sections, sections, sections, edns,
)  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(messages)
def test_a_message_is_the_same_after_the_wire_compressed_or_not(whole: Message) -> None:
    for wire in (render(whole), render(whole, squeeze_over=0)):
        assert message.parse(wire) == whole


@settings(max_examples=EXAMPLES, deadline=None)
@given(messages)
def test_compression_never_makes_a_message_longer(whole: Message) -> None:
    assert len(render(whole, squeeze_over=0)) <= len(render(whole))


@settings(max_examples=EXAMPLES, deadline=None)
@given(messages)
def test_dnspython_reads_what_we_write(whole: Message) -> None:
    for wire in (render(whole), render(whole, squeeze_over=0)):
        theirs = dns.message.from_wire(wire, one_rr_per_rrset=True, continue_on_error=True)
        assert theirs.id == whole.id
        for section, ours in ((theirs.answer, whole.answer), (theirs.authority, whole.authority)):
            assert len(section) == len(ours)
            for rrset, record in zip(section, ours, strict=True):
                assert rrset.name.to_wire() == names.wire(record.name)
                assert rrset.rdtype == record.type


@settings(max_examples=EXAMPLES, deadline=None)
@given(messages, st.integers(512, 1500))
def test_a_reply_stays_within_its_limit_and_says_when_an_answer_is_missing(
    whole: Message, limit: int
) -> None:
    wire = render(whole._replace(flags=whole.flags & ~codes.TC), limit)
    if whole.edns is None or sum(len(data) + 4 for _, data in whole.edns.options) < 64:
        assert len(wire) <= limit
    cut = message.parse(wire)
    assert bool(cut.flags & codes.TC) == (len(cut.answer) < len(whole.answer))
    assert cut.answer == whole.answer[: len(cut.answer)]
    assert cut.authority == whole.authority[: len(cut.authority)]


@given(any_name)
def test_a_name_is_the_same_after_the_wire(name: str) -> None:
    try:
        wire = names.wire(name)
    except names.BadName:
        assert sum(map(len, names.split(name))) > 120
        return
    assert names.read(wire, 0) == (name, len(wire))
    assert dns.name.from_wire(wire, 0)[0].to_wire() == wire
    assert len(names.split(name)) == len(dns.name.from_text(name).labels) - 1


@settings(max_examples=EXAMPLES * 20, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_crash_the_parser(wire: bytes) -> None:
    with contextlib.suppress(BadMessage):
        message.parse(wire)


@settings(max_examples=EXAMPLES, deadline=None)
@given(messages, st.data())
def test_damage_is_refused_or_read_but_nothing_else(whole: Message, data: st.DataObject) -> None:
    wire = bytearray(render(whole, squeeze_over=0))
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(12, len(wire) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadMessage):
        again = message.parse(bytes(wire))
        with contextlib.suppress(names.BadName):
            render(again)


@pytest.mark.parametrize(
    "wire",
    [b"\xc0\x0c", b"\xc0\x0e\xc0\x0c", b"\x01a\xc0\x0c", b"\x40abc", b"\x80a", b"\x3fabc", b"\xc0"],
    ids=["itself", "two pointers", "after a label", "type 1", "type 2", "too short", "half"],
)
def test_a_name_that_leads_nowhere_is_refused(wire: bytes) -> None:
    with pytest.raises(names.BadName):
        names.read(b"\0" * 12 + wire, 12)


def test_a_name_over_255_bytes_is_refused() -> None:
    long = b"\x3f" + b"a" * 63
    with pytest.raises(names.BadName):
        names.read(long * 4 + b"\0", 0)
    assert names.read(long * 3 + b"\x3d" + b"a" * 61 + b"\0", 0)[1] == 255


def test_counts_that_promise_more_than_comes_are_forgiven() -> None:
    wire = bytearray(render(message.query("example.org.", codes.A, 7)))
    wire[6:8] = b"\0\5"
    assert message.parse(bytes(wire)).answer == ()


@given(records())
def test_data_as_text_is_what_dnspython_reads(record: Record) -> None:
    if record.type == 65280:
        return
    kind = dns.rdatatype.to_text(record.type)
    theirs = dns.rdata.from_text("IN", kind, rdata.text(record), relativize=False)
    ours = dns.rdata.from_wire("IN", kind, record.rdata, 0, len(record.rdata))
    assert theirs == ours


@pytest.mark.parametrize(
    ("network", "zones"),
    [
        ("10.0.0.0/8", ["10.in-addr.arpa."]),
        ("10.0.0.0/23", ["0.0.10.in-addr.arpa.", "1.0.10.in-addr.arpa."]),
        ("192.168.1.17/32", ["17.1.168.192.in-addr.arpa."]),
        ("2001:db8::/32", ["8.b.d.0.1.0.0.2.ip6.arpa."]),
        ("fd00::/7", ["c.f.ip6.arpa.", "d.f.ip6.arpa."]),
    ],
)
def test_a_network_is_its_reverse_zones(network: str, zones: list[str]) -> None:
    assert names.zones_of_network(network) == zones


@pytest.mark.parametrize(
    ("host", "kind"),
    [("10.0.0.1", "A"), ("010.0.0.1", "CNAME"), ("10.0.0", "CNAME"), ("10.0.0.256", "CNAME"),
     ("fd00::7", "AAAA"), ("::ffff:10.0.0.1", "AAAA"), ("fe80::1%eth0", "CNAME"), ("", "CNAME"),
     ("db.example.org", "CNAME"), ("a\0b", "CNAME"), ("\u0661.2.3.4", "CNAME")],
)  # fmt: skip
def test_what_a_host_is_an_address_or_a_name(host: str, kind: str) -> None:
    assert codes.type_name(kind_of_host(host)) == kind
