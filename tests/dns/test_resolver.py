"""What real resolvers ask for, packet by packet: the article's captures of search lists, `ndots:5`
and full names, with glibc (ping), bind's nslookup, and musl.

    pod 172.41.10.200 ── eth0 ── DNS at 10.96.0.10, its upstream and www.baidu.com behind it
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sampan.dns.kube import snapshot
from tests.dns.clusters import namespace, service
from tests.dns.desk import row

pytestmark = pytest.mark.kernel
SEARCH = ("default.svc.cluster.local", "svc.cluster.local", "cluster.local")
POD_CONF = f"search {' '.join(SEARCH)}\nnameserver 10.96.0.10\noptions ndots:5\n"
COREFILE = """.:53 {
    bind 10.96.0.10
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       endpoint http://127.0.0.1:1
       startup_timeout 100ms
       snapshot FOLDER/snapshot
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . FOLDER/host.conf {
       max_concurrent 1000
    }
    cache 30
    loop
    reload
    loadbalance
}
.:53 {
    bind 127.0.0.9
    header {
       response clear aa
       response set ra
    }
    file FOLDER/world .
}
"""
OUTSIDE = """$ORIGIN .
@ 60 IN SOA ns.invalid. admin.invalid. 1 7200 3600 1209600 60
www.baidu.com 60 IN CNAME www.a.shifen.com
www.a.shifen.com 60 IN A 112.80.248.76
www.a.shifen.com 60 IN A 112.80.248.75
sls.doc.dc.wiki.tbchip.com 60 IN A 39.103.233.101
"""
POD = """set -e
mount --bind {folder}/pod.conf /etc/resolv.conf
mount --bind {folder}/nsswitch.conf /etc/nsswitch.conf
ip link set lo up
exec sleep infinity
"""
WIRE = """set -e
ip link add eth0 netns {pod} type veth peer name dns0
ip link set lo up && ip link set dns0 up
for address in 10.96.0.10 112.80.248.76 112.80.248.75; do ip addr add $address/32 dev dns0; done
ip route add 172.41.10.200 dev dns0
nsenter -t {pod} -n ip link set eth0 up
nsenter -t {pod} -n ip addr add 172.41.10.200/32 dev eth0
nsenter -t {pod} -n ip route add default dev eth0
exec {python} -m sampan dns -conf {folder}/Corefile
"""
MUSL = """
#include <netdb.h>
#include <stdio.h>
#include <arpa/inet.h>
int main(int argc, char **argv) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int bad = getaddrinfo(argv[1], "80", &hints, &found);
    if (bad) { puts(gai_strerror(bad)); return 1; }
    char text[64];
    inet_ntop(AF_INET, &((struct sockaddr_in *)found->ai_addr)->sin_addr, text, sizeof text);
    puts(text);
    return 0;
}
"""


@dataclass
class World:
    pod: int
    folder: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """In the pod's network, with its resolv.conf."""
        enter = ["nsenter", "-t", str(self.pod), "-n", "-m", *words]
        return subprocess.run(enter, capture_output=True, text=True, check=False, timeout=60)

    def captured(self, *words: str) -> tuple[list[str], str]:
        """What `tcpdump -nt -i eth0 port 53` shows while the command runs, and what that prints."""
        shown, said = self.folder / "capture", self.folder / "tcpdump"
        command = "exec tcpdump -ntl --immediate-mode -i eth0 port 53"
        with shown.open("w") as out, said.open("w") as err:
            capture = subprocess.Popen(
                ["nsenter", "-t", str(self.pod), "-n", "sh", "-c", command], stdout=out, stderr=err
            )
        try:
            self._wait(said, "listening on")
            printed = self.run(*words).stdout
            self.run("dig", "+tries=1", "+noedns", "@10.96.0.10", "end.cluster.local.", "TXT")
            self._wait(shown, "NXDomain", after="TXT? end.cluster.local")
        finally:
            capture.send_signal(signal.SIGTERM)
            capture.wait(10)
        lines = shown.read_text().partition("TXT? end.cluster.local")[0].splitlines()[:-1]
        return lines, printed

    def _wait(self, path: Path, word: str, *, after: str = "") -> None:
        _until(lambda: word in path.read_text().partition(after or word)[2 if after else 1])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("resolver")
    (folder / "pod.conf").write_text(POD_CONF)
    (folder / "host.conf").write_text("nameserver 127.0.0.9\n")
    (folder / "nsswitch.conf").write_text("hosts: dns\n")
    (folder / "Corefile").write_text(COREFILE.replace("FOLDER", str(folder)))
    (folder / "world").write_text(OUTSIDE)
    prometheus = service("prometheus-k8s", "10.99.54.68")
    prometheus["metadata"]["namespace"] = "monitoring"
    nginx = service("nginx-svc", "10.101.112.166")
    nginx["metadata"]["namespace"] = "default"
    objects = [namespace("default"), namespace("monitoring"), nginx, prometheus]
    snapshot.write(str(folder / "snapshot"), map(row, objects))
    pod = subprocess.Popen(["unshare", "-n", "-m", "sh", "-c", POD.format(folder=folder)])
    log = folder / "dns.log"
    _until(lambda: os.readlink(f"/proc/{pod.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
    script = WIRE.format(pod=pod.pid, folder=folder, python=sys.executable)
    with log.open("w") as out:
        server = subprocess.Popen(["unshare", "-n", "sh", "-c", script], stdout=out, stderr=out)
    made = World(pod.pid, folder)
    try:
        _until(lambda: "Sampan-" in log.read_text() or server.poll() is not None)
        assert server.poll() is None, log.read_text()
        yield made
    finally:
        for process in (server, pod):
            process.kill()
            process.wait(10)


def _until(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("never")


CLIENT, SERVER = "172.41.10.200", "10.96.0.10"


def told(lines: list[str]) -> list[str]:
    """The lines of a capture, without what chance chose (ports, IDs) and without repetitions."""
    found = []
    for line in lines:
        match = re.fullmatch(r"IP (\S+)\.\d+ > (\S+?)\.\d+: \d+(\S*) (.*)", line)
        assert match, line
        source, target, flags, text = match.groups()
        assert {source, target} == {CLIENT, SERVER}, line
        found.append(f"{flags} {text}".strip() if source == CLIENT else f"< {flags} {text}")
    return list(dict.fromkeys(found))


def not_there(name: str, *, size: int) -> set[str]:
    """Both questions for a name that the cluster does not have, as the article shows them."""
    answer = f"<  NXDomain*- 0/1/0 ({size + 93})"
    return {f"+ A? {name}. ({size})", f"+ AAAA? {name}. ({size})", answer}


BAIDU_THERE = {
    "+ A? www.baidu.com. (31)", "+ AAAA? www.baidu.com. (31)",
    "<  3/0/0 CNAME www.a.shifen.com., A 112.80.248.76, A 112.80.248.75 (138)",
    "+ PTR? 76.248.80.112.in-addr.arpa. (44)",
}  # fmt: skip
BAIDU_SEARCHED = {
    *not_there("www.baidu.com.default.svc.cluster.local", size=57),
    *not_there("www.baidu.com.svc.cluster.local", size=49),
    *not_there("www.baidu.com.cluster.local", size=45),
}
NGINX = {
    "+ A? nginx-svc.default.svc.cluster.local. (53)", "< *- 1/0/0 A 10.101.112.166 (104)",
    "+ AAAA? nginx-svc.default.svc.cluster.local. (53)", "< *- 0/1/0 (146)",
}  # fmt: skip
PROMETHEUS = {
    "+ A? prometheus-k8s.monitoring.svc.cluster.local. (61)", "< *- 1/0/0 A 10.99.54.68 (120)",
    "+ AAAA? prometheus-k8s.monitoring.svc.cluster.local. (61)", "< *- 0/1/0 (154)",
}  # fmt: skip
FIVE_DOTS = {
    "+ A? sls.doc.dc.wiki.tbchip.com. (44)", "<  1/0/0 A 39.103.233.101 (86)",
    "+ AAAA? sls.doc.dc.wiki.tbchip.com. (44)",
}  # fmt: skip
CASES = {
    "www.baidu.com": BAIDU_SEARCHED | BAIDU_THERE,
    "www.baidu.com.": BAIDU_THERE,
    "nginx-svc": NGINX,
    "prometheus-k8s.monitoring": PROMETHEUS
    | not_there("prometheus-k8s.monitoring.default.svc.cluster.local", size=69),
    "sls.doc.dc.wiki.tbchip.com": FIVE_DOTS,
    "prometheus-k8s.monitoring.svc.cluster.local.": PROMETHEUS,
}
ADDRESS = {
    "www.baidu.com": "112.80.248.7", "www.baidu.com.": "112.80.248.7",
    "nginx-svc": "10.101.112.166",
    "sls.doc.dc.wiki.tbchip.com": "39.103.233.101",
}  # fmt: skip


def compare(lines: list[str], wanted: set[str]) -> None:
    """Every question and every answer that the article shows, and no other question."""
    found = set(told(lines))
    # loadbalance turns the addresses around, and an upstream's NODATA is its own.
    turned = {
        line.replace("A 112.80.248.75, A 112.80.248.76", "A 112.80.248.76, A 112.80.248.75")
        for line in found
    }
    # An answer out of the cache has the flag AA, as the article's second capture has.
    turned |= {line.replace("< * ", "<  ") for line in turned}
    assert not wanted - turned, (sorted(wanted - turned), sorted(found))
    extra = {line for line in turned - wanted if line.startswith("+")}
    assert not extra, extra
    order = [line.split("? ")[1].split(" ")[0] for line in lines if "? " in line]
    names = [name for name in dict.fromkeys(order) if not name.endswith("arpa.")]
    assert names == sorted(names, key=lambda name: -len(name)) or len(names) == 1


@pytest.mark.parametrize("name", ["www.baidu.com", "www.baidu.com."])
def test_ping_asks_as_the_article_shows(world: World, name: str) -> None:
    lines, printed = world.captured("ping", "-c", "1", "-W", "5", name)
    assert "1 received" in printed
    wanted = CASES[name]
    # Which of the two answers first decides which name ping asks back for.
    if "75 " in printed.splitlines()[1] or "(112.80.248.75)" in printed:
        wanted = {line.replace("76.248", "75.248") for line in wanted}
    compare(lines, wanted)


@pytest.mark.parametrize("name", list(CASES)[2:])
def test_nslookup_asks_as_the_article_shows(world: World, name: str) -> None:
    """It asks for AAAA only of the name that it found."""
    lines, printed = world.captured("nslookup", name)
    assert "Address: " in printed
    only_a = {line for line in CASES[name] if "AAAA? prometheus-k8s.monitoring.default" in line}
    compare(lines, CASES[name] - only_a)


@pytest.mark.parametrize("name", CASES)
def test_glibc_asks_as_the_article_shows(world: World, name: str) -> None:
    code = f"import socket; print(socket.getaddrinfo({name!r}, 80))"
    lines, printed = world.captured(sys.executable, "-c", code)
    assert ADDRESS.get(name, "10.99.54.68") in printed
    compare(lines, {line for line in CASES[name] if "PTR?" not in line})


@pytest.fixture(scope="module")
def musl(tmp_path_factory: pytest.TempPathFactory) -> str:
    if shutil.which("musl-gcc") is None or shutil.which("gcc") is None:
        pytest.skip("no musl-gcc; tools/prepare test installs it")
    folder = tmp_path_factory.mktemp("musl")
    (folder / "ask.c").write_text(MUSL)
    words = ["musl-gcc", "-static", "-o", str(folder / "ask"), str(folder / "ask.c")]
    subprocess.run(words, check=True)
    return str(folder / "ask")


@pytest.mark.parametrize("name", CASES)
def test_musl_asks_as_the_article_shows(world: World, musl: str, name: str) -> None:
    lines, printed = world.captured(musl, name)
    assert printed.startswith(ADDRESS.get(name, "10.99.54.68"))
    compare(lines, {line for line in CASES[name] if "PTR?" not in line})
