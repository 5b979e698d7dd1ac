"""The life of a node's cache in a network of its own: it comes when it can answer, outlives the
cluster DNS, and however it ends, no query is drawn to nobody.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sampan.linux.real import netns

pytestmark = pytest.mark.kernel
LOCAL, SHARED, CLUSTER = "169.254.20.10", "10.96.0.10", "10.200.0.53"
NAME = "kubernetes.default.svc.cluster.local"
ZONES = f"""cluster.local:53 {{
    bind {CLUSTER}
    log . "{{proto}} {{name}}"
    hosts /dev/null {{
        ttl 1
        10.96.0.1 {NAME}
        10.96.0.2 other.default.svc.cluster.local
    }}
}}
acme.local:53 {{
    bind 10.200.0.54
    hosts /dev/null {{
        192.0.2.7 www.acme.local
    }}
}}
.:53 {{
    bind 10.200.0.55
    hosts /dev/null {{
        192.0.2.8 www.example.org
    }}
}}
"""


class Node:
    """A network namespace with a cluster DNS in it, that this process is in as well."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []
        (folder / "cluster").write_text(ZONES)

    def start(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "sampan", *words], stdout=log, stderr=log,
                env={**os.environ, "KUBE_DNS_UPSTREAM_SERVICE_HOST": CLUSTER},
            )  # fmt: skip
        self.running.append(process)
        return process

    def cluster_dns(self) -> subprocess.Popen[bytes]:
        process = self.start("cluster", "dns", "-conf", str(self.folder / "cluster"))
        until(lambda: ask(CLUSTER) == "10.96.0.1")
        return process

    def cache(self, *flags: str, ips: str = f"{LOCAL},{SHARED}") -> subprocess.Popen[bytes]:
        return self.start(
            "cache", "node-cache", "-localip", ips, "-conf", str(self.folder / "Corefile"),
            "-basecorefile", str(self.folder / "base"), "-upstreamsvc", "kube-dns-upstream",
            "-kubednscm", str(self.folder / "cm"), "-metrics-listen-address", "127.0.0.1:9353",
            "-pidfile", str(self.folder / "pid"), *flags,
        )  # fmt: skip

    def log(self) -> str:
        return (self.folder / "cache.log").read_text()

    def server_pid(self) -> int:
        return int((self.folder / "pid").read_text())


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    (tmp_path / "cm").mkdir()
    with own_network(str(tmp_path / "netns")):
        try:
            yield made
        finally:
            for process in made.running:
                process.kill()
                process.wait(10)


@contextmanager
def own_network(path: str) -> Iterator[None]:
    netns.create(path)
    try:
        with netns.inside(path):
            for words in (
                "link set lo up", f"addr add {CLUSTER}/32 dev lo", "addr add 10.200.0.54/32 dev lo",
                "addr add 10.200.0.55/32 dev lo",
            ):  # fmt: skip
                subprocess.run(["ip", *words.split()], check=True)
            yield
    finally:
        netns.remove(path)


def until(true: Callable[[], bool], *, within_s: float = 20) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def shell(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def ask(server: str, name: str = NAME) -> str:
    return shell("dig", "+short", "+tries=1", "+time=2", f"@{server}", name).strip()


def is_clean() -> bool:
    rules = shell("nft", "list", "ruleset") + shell("iptables-save")
    links = shell("ip", "-br", "link")
    return "nodelocaldns" not in links and "notrack" not in rules.lower() and LOCAL not in rules


def page(port: int, path: str = "/metrics", host: str = "127.0.0.1") -> str:
    with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=5) as shown:
        text: str = shown.read().decode()
        return text


