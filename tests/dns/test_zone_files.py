"""Which time to live a record gets that names none; tried beside CoreDNS."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.dns import zonefile
from sampan.dns.zonefile import BadZone

SOA = "@ IN SOA ns a 1 2 3 4 77\n"


@pytest.mark.parametrize(
    ("content", "ttls"),
    [
        (SOA + "x 9 A 1.2.3.5\ny A 1.2.3.6\n", [0, 9, 9]),
        ("$TTL 5\n" + SOA + "x A 1.2.3.5\n", [5, 5]),
        (SOA + "x IN A 1.2.3.5\n", [0, 0]),
        ("@ 7 IN SOA ns a 1 2 3 4 77\nx A 1.2.3.5\n", [7, 7]),
    ],
    ids=["the one before", "$TTL", "a class but no TTL", "the SOA's"],
)
def test_a_record_without_a_ttl(content: str, ttls: list[int]) -> None:
    assert [record.ttl for record in zonefile.read(content, "e.test.", "db")] == ttls


def test_a_type_right_behind_the_owner_needs_a_ttl_from_somewhere() -> None:
    with pytest.raises(BadZone) as bad:
        list(zonefile.read(SOA + "www A 1.2.3.4\n", "e.test.", "db"))
    wanted = 'db: dns: missing TTL with no previous value: "A" at line: 2:6'
    assert str(bad.value) == wanted


HEAD = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("www A 1.2.3.4 5.6.7.8", 'garbage after rdata: "5.6.7.8" at line: 3:21'),
        ("www A ; c", 'bad A A: "\\n" at line: 3:9'),
        ("www AAAA 1.2.3.4", 'bad AAAA AAAA: "1.2.3.4" at line: 3:16'),
        ("www IN", 'not a TTL: "IN" at line: 3:6'),
        ("www", 'no blank before TTL: "\\n" at line: 3:3'),
        ("www IN IN A 1.2.3.4", 'expecting RR type or TTL, not this...: "IN" at line: 3:10'),
        ("www 60 60 A 1.2.3.4", 'expecting RR type or class, not this...: "60" at line: 3:10'),
        ("www 60 IN FOO 1.2.3.4", 'unknown RR type: "FOO" at line: 3:14'),
        ("www 4294967296 A 1.2.3.4", 'not a TTL: "4294967296" at line: 3:15'),
        ("www TYPEX \\# 1 00", 'unknown RR type: "unknown RR type" at line: 3:10'),
        ("www TYPE65280 \\# 4 010203", 'bad RFC3597 Rdata: "4" at line: 3:19'),
        ("www CNAME a..b", 'bad CNAME Target: "a..b" at line: 3:14'),
        ("www MX mail", 'bad MX Pref: "mail" at line: 3:11'),
        ("www MX 10", 'bad MX Mx: " " at line: 3:7'),
        ("www SRV 1 2 70000 t", 'bad SRV Port: "70000" at line: 3:18'),
        ('www CAA x issue "ca"', 'bad CAA Flag: "x" at line: 3:10'),
        ('www TXT "unbalanced', 'bad TXT Txt: " " at line: 3:8'),
        ("@ SOA a b 1h 2 3 4 5", 'bad SOA zone parameter: "1h" at line: 3:13'),
        ("$TTL x", 'expecting $TTL value, not this...: "x" at line: 3:6'),
        ("$ORIGIN a..b", 'bad origin name: "a..b" at line: 3:12'),
        ("$GENERATE 1-3/0 h$ A 10.0.0.$", 'bad step in $GENERATE range: "1-3/0" at line: 3:16'),
        ("$GENERATE 1-2 h${x} A 1.1.1.1", 'bad offset in $GENERATE: "${x}" at line: 3:16'),
        ("www A 1.2.3.4 )", 'garbage after rdata: "extra closing brace" at line: 3:15'),
        ("www A ( 1.2.3.4", 'garbage after rdata: "unbalanced brace" at line: 3:15'),
    ],
)
def test_an_error_names_what_was_read_and_where_it_ended(line: str, wanted: str) -> None:
    with pytest.raises(BadZone) as bad:
        list(zonefile.read(HEAD + line + "\n", "e.test.", "db"))
    assert str(bad.value) == "db: dns: " + wanted


def test_generated_records_live_an_hour_whatever_the_default_is() -> None:
    lines = '$GENERATE 1-2 h${9,3} A 10.0.0.$\n$GENERATE 1-1 t$ 7 TXT $$ "a;$"\n'
    found = list(zonefile.read(HEAD + lines, "e.test.", "db"))[1:]
    assert [(one.name, one.ttl) for one in found] == [
        ("h010.e.test.", 3600), ("h011.e.test.", 3600), ("t1.e.test.", 7),
    ]  # fmt: skip
    assert found[2].rdata == b"\1$\3a;1"


def test_an_included_file_takes_the_default_ttl_and_keeps_its_own(tmp_path: Path) -> None:
    (tmp_path / "more").write_text("a A 1.1.1.1\n$TTL 9\n$ORIGIN sub\nb A 1.1.1.2\n")
    content = "@ 7 SOA ns h 1 2 3 4 5\n$INCLUDE more\nc A 1.1.1.3\n"
    found = list(zonefile.read(content, "e.test.", str(tmp_path / "db")))[1:]
    assert [(one.name, one.ttl) for one in found] == [
        ("a.e.test.", 7), ("b.sub.e.test.", 9), ("c.e.test.", 7),
    ]  # fmt: skip


@pytest.mark.parametrize("line", ["$INCLUDE", "x 1 TYPE65280 \\# 2 zz", "x 1 TYPE65280 \\# 3 abcd"])
def test_half_a_line_is_refused(line: str) -> None:
    with pytest.raises(BadZone):
        list(zonefile.read(line + "\n", "e.test.", "db"))
