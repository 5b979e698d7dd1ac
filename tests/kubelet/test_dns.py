"""resolv.conf, hosts and host names of pods."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.meta import Json
from sampan.kubelet import dns
from sampan.kubelet.settings import Dns

DNS = Dns(("10.96.0.10",), "cluster.local", "")
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


def test_what_does_not_fit_is_left_out_and_said() -> None:
    config = {"nameservers": ["9.9.9.1", "9.9.9.2", "9.9.9.3"],
              "searches": [f"s{number}" for number in range(40)]}  # fmt: skip
    conf = dns.resolv_conf(pod(dnsConfig=config), NODE, DNS)
    assert len(conf.nameservers) == 3
    assert len(conf.searches) == 32
    assert len(conf.complaints) == 2


def test_without_a_cluster_dns_the_node_answers() -> None:
    conf = dns.resolv_conf(pod(), NODE, Dns((), "cluster.local", ""))
    assert conf.text() == OWN
    assert "Falling back" in conf.complaints[0]


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
