"""Every plugin has a man page in CoreDNS' form, and what its examples show is what happens."""

from __future__ import annotations

import base64
import datetime
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dns.flags
import dns.message
import dns.rdataclass
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sampan.dns import plugins
from sampan.dns.plugins import PLUGINS
from tests.dns.clusters import DEMO
from tests.dns.desk import Desk, desk, shown

FOLDER = Path(plugins.__file__).parent
SECTIONS = ("Name", "Syntax", "Examples")
ZONE = """$ORIGIN example.org.
$TTL 3600
@ IN SOA ns.example.org. admin.example.org. 1 7200 3600 1209600 600
@ IN NS ns.example.org.
ns IN A 192.0.2.53
www IN A 192.0.2.1
*.wild IN TXT "a wildcard"
"""
# What CoreDNS has and no cluster needs: clouds' name services, other protocols.
LEFT_OUT = {
    "geoip", "proxyproto", "quic", "grpc_server", "https", "https3", "dnstap", "route53", "azure",
    "clouddns", "grpc", "on", "nomad",
}  # fmt: skip
COREDNS = """root metadata geoip cancel proxyproto quic grpc_server https https3 timeouts
multisocket reload nsid bufsize bind debug trace ready health pprof shed prometheus errors log
dnstap local dns64 any chaos loadbalance tsig rewrite autopath acl cache header dnssec tls minimal
template transfer hosts route53 azure clouddns k8s_external kubernetes file auto secondary etcd loop
forward grpc erratic whoami on sign view nomad"""


class Example(NamedTuple):
    """A Corefile and what the blocks behind it say."""

    page: str
    number: int
    corefile: str
    checks: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.page}-{self.number}"


def blocks(text: str) -> Iterator[tuple[str, str]]:
    for found in re.finditer(r"^~~~ (\w+)\n(.*?)^~~~$", text, re.DOTALL | re.MULTILINE):
        yield found[1], found[2]


def examples() -> Iterator[Example]:
    for path in sorted(FOLDER.glob("*.md")):
        last: Example | None = None
        for kind, content in blocks(path.read_text()):
            if kind == "corefile":
                if last is not None:
                    yield last
                last = Example(path.stem, last.number + 1 if last else 1, content, ())
            elif last is not None:
                last = last._replace(checks=(*last.checks, (kind, content)))
        if last is not None:
            yield last


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the examples speak of."""
    for name in ("db.example.org", "zones/db.example.org"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(ZONE)
    (tmp_path / "signed").mkdir()
    (tmp_path / "signed" / "db.example.org.signed").write_text(ZONE)
    (tmp_path / "resolv.conf").write_text("search first.example.org example.org\n")
    write_keys(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_keys(folder: Path) -> None:
    """A DNSSEC key pair, and a certificate with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.private_numbers()
    public = numbers.public_numbers.x.to_bytes(32) + numbers.public_numbers.y.to_bytes(32)
    private = base64.b64encode(numbers.private_value.to_bytes(32)).decode()
    base = folder / "Kexample.org.+013+45330"
    base.with_name(base.name + ".key").write_text(
        f"example.org. IN DNSKEY 257 3 13 {base64.b64encode(public).decode()}\n"
    )
    base.with_name(base.name + ".private").write_text(
        f"Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: {private}\n"
    )
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (folder / "cert.pem").write_bytes(certificate(key))


def certificate(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dns.example.org")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now,
        now + datetime.timedelta(days=1),
    ).sign(key, hashes.SHA256())  # fmt: skip
    return made.public_bytes(serialization.Encoding.PEM)


def test_the_order_of_the_plugins_is_coredns_order() -> None:
    assert [name for name in COREDNS.split() if name not in LEFT_OUT] == list(PLUGINS)


@pytest.mark.parametrize("name", sorted(set(PLUGINS.values())))
def test_every_plugin_has_a_man_page(name: str) -> None:
    text = (FOLDER / f"{name}.md").read_text()
    directive = next(key for key, value in PLUGINS.items() if value == name)
    assert text.startswith(f"# {directive}\n\n## Name\n\n*{directive}* - ")
    found = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert [section for section in found if section in SECTIONS] == list(SECTIONS)
    assert any(kind == "corefile" for kind, _ in blocks(text))


@pytest.mark.parametrize("example", list(examples()), ids=str)
async def test_an_example_does_what_the_page_says(example: Example, folder: Path) -> None:
    if not example.checks:
        assert Desk(example.corefile, DEMO, None).instance.sites
        return
    async with desk(example.corefile, *DEMO) as server:
        for kind, content in example.checks:
            await CHECKS[kind](server, content)


def groups(text: str) -> Iterator[tuple[str, list[str]]]:
    """Lines with the indented ones below them."""
    head, below = "", list[str]()
    for line in text.splitlines():
        if line.startswith(" "):
            below.append(line.strip())
            continue
        if head:
            yield head, below
        head, below = line, []
    yield head, below


async def check_queries(server: Desk, text: str) -> None:
    for asked, (code, *records) in groups(text):
        *cls, name, kind = asked.split()
        query = dns.message.make_query(name, kind, cls[0] if cls else "IN")
        reply = dns.message.from_wire(await server.wire(query.to_wire()))
        wanted, _, flags = code.partition(" ")
        assert shown(reply)[:2] == (wanted, sorted(records)), asked
        assert not flags or dns.flags.to_text(reply.flags).lower() == flags


async def check_pages(server: Desk, text: str) -> None:
    for asked, (wanted,) in groups(text):
        response = await server.pages.get(*asked.split())
        code, _, content = wanted.partition(" ")
        assert response.status == int(code)
        assert content in (await response.read()).decode()


async def check_lines(server: Desk, text: str) -> None:
    for line in text.splitlines():
        assert line in server.log.lines


CHECKS = {"queries": check_queries, "pages": check_pages, "lines": check_lines}
