"""Which time to live a record gets that names none; tried beside CoreDNS."""

from __future__ import annotations

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


@pytest.mark.parametrize("line", ["$INCLUDE", "x 1 TYPE65280 \\# 2 zz", "x 1 TYPE65280 \\# 3 abcd"])
def test_half_a_line_is_refused(line: str) -> None:
    with pytest.raises(BadZone):
        list(zonefile.read(line + "\n", "e.test.", "db"))