@pytest.mark.parametrize("rules", ["nftables", "iptables"])
@pytest.mark.parametrize("how", ["the server", "the guard", "politely"])
def test_however_it_ends_rules_and_interface_go(node: Node, rules: str, how: str) -> None:
    node.cluster_dns()
    assert is_clean()
    guard = node.cache("-rules", rules)
    until(lambda: ask(LOCAL) == "10.96.0.1" and "Added nodelocaldns rules" in node.log())
    assert not is_clean()
    assert node.server_pid() != guard.pid
    if how == "the server":
        os.kill(node.server_pid(), signal.SIGKILL)
        assert guard.wait(10) == 128 + signal.SIGKILL
    elif how == "the guard":
        guard.kill()
        guard.wait(10)
    else:
        guard.terminate()
        assert guard.wait(10) == 0
    until(is_clean)


def test_with_skipteardown_everything_stays(node: Node) -> None:
    node.cluster_dns()
    cache = node.cache("-skipteardown")
    until(lambda: "Added nodelocaldns rules" in node.log())
    cache.terminate()
    assert cache.wait(10) == 0
    assert not is_clean()


def test_names_outlive_the_cluster_dns_and_new_ones_come_with_it(node: Node) -> None:
    cluster = node.cluster_dns()
    node.cache()
    until(lambda: ask(LOCAL) == "10.96.0.1" and ask(SHARED) == "10.96.0.1")
    assert "tcp kubernetes" in (node.folder / "cluster.log").read_text()
    cluster.kill()
    cluster.wait(10)
    time.sleep(6)  # the cache's smallest time is over
    for server in (LOCAL, SHARED, LOCAL):
        assert ask(server) == "10.96.0.1"
    assert "served_stale_total" in page(9253)
    assert ask(LOCAL, "other.default.svc.cluster.local") == ""
    node.cluster_dns()
    until(lambda: ask(LOCAL, "other.default.svc.cluster.local") == "10.96.0.2")


def test_metrics_and_health_are_where_upstream_has_them(node: Node) -> None:
    node.cluster_dns()
    node.cache()
    until(lambda: ask(LOCAL) == "10.96.0.1")
    assert page(8080, "/health", LOCAL) == "OK"
    own = page(9353)
    for kind in ("iptables", "iptables_lock", "interface_add", "interface_check", "configmap"):
        assert f'coredns_nodecache_setup_errors_total{{errortype="{kind}"}} 0' in own
    shown = page(9253)
    for family in ("coredns_dns_requests_total", "coredns_cache_entries", "coredns_build_info"):
        assert family in shown


@pytest.mark.parametrize(
    "base",
    ["cluster.local:53 {\n nonsense\n}\n", ".:53 {\n bind __PILLAR__LOCAL__DNS__\n", "{"],
    ids=["an unknown plugin", "no end", "no sense"],
)
def test_a_broken_corefile_draws_no_query_to_itself(node: Node, base: str) -> None:
    node.cluster_dns()
    (node.folder / "base").write_text(base)
    assert node.cache().wait(20) == 1
    assert is_clean()
    assert "Added" not in node.log()


def test_a_taken_port_ends_the_start_and_leaves_nothing(node: Node) -> None:
    node.cluster_dns()
    subprocess.run(["ip", "addr", "add", f"{LOCAL}/32", "dev", "lo"], check=True)
    code = f"import socket, time; s = socket.create_server(('{LOCAL}', 53)); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code])
    node.running.append(holder)
    until(lambda: f"{LOCAL}:53 " in shell("ss", "-ltn"))
    assert node.cache().wait(20) == 1
    assert "address already in use" in node.log()
    assert is_clean()


def test_a_corefile_that_breaks_later_changes_nothing(node: Node) -> None:
    node.cluster_dns()
    node.cache("-reloadwithsignal")
    until(lambda: ask(LOCAL) == "10.96.0.1")
    (node.folder / "base").write_text("cluster.local:53 {\n nonsense\n}\n")
    until(lambda: "Restart failed" in node.log())
    for _ in range(3):
        assert ask(LOCAL) == "10.96.0.1"
        assert ask(SHARED) == "10.96.0.1"


