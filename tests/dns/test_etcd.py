"""*etcd* against a real etcd: the article's example word for word, and everything around it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest

from sampan.cluster.pki import Subject, new_authority
from sampan.linux.real import netns
from tests.dns.desk import answers
from tests.dns.etcds import Etcd, running

pytestmark = pytest.mark.kernel
ETCD, DNS = "192.168.18.3", "169.169.0.100"
ARTICLE = """. {
    bind 169.169.0.100
    errors
    etcd com{
        path /skydns
        endpoint http://192.168.18.3:2379
        upstream /etc/resolv.conf
    }
    cache 160 com
    loadbalance
    forward . 127.0.0.9
}
"""


@pytest.fixture(autouse=True)
def own_network(tmp_path: Path) -> Iterator[None]:
    """The article's addresses, on a loopback of our own."""
    path = str(tmp_path / "netns")
    netns.create(path)
    try:
        with netns.inside(path):
            for words in (
                "link set lo up",
                f"addr add {ETCD}/32 dev lo",
                f"addr add {DNS}/32 dev lo",
            ):
                subprocess.run(["ip", *words.split()], check=True)
            yield
    finally:
        netns.remove(path)


def plain_etcd(folder: Path, number: int = 0) -> Etcd:
    home = folder / f"etcd{number}"
    home.mkdir()
    return Etcd(
        home, f"http://{ETCD}:{2379 + number * 10}", f"http://127.0.0.1:{2380 + number * 10}"
    )


@contextmanager
def served(folder: Path, text: str) -> Iterator[Path]:
    """`sampan dns` with this Corefile; its log."""
    (folder / "Corefile").write_text(text)
    log = folder / "dns.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "sampan", "dns", "-conf", str(folder / "Corefile")],
            stdout=out, stderr=out,
        )  # fmt: skip
    try:
        while "Sampan-" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.02)
        yield log
    finally:
        process.terminate()
        process.wait(10)


def ask(name: str, kind: str = "A") -> dns.message.Message:
    return dns.query.udp(dns.message.make_query(name, kind), DNS, timeout=8)


def rcode(name: str, kind: str = "A") -> str:
    return dns.rcode.to_text(ask(name, kind).rcode())


def test_the_article_s_example_word_for_word(tmp_path: Path) -> None:
    with running(plain_etcd(tmp_path)) as etcd, served(tmp_path, ARTICLE):
        etcd.put("/skydns/com/mycompany", '{"host":"10.1.1.1","ttl":60}')
        words = ["nslookup", "mycompany.com", DNS]
        shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert [line.split() for line in shown.splitlines() if line.strip()] == [
            ["Server:", DNS], ["Address:", f"{DNS}#53"],
            ["Name:", "mycompany.com"], ["Address:", "10.1.1.1"],
        ]  # fmt: skip
        assert answers(ask("mycompany.com")) == ["mycompany.com. 60 IN A 10.1.1.1"]
        assert rcode("yourcompany.com") == "NXDOMAIN"


