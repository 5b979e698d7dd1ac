"""The node's cache: its Corefile, its flags, its rules in both manners, and its life."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from sampan.cli.goflags import BadFlags
from sampan.cli.node_cache import flags_from
from sampan.dns.nodecache.agent import NodeCache, Settings
from sampan.dns.nodecache.rules import IptablesRules, NftRules, Where, iptables_rules, ours
from sampan.dns.nodecache.template import BadConfig, DnsConfig, Node, base, corefile, read_config
from sampan.linux.base.links import LinkInfo
from sampan.linux.base.nft import NftError
from sampan.linux.fake.iptables import FakeIptables
from sampan.linux.fake.links import FakeLinks, FakeNamespaces
from sampan.std.clock import SystemClock
from tests.dns.desk import Desk, Lines

NODE = Node(("169.254.20.10", "10.96.0.10"), "10.96.0.77")
WHERE = Where(NODE.ips, "53", "8080")
ADDON = """__PILLAR__DNS__DOMAIN__:53 {
    errors
    cache {
            success 9984 30
            denial 9984 5
    }
    reload
    loop
    bind __PILLAR__LOCAL__DNS__ __PILLAR__DNS__SERVER__
    forward . __PILLAR__CLUSTER__DNS__ {
            force_tcp
    }
    prometheus :9253
    health 169.254.20.10:8080
    }
.:53 {
    errors
    cache 30
    reload
    loop
    bind __PILLAR__LOCAL__DNS__ __PILLAR__DNS__SERVER__
    forward . __PILLAR__UPSTREAM__SERVERS__ {
            force_tcp
    }
    prometheus :9253
    }
