"""Signed queries and replies, with dnspython at the other end."""

from __future__ import annotations

import time
from pathlib import Path

import dns.message
import dns.tsig
import dns.tsigkeyring
import pytest

from sampan.dns import message
from sampan.dns.plugin import Client
from tests.dns.desk import Desk, desk

SECRET = "NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk="
COREFILE = """example.org {
    tsig {
        secret Key.example.org. NoTCJU+DMqFWywaPyxSijrDEA/eC3nK0xi3AMEZuPVk=
        require TXT
    }
    whoami
}
"""
RING = dns.tsigkeyring.from_text({"key.example.org.": SECRET})


def signed(
    kind: str = "A", ring: object = RING, name: str = "a.example.org.", **options: object
) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    query.use_tsig(ring, **options)
    return query


@pytest.mark.parametrize(
    "algorithm",
    [dns.tsig.HMAC_MD5, dns.tsig.HMAC_SHA1, dns.tsig.HMAC_SHA224, dns.tsig.HMAC_SHA256,
     dns.tsig.HMAC_SHA384, dns.tsig.HMAC_SHA512],
    ids=str,
)  # fmt: skip
async def test_a_signed_query_is_answered_with_a_signature(algorithm: object) -> None:
    async with desk(COREFILE) as server:
        query = signed("TXT", algorithm=algorithm)
        reply = await server.wire(query.to_wire())
    read = dns.message.from_wire(reply, keyring=RING, request_mac=query.mac)
    assert read.had_tsig
    assert read.rcode() == 0
    assert message.parse(reply).additional[-1].type == 250


async def test_a_query_of_a_type_that_must_be_signed_is_refused_without() -> None:
    async with desk(COREFILE) as server:
        assert (await server.ask("a.example.org.", "TXT")).rcode() == dns.rcode.REFUSED
        assert (await server.ask("a.example.org.", "A")).rcode() == dns.rcode.NOERROR


async def refusal(server: Desk, wire: bytes) -> tuple[int, int]:
    """Response code and the signature's error."""
    read = message.parse(await server.wire(wire))
    rdata = read.additional[-1].rdata
    after = rdata.index(b"\0") + 1
    size = int.from_bytes(rdata[after + 8 : after + 10])
    return read.rcode, int.from_bytes(rdata[after + 12 + size : after + 14 + size])


async def test_a_wrong_signature_an_unknown_key_and_an_old_one_are_told_apart() -> None:
    wrong = dns.tsigkeyring.from_text({"key.example.org.": SECRET[:-2] + "g="})
    unknown = dns.tsigkeyring.from_text({"other.example.org.": SECRET})
    async with desk(COREFILE) as server:
        assert await refusal(server, signed(ring=wrong).to_wire()) == (9, 16)
        assert await refusal(server, signed(ring=unknown).to_wire()) == (9, 17)
        server.world.clock = Late()
        plugin = server.instance.sites[0].settings.plugins["tsig"][0]
        plugin.now = server.world.clock.now  # type: ignore[attr-defined]
        assert await refusal(server, signed().to_wire()) == (9, 18)


class Late:
    def now(self) -> float:
        return time.time() + 3600

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        return None


async def test_keys_come_from_a_file_in_named_conf_s_form(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(
        f'key "key.example.org." {{\n  algorithm hmac-sha256;\n  secret "{SECRET}";\n}};\n'
    )
    text = COREFILE.replace(f"secret Key.example.org. {SECRET}", f"secrets {path}")
    async with desk(text) as server:
        query = signed("TXT")
        reply = await server.wire(query.to_wire())
    assert dns.message.from_wire(reply, keyring=RING, request_mac=query.mac).had_tsig


async def test_every_message_of_a_transfer_is_signed(tmp_path: Path) -> None:
    zone = tmp_path / "db"
    hosts = (f"host-{i} 60 IN A 10.0.{i // 250}.{i % 250}" for i in range(4000))
    head = ["$ORIGIN example.org.", "@ 60 IN SOA ns x 1 2 3 4 5", "@ 60 IN NS ns"]
    zone.write_text("\n".join([*head, *hosts]) + "\n")
    text = COREFILE.replace("whoami", f"transfer {{\n to *\n }}\n file {zone}")
    text = text.replace("require TXT", "require AXFR")
    query = signed("AXFR", name="example.org.")
    async with desk(text) as server:
        parts = await server.answerer.full(query.to_wire(), Client(proto="tcp"))
    assert len(parts) > 1
    context, records = None, 0
    for part in parts:
        read = dns.message.from_wire(
            part, keyring=RING, request_mac=query.mac, xfr=True, tsig_ctx=context,
            multi=True, one_rr_per_rrset=True,
        )  # fmt: skip
        context = read.tsig_ctx
        assert read.had_tsig
        records += len(read.answer)
    assert records == 4003