RECORDS: dict[str, dict[str, object]] = {
    "com/mycompany/x1": {"host": "10.1.1.1", "port": 8080, "ttl": 60},
    "com/mycompany/x2": {"host": "10.1.1.2", "port": 8080, "ttl": 60},
    "com/mycompany/six": {"host": "2001:db8::6", "ttl": 60},
    "com/mycompany/www": {"host": "x1.mycompany.com", "ttl": 60},
    "com/mycompany/note": {"text": "keep this", "ttl": 60},
    "com/mycompany/both": {"host": "x2.mycompany.com", "text": "and a name", "ttl": 60},
    "com/mycompany/mx/1": {"host": "x2.mycompany.com", "mail": True, "priority": 7, "ttl": 60},
    "com/mycompany/web/a": {"host": "10.1.2.1", "port": 80, "priority": 20, "weight": 3, "ttl": 60},
    "com/mycompany/web/b": {"host": "10.1.2.2", "port": 80, "priority": 20, "weight": 1, "ttl": 60},
    "com/mycompany/web/c": {"host": "x1.mycompany.com", "port": 81, "priority": 30, "ttl": 60},
    "com/mycompany/grp/a": {"host": "10.1.3.1", "group": "g1", "ttl": 60},
    "com/mycompany/grp/b": {"host": "10.1.3.2", "group": "g1", "ttl": 60},
    "com/mycompany/grp/sub/c": {"host": "10.1.3.3", "group": "g2", "ttl": 60},
    "com/mycompany/strip/y/1": {"host": "10.1.4.1", "port": 9, "targetstrip": 1, "ttl": 60},
    "com/mycompany/shout": {"HOST": "10.1.5.1", "Ttl": 60, "unknown": [1], "text": None},
    "com/mycompany/octal": {"host": "010.1.1.1", "ttl": 60},
    "arpa/in-addr/10/1/1/1": {"host": "x1.mycompany.com", "ttl": 60},
    "arpa/in-addr/10/1/1/2": {"host": "x2.mycompany.com", "text": "a name for all", "ttl": 60},
}
M = "mycompany.com."
TABLE: list[tuple[str, str, list[str]]] = [
    ("x1.", "A", ["x1.M 60 IN A 10.1.1.1"]),
    ("X1.", "A", ["X1.M 60 IN A 10.1.1.1"]),
    ("x1.", "AAAA", []),
    ("x1.", "TXT", []),
    ("x1.", "SRV", ["x1.M 60 IN SRV 10 100 8080 x1.M"]),
    ("six.", "AAAA", ["six.M 60 IN AAAA 2001:db8::6"]),
    ("www.", "CNAME", ["www.M 60 IN CNAME x1.M"]),
    ("www.", "A", ["www.M 60 IN CNAME x1.M", "x1.M 60 IN A 10.1.1.1"]),
    ("note.", "TXT", ['note.M 60 IN TXT "keep this"']),
    ("both.", "TXT", ['both.M 60 IN TXT "and a name"']),
    ("both.", "A", []),
    ("both.", "CNAME", ["both.M 60 IN CNAME x2.M"]),
    ("both.", "SRV", []),
    ("mx.", "MX", ["mx.M 60 IN MX 7 x2.M"]),
    ("web.", "A", ["web.M 60 IN A 10.1.2.1", "web.M 60 IN A 10.1.2.2",
                   "web.M 60 IN CNAME x1.M", "x1.M 60 IN A 10.1.1.1"]),
    ("web.", "SRV", ["web.M 60 IN SRV 20 25 80 b.web.M", "web.M 60 IN SRV 20 75 80 a.web.M",
                     "web.M 60 IN SRV 30 100 81 x1.M"]),
    ("grp.", "A", ["grp.M 60 IN A 10.1.3.1", "grp.M 60 IN A 10.1.3.2"]),
    ("sub.grp.", "A", ["sub.grp.M 60 IN A 10.1.3.3"]),
    ("y.strip.", "SRV", ["y.strip.M 60 IN SRV 10 100 9 y.strip.M"]),
    ("*.web.", "SRV", ["*.web.M 60 IN SRV 20 25 80 b.web.M", "*.web.M 60 IN SRV 20 75 80 a.web.M",
                       "*.web.M 60 IN SRV 30 100 81 x1.M"]),
    ("any.grp.", "A", ["any.grp.M 60 IN A 10.1.3.1", "any.grp.M 60 IN A 10.1.3.2"]),
    ("a.*.", "A", ["a.*.M 60 IN A 10.1.2.1", "a.*.M 60 IN A 10.1.3.1"]),
    ("shout.", "A", ["shout.M 60 IN A 10.1.5.1"]),
    ("octal.", "CNAME", ["octal.M 60 IN CNAME 010.1.1.1."]),
]  # fmt: skip


