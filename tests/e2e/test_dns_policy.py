"""What a pod's resolv.conf says, by dnsPolicy and dnsConfig, on a real node; what is left out is
told as an event, and names resolve by it.
"""

import json

import pytest
from machine import Machine, eventually

pytestmark = pytest.mark.e2e
POD = {
    "terminationGracePeriodSeconds": 0,
    "containers": [{"name": "c", "image": "localhost/host", "command": ["sleep", "infinity"]}],
}
SEARCH = "default.svc.cluster.local svc.cluster.local cluster.local"
CLUSTER = [f"search {SEARCH}", "nameserver 10.96.0.10", "options ndots:5"]
LONG = [f"{'x' * 60}{number:03}.example" for number in range(28)]
PODS: dict[str, dict[str, object]] = {
    "first": {},
    "default": {"dnsPolicy": "Default"},
    "host": {"hostNetwork": True},
    "host-first": {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"},
    "own": {
        "dnsPolicy": "None",
        "dnsConfig": {
            "nameservers": ["192.0.2.1"],
            "searches": ["ns1.svc.cluster.local", "my.dns.search.suffix"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
        },
    },
    "more": {
        "dnsConfig": {
            "nameservers": ["10.96.0.10", "192.0.2.1"],
            "searches": ["corp.example"],
            "options": [{"name": "ndots", "value": "1"}, {"name": "single-request-reopen"}],
        }
    },
    "many": {"dnsConfig": {"nameservers": ["192.0.2.1", "192.0.2.2", "192.0.2.3"]}},
    "long": {"dnsConfig": {"searches": LONG}},
}


def node_address(cluster: Machine, pod: str) -> str:
    found = json.loads(cluster.sampan("get", "pod", pod, "-o", "json").stdout)
    address: str = found["status"]["hostIP"]
    return address


@pytest.fixture(scope="module", autouse=True)
def pods(cluster: Machine) -> None:
    items = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {**POD, **spec}}
        for name, spec in PODS.items()
    ]
    listed = {"apiVersion": "v1", "kind": "List", "items": items}
    cluster.sampan("apply", "-f", "-", stdin=json.dumps(listed))


def conf(cluster: Machine, pod: str) -> list[str]:
    def read() -> list[str]:
        done = cluster.sampan("exec", pod, "--", "cat", "/etc/resolv.conf", check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    found: list[str] = eventually(read, within_s=30)
    return found


def test_policies_and_their_merging(cluster: Machine) -> None:
    assert conf(cluster, "first") == CLUSTER
    assert conf(cluster, "host-first") == CLUSTER
    for name in ("default", "host"):
        assert conf(cluster, name) == [f"nameserver {node_address(cluster, name)}"]
    assert conf(cluster, "own") == [
        "search ns1.svc.cluster.local my.dns.search.suffix",
        "nameserver 192.0.2.1",
        "options ndots:2 edns0",
    ]
    assert conf(cluster, "more") == [
        f"search {SEARCH} corp.example", "nameserver 10.96.0.10", "nameserver 192.0.2.1",
        "options ndots:1 single-request-reopen",
    ]  # fmt: skip


def test_what_does_not_fit_is_left_out_and_told(cluster: Machine) -> None:
    assert [line for line in conf(cluster, "many") if line.startswith("nameserver")] == [
        "nameserver 10.96.0.10", "nameserver 192.0.2.1", "nameserver 192.0.2.2",
    ]  # fmt: skip
    searched = conf(cluster, "long")[0].removeprefix("search ")
    assert len(searched) <= 2048 < len(searched) + 1 + len(LONG[-1])
    wanted = {
        "many": "Nameserver limits were exceeded, some nameservers have been omitted, the applied "
        "nameserver line is: 10.96.0.10 192.0.2.1 192.0.2.2",
        "long": "Search Line limits were exceeded, some search paths have been omitted, the "
        f"applied search line is: {searched}",
    }

    def told() -> None:
        events = json.loads(cluster.sampan("get", "events", "-o", "json").stdout)["items"]
        found = {
            event["involvedObject"]["name"]: event["message"]
            for event in events
            if event["reason"] == "DNSConfigForming" and event["type"] == "Warning"
        }
        # An event's message ends at 1024 characters.
        assert found == {name: text[:1024] for name, text in wanted.items()}

    eventually(lambda: told() is None)


@pytest.mark.parametrize("pod", ["first", "host-first", "more"])
def test_names_resolve_by_it(cluster: Machine, pod: str) -> None:
    def known() -> bool:
        words = ("exec", pod, "--", "getent", "ahostsv4", "kubernetes.default.svc.cluster.local")
        return cluster.sampan(*words, check=False).stdout.startswith("10.96.0.1 ")

    assert eventually(known)
    short = cluster.sampan("exec", pod, "--", "getent", "ahostsv4", "kubernetes", check=False)
    assert short.stdout.startswith("10.96.0.1 ")