"""


def test_the_add_on_s_template_is_filled_in() -> None:
    text = corefile(ADDON, NODE, DnsConfig())
    assert "__PILLAR__" not in text
    assert "bind 169.254.20.10 10.96.0.10 \n" in text
    assert "forward . 10.96.0.77 {\n            force_tcp" in text
    assert "forward . /etc/resolv.conf {\n            force_tcp" in text


def test_servers_of_one_s_own_choice_are_asked_as_the_client_asked() -> None:
    config = DnsConfig({"acme.local": ["1.2.3.4", "1.2.3.5:54"]}, ["8.8.8.8", "9.9.9.9"])
    text = corefile(ADDON, NODE, config)
    assert text.count("force_tcp") == 1
    assert "forward . 8.8.8.8 9.9.9.9 {\n    }" in text
    assert "acme.local:53 {" in text
    assert "forward . 1.2.3.4 1.2.3.5:54\n" in text


def test_the_built_in_template_serves_on_what_ran_out() -> None:
    text = corefile(base(NODE), NODE, DnsConfig())
    made = Desk(text.replace("/etc/resolv.conf", "192.0.2.53"), (), None)
    zones = [site.zone for site in made.instance.sites]
    assert zones == ["cluster.local.", "in-addr.arpa.", "ip6.arpa.", "."]
    assert text.count("serve_stale") == 4
    assert text.count("health 169.254.20.10:8080") == 1


def test_the_config_map_is_read_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    assert read_config(str(tmp_path)) == DnsConfig()
    (tmp_path / "stubDomains").write_text(json.dumps({"a.b": ["1.1.1.1"]}))
    (tmp_path / "upstreamNameservers").write_text('["8.8.8.8"]')
    assert read_config(str(tmp_path)) == DnsConfig({"a.b": ["1.1.1.1"]}, ("8.8.8.8",))
    (tmp_path / "stubDomains").write_text("[1]")
    with pytest.raises(BadConfig):
        read_config(str(tmp_path))


@pytest.mark.parametrize(
    ("stubs", "upstreams"),
    [
        ({"acme.local": ["not-an-address"]}, []),
        ({"acme.local": []}, []),
        ({"acme.local": ["1.1.1.1:99999"]}, []),
        ({"acme.local:53 {\n whoami\n}\n": ["1.1.1.1"]}, []),
        ({"": ["1.1.1.1"]}, []),
        ({"acme.local": ["https://1.1.1.1"]}, []),
        ({}, ["8.8.8.8 {"]),
        ({}, [8]),
    ],
    ids=str,
)
def test_what_cannot_be_served_is_refused_before_it_is_written(
    tmp_path: Path, stubs: object, upstreams: object
) -> None:
    (tmp_path / "stubDomains").write_text(json.dumps(stubs))
    (tmp_path / "upstreamNameservers").write_text(json.dumps(upstreams))
    with pytest.raises(BadConfig):
        read_config(str(tmp_path))


def test_servers_have_ports_families_and_transports(tmp_path: Path) -> None:
    servers = [
        "1.1.1.1",
        "1.1.1.1:5353",
        "fd00::1",
        "[fd00::1]:5353",
        "tls://9.9.9.9",
        "dns://8.8.8.8:53",
    ]
    (tmp_path / "stubDomains").write_text(json.dumps({"_tcp.acme.local.": servers}))
    assert read_config(str(tmp_path)).stubs == {"_tcp.acme.local.": servers}


def test_flags_are_upstream_s() -> None:
    flags = flags_from(
        ["-localip", "169.254.20.10,10.96.0.10", "-conf", "/etc/Corefile", "-upstreamsvc",
         "kube-dns-upstream", "--setupiptables=false", "-syncinterval=5", "-skipteardown"]
    )  # fmt: skip
    assert flags.ips == NODE.ips
    assert (flags.setup_rules, flags.setup_interface, flags.skip_teardown) == (False, True, True)
    assert (flags.sync_s, flags.upstream) == (5.0, "kube-dns-upstream")


@pytest.mark.parametrize(
    "words",
    [[], ["-localip", "x"], ["-localip", "1.1.1.1,::1"], ["-localip=1.1.1.1", "-health-port=x"],
     ["-localip=1.1.1.1", "-nope"], ["-localip=1.1.1.1", "-setupiptables=maybe"]],
    ids=str,
)  # fmt: skip
def test_wrong_flags_are_told(words: list[str]) -> None:
    with pytest.raises(BadFlags):
        flags_from(words)


def iptables() -> FakeIptables:
    made = FakeIptables(4)
    made.tables["raw"] = {"PREROUTING": [], "OUTPUT": []}
    return made


def test_iptables_rules_are_put_in_once_put_back_and_taken_out_however_often_they_stand() -> None:
    fake = iptables()
    fake.tables["filter"]["INPUT"] = ["-A INPUT -j OTHER"]
    rules = IptablesRules(fake, WHERE)
    assert rules.ensure()
    assert not rules.ensure()
    assert fake.writes == 1
    assert fake.tables["filter"]["INPUT"][-1] == "-A INPUT -j OTHER"
    assert sorted(ours(fake.save())) == sorted(iptables_rules(WHERE))
    fake.tables["raw"]["OUTPUT"].pop()
    assert rules.ensure()
    fake.tables["raw"]["PREROUTING"] += fake.tables["raw"]["PREROUTING"][:1]
    rules.remove()
    assert ours(fake.save()) == []
    assert fake.tables["filter"]["INPUT"] == ["-A INPUT -j OTHER"]


def test_rules_are_known_by_either_name_of_their_target() -> None:
    fake = iptables()
    rules = IptablesRules(fake, WHERE)
    rules.ensure()
    for chain in fake.tables["raw"].values():
        chain[:] = [rule.replace("-j NOTRACK", "-j CT --notrack") for rule in chain]
    assert not rules.ensure()


class Failing:
    def ensure(self) -> bool:
        raise NftError("refused")

    def remove(self) -> None:
        raise NftError("refused")


def agent(tmp_path: Path, rules: object, **settings: object) -> NodeCache:
    made = Settings(NODE, str(tmp_path / "Corefile"), str(tmp_path / "base"), **settings)
    links = FakeLinks(FakeNamespaces())
    return NodeCache(made, links, rules, Lines(), SystemClock())  # type: ignore[arg-type]


def test_the_interface_has_every_address_and_goes_with_the_rules(tmp_path: Path) -> None:
    cache = agent(tmp_path, IptablesRules(iptables(), WHERE))
    assert cache.ensure_interface()
    assert cache.ensure_rules()
    assert cache.links is not None
    found: tuple[LinkInfo, ...] = cache.links.all()
    link = next(one for one in found if one.name == "nodelocaldns")
    assert (link.kind, link.up) == ("dummy", True)
    assert set(link.addresses) == {"169.254.20.10/32", "10.96.0.10/32"}
    cache.tear_down()
    assert all(one.name != "nodelocaldns" for one in cache.links.all())


def test_failures_are_logged_and_counted_and_end_nothing(tmp_path: Path) -> None:
    cache = agent(tmp_path, Failing())
    assert not cache.ensure_rules()
    cache.tear_down()
    page = cache.failures.registry.render()
    assert 'coredns_nodecache_setup_errors_total{errortype="iptables"} 2' in page
    assert 'errortype="configmap"} 0' in page


def test_the_corefile_is_written_when_the_template_changes_only(tmp_path: Path) -> None:
    cache = agent(tmp_path, None)
    assert cache.write_corefile()
    assert not cache.write_corefile()
    (tmp_path / "base").write_text(ADDON)
    assert cache.write_corefile()
    assert "__PILLAR__" not in (tmp_path / "Corefile").read_text()


def test_without_teardown_everything_stays(tmp_path: Path) -> None:
    fake = iptables()
    cache = agent(tmp_path, IptablesRules(fake, WHERE), skip_teardown=True)
    cache.ensure_rules()
    cache.tear_down()
    assert ours(fake.save())


WORLD = """
set -e
ip link set lo up
ip addr add 10.200.0.53/32 dev lo
{python} -m sampan dns -conf {folder}/cluster >{folder}/cluster.log 2>&1 & cluster=$!
echo $cluster > {folder}/cluster.pid
KUBE_DNS_UPSTREAM_SERVICE_HOST=10.200.0.53 exec {python} -m sampan node-cache \\
    -localip 169.254.20.10,10.96.0.10 -conf {folder}/Corefile -basecorefile {folder}/base \\
    -upstreamsvc kube-dns-upstream -rules {rules} -metrics-listen-address 127.0.0.1:9353