def test_every_type_groups_wildcards_and_pointers(tmp_path: Path) -> None:
    text = ARTICLE.replace("etcd com{", "etcd com in-addr.arpa {\n stubzones").replace(
        "cache 160 com", ""
    )
    with running(plain_etcd(tmp_path)) as etcd, served(tmp_path, text) as log:
        for key, value in RECORDS.items():
            etcd.put(f"/skydns/{key}", value)
        for name, kind, wanted in TABLE:
            message = ask(name + M, kind)
            assert message.rcode() == 0, (name, kind)
            assert answers(message) == [_full(line) for line in wanted], (name, kind)
        assert answers(ask("1.1.1.10.in-addr.arpa", "PTR")) == [
            "1.1.1.10.in-addr.arpa. 60 IN PTR x1.mycompany.com."
        ]
        assert answers(ask("2.1.1.10.in-addr.arpa", "PTR")) == [
            "2.1.1.10.in-addr.arpa. 60 IN PTR x2.mycompany.com."
        ]
        assert rcode("3.1.1.10.in-addr.arpa", "PTR") == "NXDOMAIN"
        assert "panic" not in log.read_text()


def _full(line: str) -> str:
    return " ".join(
        word[:-1] + M if word.endswith("M") and "." in word else word for word in line.split()
    )


BAD = (
    '["host":"10.1.1.","ttl":60]', "[1]", '"10.1.1.1"', '{"host": 10}', '{"host":"a","port":"80"}',
    '{"host":"a","port":1.5}', '{"host":"a","ttl":-1}', '{"host":"a","mail":"yes"}', "",
)  # fmt: skip


def test_a_value_that_is_no_service_is_a_failure_that_names_its_key(tmp_path: Path) -> None:
    with running(plain_etcd(tmp_path)) as etcd:
        for number, value in enumerate(BAD):
            etcd.put(f"/skydns/com/bad{number}", value)
        etcd.put("/skydns/com/port", {"host": "10.1.1.1:80"})
        with served(tmp_path, ARTICLE) as log:
            for number in range(len(BAD)):
                assert rcode(f"bad{number}.com") == "SERVFAIL"
                assert f"/skydns/com/bad{number}: " in log.read_text()
            assert answers(ask("port.com", "CNAME")) == ["port.com. 160 IN CNAME 10.1.1.1:80."]
            assert "panic" not in log.read_text()


def test_another_path_and_the_time_of_a_lease(tmp_path: Path) -> None:
    text = ARTICLE.replace("path /skydns", "path /names/of/ours\n max-lease-ttl 90")
    text = text.replace("cache 160 com", "")
    with running(plain_etcd(tmp_path)) as etcd, served(tmp_path, text):
        etcd.put("/skydns/com/x", {"host": "10.1.1.9"})
        etcd.put("/names/of/ours/com/x", {"host": "10.1.1.1"})
        etcd.put("/names/of/ours/com/srv/a", {"host": "10.1.1.2", "port": 5})
        lease = etcd.ctl("lease", "grant", "3600").stdout.split()[1]
        etcd.put("/names/of/ours/com/leased", {"host": "10.1.1.3"}, f"--lease={lease}")
        etcd.put("/names/of/ours/com/short", {"host": "10.1.1.4", "ttl": 5}, f"--lease={lease}")
        assert answers(ask("x.com")) == ["x.com. 300 IN A 10.1.1.1"]
        assert answers(ask("srv.com", "SRV")) == ["srv.com. 300 IN SRV 10 100 5 a.srv.com."]
        assert answers(ask("leased.com")) == ["leased.com. 90 IN A 10.1.1.3"]
        assert answers(ask("short.com")) == ["short.com. 5 IN A 10.1.1.4"]
        etcd.ctl("lease", "revoke", lease)
        assert rcode("leased.com") == "NXDOMAIN"


