"""resolv.conf, hosts and host names of pods."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.kubelet import dns
from sampan.kubelet.settings import Dns
from sampan.testing.clock import run_jumping
from tests.kubelet.bench import Bench, until

DNS = Dns(("10.96.0.10",), "cluster.local")
NODE = dns.parse("# x\nnameserver 1.1.1.1\nsearch corp.example. .\noptions edns0\n")


def pod(**spec: Any) -> Json:
    return {"metadata": {"name": "p", "namespace": "ns"}, "spec": spec}


def text(**spec: Any) -> str:
    return dns.resolv_conf(pod(**spec), NODE, DNS).text()


CLUSTER = (
    "search ns.svc.cluster.local svc.cluster.local cluster.local corp.example\n"
    "nameserver 10.96.0.10\noptions ndots:5\n"
)
OWN = "search corp.example\nnameserver 1.1.1.1\noptions edns0\n"


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        ({}, CLUSTER),
        ({"dnsPolicy": "ClusterFirst"}, CLUSTER),
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": True}, OWN),
        ({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True}, CLUSTER),
        ({"dnsPolicy": "Default"}, OWN),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["9.9.9.9"], "searches": ["a", "b"]}},
         "search a b\nnameserver 9.9.9.9\n"),
    ],
)  # fmt: skip
def test_policies(spec: dict[str, Any], want: str) -> None:
    assert text(**spec) == want


def test_dns_config_adds_to_the_policy_and_replaces_options() -> None:
    config = {"nameservers": ["9.9.9.9", "10.96.0.10"], "searches": ["x"],
              "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}  # fmt: skip
    conf = dns.resolv_conf(pod(dnsConfig=config), NODE, DNS)
    assert conf.nameservers == ("10.96.0.10", "9.9.9.9")
    assert conf.searches[-1] == "x"
    assert conf.options == ("ndots:2", "edns0")


@pytest.mark.parametrize(
    ("content", "domain", "want"),
    [
        ("search a b\nnameserver 1.1.1.1\n", "cluster.local", ""),
        (f"search {' '.join(f'd{i}' for i in range(30))}\n", "",  ""),
        (f"search {' '.join(f'd{i}' for i in range(30))}\n", "cluster.local",
         "Resolv.conf file '{path}' contains search line consisting of more than 29 domains!"),
        (f"search a {'x' * 254}\n", "cluster.local",
         'Resolv.conf file "{path}" contains a search path which length is more than allowed '
         "253 chars!"),
        (f"search {' '.join(f'{i:0250}' for i in range(9))}\n", "cluster.local",
         "Resolv.conf file '{path}' contains search line which length is more than allowed 2048 "
         "chars!"),
        ("nameserver\n", "cluster.local", "nameserver list is empty "),
        (None, "cluster.local", "open {path}: no such file or directory"),
    ],
)  # fmt: skip
def test_a_node_says_what_of_its_own_file_no_pod_gets(
    tmp_path: Path, content: str | None, domain: str, want: str
) -> None:
    path = tmp_path / "resolv.conf"
    if content is not None:
        path.write_text(content)
    settings = Dns(("10.96.0.10",), domain, str(path))
    assert dns.node_trouble(settings) == want.replace("{path}", str(path))
    assert dns.node_trouble(Dns((), domain, "")) == ""


def test_what_does_not_fit_is_left_out_and_said() -> None:
    config = {"nameservers": ["9.9.9.1", "9.9.9.2", "9.9.9.3"],
              "searches": [f"s{number}" for number in range(40)]}  # fmt: skip
    conf = dns.resolv_conf(pod(dnsConfig=config), NODE, DNS)
    assert len(conf.nameservers) == 3
    assert len(conf.searches) == 32
    assert len(conf.complaints) == 2


def conf(config: Json, **spec: Any) -> dns.ResolvConf:
    return dns.resolv_conf(pod(dnsConfig=config, **spec), NODE, DNS)


def test_options_are_replaced_by_name_and_an_empty_value_is_none() -> None:
    options = [{"name": "ndots", "value": ""}, {"name": "debug"}, {"name": "timeout", "value": "3"}]
    assert conf({"options": options}).options == ("ndots", "debug", "timeout:3")
    twice = [{"name": "timeout", "value": "3"}, {"name": "timeout", "value": "4"}]
    assert conf({"options": twice}).options == ("ndots:5", "timeout:4")


def test_an_empty_config_changes_nothing_and_none_alone_says_nothing() -> None:
    assert conf({}).text() == CLUSTER
    assert conf({"nameservers": ["9.9.9.9"]}, dnsPolicy="None").text() == "nameserver 9.9.9.9\n"
    whole = conf({"nameservers": ["9.9.9.9"], "searches": ["a."]}, dnsPolicy="Default")
    assert (
        whole.text()
        == "search corp.example a.\nnameserver 1.1.1.1\nnameserver 9.9.9.9\noptions edns0\n"
    )


LONG = [f"{'x' * 60}{number:03}.example" for number in range(31)]


@pytest.mark.parametrize(
    ("config", "kept", "line"),
    [
        ({"searches": [f"s{n}" for n in range(28)]}, 32, ""),
        ({"searches": [f"s{n}" for n in range(29)]}, 32, "s27"),
        ({"searches": ["a", "y." * 127 + "yy", "b"]}, 6, "b"),
        ({"searches": LONG}, 31, LONG[26]),
    ],
    ids=["fits", "one too many", "one too long", "all together too long"],
)
def test_search_limits(config: Json, kept: int, line: str) -> None:
    found = conf(config)
    assert len(found.searches) == kept
    assert len(" ".join(found.searches)) <= 2048
    assert [reason for reason, _ in found.complaints] == (["DNSConfigForming"] if line else [])
    for _, told in found.complaints:
        start = "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "  # noqa: E501
        assert told == start + " ".join(found.searches)
        assert told.endswith(line)


def test_nameserver_limits_are_told_with_the_line_that_is_left() -> None:
    servers = ["9.9.9.1", "9.9.9.2", "9.9.9.3"]
    found = conf({"nameservers": servers})
    assert found.complaints == (
        ("DNSConfigForming", "Nameserver limits were exceeded, some nameservers have been omitted, "
         "the applied nameserver line is: 10.96.0.10 9.9.9.1 9.9.9.2"),
    )  # fmt: skip


def test_a_node_s_file_is_read_as_resolvers_read_it() -> None:
    found = dns.parse(
        "nameserver 1.1.1.1 # first\nnameserver\nsearch a b\nsearch c. . d\n; no\n"
        "options ndots:2 edns0\noptions ndots:3\nsortlist 1.2.3.4\n"
    )
    assert found == dns.ResolvConf(("1.1.1.1",), ("c", "d"), ("ndots:3", "edns0"))


@pytest.mark.parametrize(
    ("ips", "server"),
    [((), "127.0.0.1"), (("10.0.0.1",), "127.0.0.1"), (("fd00::1",), "::1"),
     (("10.0.0.1", "fd00::1"), "127.0.0.1\nnameserver ::1")],
)  # fmt: skip
def test_without_a_file_of_the_node_nobody_is_asked(ips: tuple[str, ...], server: str) -> None:
    off = Dns(("10.96.0.10",), "cluster.local", "")
    own = dns.resolv_conf(pod(dnsPolicy="Default"), dns.ResolvConf(), off, ips)
    assert own.text() == f"search .\nnameserver {server}\n"
    cluster = dns.resolv_conf(pod(), dns.ResolvConf(), off, ips)
    assert cluster.text() == CLUSTER.replace(" corp.example", "")


def test_without_a_cluster_domain_only_the_node_s_domains_are_searched() -> None:
    found = dns.resolv_conf(pod(), NODE, Dns(("10.96.0.10",), ""))
    assert found.text() == "search corp.example\nnameserver 10.96.0.10\noptions ndots:5\n"


def test_without_a_cluster_dns_the_node_answers() -> None:
    conf = dns.resolv_conf(pod(), NODE, Dns((), "cluster.local"))
    assert conf.text() == OWN
    reason, told = conf.complaints[0]
    assert reason == "MissingClusterDNS"
    assert told.startswith('pod: "p_ns()". kubelet does not have ClusterDNS IP configured and ')
    assert told.endswith('"ClusterFirst" policy. Falling back to "Default" policy.')
    # Only who asked for the cluster's DNS is told.
    assert not dns.resolv_conf(pod(dnsPolicy="Default"), NODE, Dns((), "x")).complaints


def test_host_names() -> None:
    assert dns.hostname(pod(), DNS, "n1") == "p"
    assert dns.hostname(pod(hostname="h"), DNS, "n1") == "h"
    assert dns.hostname(pod(hostNetwork=True), DNS, "n1") == "n1"
    assert dns.hostname(pod(hostnameOverride="o"), DNS, "n1") == "o"
    full = pod(hostname="h", subdomain="sub", setHostnameAsFQDN=True)
    assert dns.hostname(full, DNS, "n1") == "h.sub.ns.svc.cluster.local"
    with pytest.raises(dns.TooLong, match="64 characters is the max"):
        dns.hostname(pod(hostname="h" * 63, subdomain="s", setHostnameAsFQDN=True), DNS, "n1")
    long = {"metadata": {"name": "x" * 62 + "-" + "y" * 20, "namespace": "ns"}, "spec": {}}
    assert dns.hostname(long, DNS, "n1") == "x" * 62


def test_hosts_of_a_pod_and_of_a_host_network_pod() -> None:
    wanted = pod(subdomain="sub", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])
    found = dns.hosts(wanted, ("10.244.0.2",), DNS, "ignored")
    assert found.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.244.0.2\tp.sub.ns.svc.cluster.local\tp\n" in found
    assert found.endswith("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
    host = dns.hosts(pod(hostNetwork=True), ("10.0.0.1",), DNS, "127.0.0.1 localhost")
    assert host == "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n"


def test_the_trouble_is_an_event_of_the_node(tmp_path: Path) -> None:
    found: list[Json] = []

    async def story() -> None:
        bench = Bench(tmp_path)
        wrong = Dns(("10.96.0.10",), "cluster.local", "/nowhere/conf")
        bench.settings = replace(bench.settings, dns=wrong)
        bench.kubelet = bench.make()
        async with bench.running():
            await until(bench.events)
        found.extend(bench.api.all(kinds.EVENTS))

    run_jumping(story())
    (event,) = found
    assert (event["reason"], event["type"]) == ("CheckLimitsForResolvConf", "Warning")
    assert event["message"] == "open /nowhere/conf: no such file or directory"
    about = event["involvedObject"]
    assert (about["kind"], about["name"], about["uid"]) == ("Node", "n1", "n1")
    assert event["metadata"]["namespace"] == "default"