def test_stub_domains_and_upstreams_of_the_config_map_are_taken_while_it_runs(node: Node) -> None:
    node.cluster_dns()
    node.cache("-reloadwithsignal")
    until(lambda: ask(LOCAL) == "10.96.0.1")
    assert ask(LOCAL, "www.acme.local") == ""
    (node.folder / "cm" / "stubDomains").write_text('{"acme.local": ["10.200.0.54"]}')
    (node.folder / "cm" / "upstreamNameservers").write_text('["10.200.0.55"]')
    until(lambda: ask(LOCAL, "www.acme.local") == "192.0.2.7", within_s=30)
    assert ask(LOCAL, "www.example.org") == "192.0.2.8"
    assert "1 custom stubdomains and upstream servers 10.200.0.55" in node.log()
    (node.folder / "cm" / "stubDomains").write_text("{not json")
    until(lambda: 'errortype="configmap"} 1' in page(9353), within_s=30)
    assert ask(LOCAL, "www.acme.local") == "192.0.2.7"


def test_a_config_map_that_collides_at_the_start_is_left_out(node: Node) -> None:
    node.cluster_dns()
    (node.folder / "cm" / "stubDomains").write_text('{"cluster.local": ["10.200.0.54"]}')
    busy = "import socket, time; s = socket.create_server(('127.0.0.1', 9353)); time.sleep(60)"
    node.running.append(subprocess.Popen([sys.executable, "-c", busy]))
    until(lambda: ":9353 " in shell("ss", "-ltn"))
    node.cache()
    until(lambda: ask(LOCAL) == "10.96.0.1")
    assert "Invalid config" in node.log()
    assert "Failed to start metrics handler" in node.log()


def test_with_a_proxy_in_ipvs_mode_it_has_the_link_local_address_only(node: Node) -> None:
    """The Service's address is on kube-ipvs0 there; pods are told of 169.254.20.10 by kubelets."""
    node.cluster_dns()
    subprocess.run(["ip", "addr", "add", f"{SHARED}/32", "dev", "lo"], check=True)
    cache = node.cache(ips=LOCAL)
    until(lambda: ask(LOCAL) == "10.96.0.1")
    assert SHARED not in shell("ip", "addr", "show", "nodelocaldns")
    assert SHARED not in shell("nft", "list", "ruleset")
    cache.terminate()
    assert cache.wait(10) == 0
    assert is_clean()
    assert SHARED in shell("ip", "addr", "show", "lo")


@pytest.mark.parametrize("rules", ["nftables", "iptables"])
def test_over_ipv6(node: Node, rules: str) -> None:
    for address in ("fd00:53::53", "fd00:53::54"):
        subprocess.run(["ip", "addr", "add", f"{address}/128", "dev", "lo"], check=True)
    (node.folder / "cluster").write_text(ZONES.replace(f"bind {CLUSTER}", "bind fd00:53::53"))
    node.start("cluster", "dns", "-conf", str(node.folder / "cluster"))
    until(lambda: ask("fd00:53::53") == "10.96.0.1")
    cache = node.cache(
        "-rules", rules, "-upstreamsvc", "fd00:53::53", ips="fd00:169::10,fd00:96::a"
    )
    until(lambda: ask("fd00:169::10") == "10.96.0.1" and ask("fd00:96::a") == "10.96.0.1")
    until(lambda: "Added nodelocaldns rules" in node.log())
    told = shell("nft", "list", "ruleset") + shell("ip6tables-save")
    assert "fd00:169::10" in told
    assert "notrack" in told.lower()
    cache.terminate()
    assert cache.wait(10) == 0
    assert "fd00:169::10" not in shell("nft", "list", "ruleset") + shell("ip6tables-save")
    assert "nodelocaldns" not in shell("ip", "-br", "link")


def test_rules_that_somebody_flushed_are_back_after_the_interval(node: Node) -> None:
    node.cluster_dns()
    node.cache("-syncinterval", "1")
    until(lambda: "notrack" in shell("nft", "list", "ruleset"))
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    subprocess.run(["ip", "addr", "del", f"{LOCAL}/32", "dev", "nodelocaldns"], check=True)
    until(lambda: "notrack" in shell("nft", "list", "ruleset"))
    until(lambda: ask(LOCAL) == "10.96.0.1")
