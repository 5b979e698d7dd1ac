"""What a real resolver asks for, name by name: search lists, `ndots:5`, full names."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SEARCH = ("default.svc.cluster.local", "svc.cluster.local", "cluster.local")
RESOLV = f"nameserver 10.96.0.10\nsearch {' '.join(SEARCH)}\noptions ndots:5 timeout:2\n"
COREFILE = """.:53 {
    log . "{type} {name} {rcode}"
    file FOLDER/zone .
}
"""
ZONE = """$ORIGIN .
@ 60 IN SOA ns.invalid. admin.invalid. 1 7200 3600 1209600 60
www.example.org 60 IN A 192.0.2.1
a.b.c.d.example.org 60 IN A 192.0.2.1
kubernetes.default.svc.cluster.local 60 IN A 10.96.0.1
prometheus.monitoring.svc.cluster.local 60 IN A 10.99.54.68
"""
WORLD = """
set -e
mount --bind {folder}/resolv.conf /etc/resolv.conf
mount --bind {folder}/nsswitch.conf /etc/nsswitch.conf
ip link set lo up && ip addr add 10.96.0.10/32 dev lo
{python} -m sampan dns -conf {folder}/Corefile > {folder}/log & server=$!
until grep -q Sampan- {folder}/log; do sleep 0.05; done
{client} > {folder}/answer || true
sleep 0.2
kill $server
wait $server || true
"""


def asked(folder: Path, client: str) -> tuple[list[tuple[str, str]], str]:
    """Every query with its answer's code, in order, and what the client printed."""
    (folder / "resolv.conf").write_text(RESOLV)
    (folder / "nsswitch.conf").write_text("hosts: dns\n")
    (folder / "Corefile").write_text(COREFILE.replace("FOLDER", str(folder)))
    (folder / "zone").write_text(ZONE)
    script = textwrap.dedent(WORLD).format(python=sys.executable, folder=folder, client=client)
    subprocess.run(["unshare", "-n", "-m", "sh", "-c", script], check=True)
    lines = re.findall(r"^\[INFO\] (\S+) (\S+) (\S+)$", (folder / "log").read_text(), re.MULTILINE)
    names: list[tuple[str, str]] = []
    for kind, name, code in lines:
        assert kind in ("A", "AAAA")
        if (name, code) not in names:
            names.append((name, code))
    for name, _ in names:
        assert {kind for kind, other, _ in lines if other == name} == {"A", "AAAA"}
    return names, (folder / "answer").read_text()


NO, YES = "NXDOMAIN", "NOERROR"


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("name", "sequence", "answer"),
    [
        (
            "www.example.org",
            [*((f"www.example.org.{domain}.", NO) for domain in SEARCH), ("www.example.org.", YES)],
            "192.0.2.1",
        ),
        ("www.example.org.", [("www.example.org.", YES)], "192.0.2.1"),
        ("a.b.c.d.example.org.", [("a.b.c.d.example.org.", YES)], "192.0.2.1"),
        ("kubernetes", [("kubernetes.default.svc.cluster.local.", YES)], "10.96.0.1"),
        (
            "prometheus.monitoring",
            [
                ("prometheus.monitoring.default.svc.cluster.local.", NO),
                ("prometheus.monitoring.svc.cluster.local.", YES),
            ],
            "10.99.54.68",
        ),
        (
            "prometheus.monitoring.svc.cluster.local.",
            [("prometheus.monitoring.svc.cluster.local.", YES)],
            "10.99.54.68",
        ),
    ],
    ids=["short of five dots", "full name", "five dots", "own namespace", "another", "service"],
)  # fmt: skip
def test_glibc_asks_as_the_search_list_says(
    tmp_path: Path, name: str, sequence: list[tuple[str, str]], answer: str
) -> None:
    code = "import socket, sys; print(socket.getaddrinfo(sys.argv[1], 80))"
    names, printed = asked(tmp_path, f"{sys.executable} -c '{code}' {name}")
    assert names == sequence
    assert answer in printed