def test_etcd_goes_away_and_comes_back_and_another_endpoint_takes_over(tmp_path: Path) -> None:
    first, second = plain_etcd(tmp_path), plain_etcd(tmp_path, 1)
    with ExitStack() as stack:
        for etcd in (first, second):
            stack.enter_context(running(etcd))
            etcd.put("/skydns/com/x", {"host": "10.1.1.1"})
        # No scheme is plain HTTP, as with etcd's own clients; nobody listens at the first.
        endpoints = f"endpoint {ETCD}:2399 {ETCD}:2379 http://{ETCD}:2389"
        text = ARTICLE.replace(f"endpoint http://{ETCD}:2379", endpoints)
        stack.enter_context(served(tmp_path, text.replace("cache 160 com", "")))
        assert answers(ask("x.com"))
        first.stop()
        assert answers(ask("x.com"))
        second.stop()
        assert rcode("x.com") == "SERVFAIL"
        first.start()
        assert answers(ask("x.com"))


def test_what_ran_out_is_served_on_while_etcd_is_away(tmp_path: Path) -> None:
    text = ARTICLE.replace("cache 160 com", "cache 160 com {\n serve_stale\n }")
    with running(plain_etcd(tmp_path)) as etcd, served(tmp_path, text):
        etcd.put("/skydns/com/x", {"host": "10.1.1.1", "ttl": 1})
        assert answers(ask("x.com"))
        etcd.stop()
        time.sleep(6)  # the cache's smallest time
        assert answers(ask("x.com")) == ["x.com. 0 IN A 10.1.1.1"]


def test_a_user_with_a_password_reads_what_he_may_and_is_known_again_after_a_restart(
    tmp_path: Path,
) -> None:
    text = ARTICLE.replace("path /skydns", "path /skydns\n credentials dns secret")
    with running(plain_etcd(tmp_path)) as etcd:
        etcd.put("/skydns/com/x", {"host": "10.1.1.1"})
        with served(tmp_path, text.replace("cache 160 com", "")) as log:
            assert answers(ask("x.com"))  # credentials that nobody asks for do no harm
            for words in (
                "user add root:toor", "user grant-role root root", "user add dns:secret",
                "role add reader", "role grant-permission reader read --prefix=true /skydns/com/",
                "role grant-permission reader read /skydns/com", "user grant-role dns reader",
                "auth enable",
            ):  # fmt: skip
                etcd.ctl(*words.split())
            etcd.user = "root:toor"
            assert answers(ask("x.com"))
            etcd.stop()
            etcd.start()
            assert answers(ask("x.com"))  # the old token is unknown; a new one is fetched
            etcd.ctl("role", "grant-permission", "reader", "read", "/other")
            assert answers(ask("x.com"))  # tokens of before a change of rights are refused
            etcd.ctl("user", "revoke-role", "dns", "reader")
            assert rcode("x.com") == "SERVFAIL"
            assert "permission denied" in log.read_text()


def test_tls_with_certificates_of_both_sides(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    ca = new_authority("etcd-ca")
    keys.mkdir()
    (keys / "ca.crt").write_bytes(ca.pem)
    ca.issue(Subject("etcd", names=(ETCD, "127.0.0.1"))).write(keys, "server")
    ca.issue(Subject("client")).write(keys, "client")
    home = tmp_path / "etcd"
    home.mkdir()
    guarded = Etcd(home, f"https://{ETCD}:2379", "http://127.0.0.1:2380", tls=keys)
    files = f"tls {keys}/client.crt {keys}/client.key {keys}/ca.crt"
    with running(guarded) as etcd:
        etcd.put("/skydns/com/x", {"host": "10.1.1.1"})
        with served(
            tmp_path, ARTICLE.replace("http://", "https://").replace("path /skydns", files)
        ):
            assert answers(ask("x.com")) == ["x.com. 160 IN A 10.1.1.1"]
        with served(tmp_path, ARTICLE.replace("http://", "https://")) as log:
            assert rcode("x.com") == "SERVFAIL"
            assert "certificate" in log.read_text().lower()