"""


@pytest.mark.kernel
@pytest.mark.parametrize("rules", ["nftables", "iptables"])
def test_names_keep_resolving_when_the_cluster_dns_is_killed(tmp_path: Path, rules: str) -> None:
    (tmp_path / "cluster").write_text(
        "cluster.local:53 {\n bind 10.200.0.53\n hosts /dev/null {\n ttl 1\n"
        " 10.96.0.1 kubernetes.default.svc.cluster.local\n }\n}\n"
    )
    script = textwrap.dedent(WORLD).format(python=sys.executable, folder=tmp_path, rules=rules)
    node = subprocess.Popen(["unshare", "-n", "sh", "-c", script])
    enter = ["nsenter", "-t", str(node.pid), "-n"]
    name = "kubernetes.default.svc.cluster.local"

    def ask(address: str) -> str:
        words = [*enter, "dig", "+short", "+tries=1", "+time=3", f"@{address}", name]
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()

    def tracked() -> str:
        words = [*enter, "conntrack", "-L", "-p", "udp", "--dport", "53"]
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout

    try:
        for _ in range(100):
            if ask("169.254.20.10") == "10.96.0.1":
                break
            time.sleep(0.1)
        time.sleep(0.5)
        assert ask("10.96.0.10") == "10.96.0.1"
        assert "169.254.20.10" not in tracked()
        os.kill(int((tmp_path / "cluster.pid").read_text()), signal.SIGKILL)
        time.sleep(1.5)
        for _ in range(5):
            assert ask("169.254.20.10") == "10.96.0.1"
    finally:
        subprocess.run(
            ["kill", (tmp_path / "cluster.pid").read_text().strip()],
            capture_output=True,
            check=False,
        )
        node.terminate()
        assert node.wait(timeout=15) == 0


@pytest.mark.kernel
def test_the_nft_table_is_put_back_when_somebody_takes_it_away() -> None:
    code = (
        "from sampan.linux.real.nft import RealNft\n"
        "from sampan.dns.nodecache.rules import *\n"
        "nft = RealNft()\n"
        "for ips in (('169.254.20.10', '10.96.0.10'), ('fd00::10',)):\n"
        "    rules = NftRules(nft, Where(ips, '53', '8080'))\n"
        "    assert rules.ensure() and not rules.ensure()\n"
        "    nft.run('delete table inet sampan-node-cache')\n"
        "    assert rules.ensure()\n"
        "    rules.remove()\n"
        "    assert not nft.listing('inet', TABLE)\n"
    )
    subprocess.run(["unshare", "-n", sys.executable, "-c", code], check=True)
    assert NftRules
