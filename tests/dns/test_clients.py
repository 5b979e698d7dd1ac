"""Clients that people have, over every way that a query can come: the specification's table is
answered alike to all of them. The server starts without an API server, from a snapshot.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sampan.cluster.pki import Subject, new_authority
from sampan.dns.kube import snapshot
from tests.dns.clusters import DEMO
from tests.dns.desk import row
from tests.dns.test_processes import free_port
from tests.dns.test_specification import TABLE, D

pytestmark = pytest.mark.e2e
COREFILE = """(all) {{
    errors
    tls {folder}/dns.crt {folder}/dns.key
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        endpoint http://127.0.0.1:1
        pods verified
        ttl 30
        startup_timeout 100ms
        snapshot {folder}/snapshot
    }}
    loadbalance
}}
dns://.:{dns} {{
    import all
}}
tls://.:{tls} {{
    import all
}}
https://.:{https} {{
    import all
}}
"""
HERE = "127.0.0.1"
DIG = ["dig", "+noall", "+answer", "+comments", "+time=5", "+tries=1", "+noedns", f"@{HERE}"]
KDIG = ["kdig", "+noall", "+answer", "+header", "+time=5", "+retry=0", f"@{HERE}"]
WAYS: dict[str, tuple[list[str], str]] = {
    "dig udp": (DIG, "dns"),
    "dig tcp": ([*DIG, "+tcp"], "dns"),
    "dig tls": ([*DIG, "+tls"], "tls"),
    "dig https": ([*DIG, "+https"], "https"),
    "dig https get": ([*DIG, "+https-get"], "https"),
    "kdig udp": (KDIG, "dns"),
    "kdig tcp": ([*KDIG, "+tcp"], "dns"),
    "kdig tls": ([*KDIG, "+tls"], "tls"),
    "kdig https": ([*KDIG, "+https"], "https"),
    "drill udp": (["drill", f"@{HERE}"], "dns"),
    "drill tcp": (["drill", "-t", f"@{HERE}"], "dns"),
}


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    folder = tmp_path_factory.mktemp("clients")
    snapshot.write(str(folder / "snapshot"), map(row, DEMO))
    authority = new_authority("clients-ca")
    (folder / "ca.crt").write_bytes(authority.pem)
    authority.issue(Subject("dns", names=(HERE, "dns.example"))).write(folder, "dns")
    found = {name: free_port() for name in ("dns", "tls", "https")}
    (folder / "Corefile").write_text(COREFILE.format(folder=folder, **found))
    process = subprocess.Popen(
        [sys.executable, "-m", "sampan", "dns", "-conf", str(folder / "Corefile")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("Sampan-"):
            break
    assert process.poll() is None, "".join(said)
    try:
        yield {**found, "ca": str(folder / "ca.crt")}  # type: ignore[dict-item]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)
        process.stdout.close()


def told(words: list[str]) -> str:
    if shutil.which(words[0]) is None:
        pytest.skip(f"no {words[0]}; tools/prepare test installs it")
    # GnuTLS' kdig complains of a missing home where there is none.
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, "HOME": "/"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def records(text: str) -> tuple[str, list[str]]:
    """Response code and answer section, in whatever form the client prints them."""
    code = re.search(r"(?:status|rcode): ([A-Z]+)", text)
    assert code, text
    section = text.partition("ANSWER SECTION:")[2].partition(";;")[0]
    section = section or ("" if "SECTION" in text else text)
    lines = [" ".join(line.split()) for line in section.splitlines()]
    return code[1], sorted(line for line in lines if line and not line.startswith(";"))


@pytest.mark.parametrize("way", WAYS)
def test_every_record_over_every_way(ports: dict[str, int], way: str) -> None:
    words, transport = WAYS[way]
    asked = 0
    for name, kind, wanted in TABLE:
        if wanted == "SERVFAIL" or name.startswith(("ns.dns.", "cluster.local.", "out.")):
            continue  # nobody behind, or the machine's own addresses
        asked += 1
        code, found = records(told([*words, "-p", str(ports[transport]), name, kind]))
        if isinstance(wanted, list):
            assert (code, found) == ("NOERROR", sorted(wanted)), name
        else:
            assert (code, found) == ("NOERROR" if wanted == "NODATA" else wanted, []), name
    assert asked > 30


def test_nslookup_finds_addresses_and_names(ports: dict[str, int]) -> None:
    words = ["nslookup", f"-port={ports['dns']}", "-timeout=5"]
    assert "Address: 10.96.1.1\n" in told([*words, f"web.{D}", HERE])
    assert f"name = web.{D}" in told([*words, "10.96.1.1", HERE])


def test_a_certificate_that_is_asked_for_is_the_one_of_the_block(ports: dict[str, int]) -> None:
    for words in (
        [*DIG, "+tls", f"+tls-ca={ports['ca']}", "+tls-hostname=dns.example", "-p", "tls"],
        [*DIG, "+https", f"+tls-ca={ports['ca']}", "+tls-hostname=dns.example", "-p", "https"],
        [*KDIG, "+tls", f"+tls-ca={ports['ca']}", "+tls-hostname=dns.example", "-p", "tls"],
        [*KDIG, "+https", f"+tls-ca={ports['ca']}", "+tls-hostname=dns.example", "-p", "https"],
    ):
        words[-1] = str(ports[words[-1]])
        assert records(told([*words, f"web.{D}", "A"]))[1] == [f"web.{D} 30 IN A 10.96.1.1"]


@pytest.mark.parametrize(("offered", "chosen"), [(["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), (["http/1.0"], None)])  # fmt: skip  # noqa: E501
def test_https_is_2_where_the_client_can_and_1_1_otherwise(
    ports: dict[str, int], offered: list[str], chosen: str | None
) -> None:
    context = ssl.create_default_context(cafile=str(ports["ca"]))
    context.set_alpn_protocols(offered)
    with (
        socket.create_connection((HERE, ports["https"])) as sock,
        context.wrap_socket(sock, server_hostname="dns.example") as secure,
    ):
        assert secure.selected_alpn_protocol() == chosen


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl_resolves_over_https(ports: dict[str, int], version: str) -> None:
    """A query by hand, as RFC 8484 shows it; the media type and the lifetime are there."""
    query = "AAABAAABAAAAAAAAA3dlYgRkZW1vA3N2YwdjbHVzdGVyBWxvY2FsAAABAAE"
    url = f"https://{HERE}:{ports['https']}/dns-query?dns={query}"
    shown = told(["curl", "-s", "-k", version, "-D", "-", "-o", "/dev/null", url]).lower()
    head = "http/2 200" if version == "--http2" else "http/1.1 200 ok"
    assert shown.startswith(head)
    assert "content-type: application/dns-message" in shown
    assert "cache-control: max-age=30" in shown
    assert told(["curl", "-s", "-k", version, "-o", "/dev/null", "-w", "%{http_code}", url + "0"])
