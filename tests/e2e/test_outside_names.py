"""Pods resolve names from outside through the cluster DNS, wherever the host can."""

import json

import pytest
from machine import BIN, Machine, eventually

pytestmark = pytest.mark.e2e

COREFILE = """.:53 {
    bind 127.0.0.1
    hosts {
        192.0.2.7 outside.example
        192.0.2.8 other.example
        192.0.2.9 third.example
    }
}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  dnsPolicy: POLICY
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: localhost/host, command: [sleep, infinity]}
"""


@pytest.fixture(scope="module", autouse=True)
def host_resolver(machine: Machine) -> None:
    """The host's own resolver: /etc/resolv.conf of the machine names 127.0.0.1."""
    start_host_resolver(machine)


def start_host_resolver(machine: Machine) -> None:
    corefile, log = machine.home / "Corefile", machine.home / "dns.log"
    corefile.write_text(COREFILE)
    machine.run("sh", "-c", f"{BIN / 'sampan'} dns -conf {corefile} >{log} 2>&1 </dev/null &")
    look = ("getent", "hosts", "outside.example")
    assert eventually(lambda: machine.run(*look, check=False).stdout.startswith("192.0.2.7"))


@pytest.mark.parametrize("policy", ["ClusterFirst", "Default"])
def test_a_pod_knows_what_the_host_knows(cluster: Machine, policy: str) -> None:
    name = f"asks-{policy.lower()}"
    manifest = POD.replace("NAME", name).replace("POLICY", policy)
    cluster.sampan("apply", "-f", "-", stdin=manifest)

    def known() -> bool:
        found = cluster.sampan("exec", name, "--", "getent", "hosts", "outside.example").stdout
        return found.split() == ["192.0.2.7", "outside.example"]

    assert eventually(known)


def test_what_the_host_does_not_know_does_not_exist(cluster: Machine) -> None:
    asked = ("exec", "asks-clusterfirst", "--", "getent", "hosts", "nowhere.example")
    assert cluster.sampan(*asked, check=False).returncode == 2


def ask(cluster: Machine, *words: str) -> str:
    """dig in the pod that asks the cluster DNS."""
    flags = ("+short", "+tries=1", "+time=4")
    asked = ("exec", "asks-clusterfirst", "--", "dig", *flags, *words)
    return cluster.sampan(*asked, check=False).stdout.strip()


def test_addresses_have_names_of_services_of_endpoints_and_from_outside(cluster: Machine) -> None:
    service = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: 10.96.0.55, selector: {app: web}, ports: [{port: 80}]}}"  # noqa: E501
    cluster.sampan("apply", "-f", "-", stdin=service)
    domain = "default.svc.cluster.local."
    assert eventually(lambda: ask(cluster, "-x", "10.96.0.55") == f"web.{domain}")
    assert ask(cluster, "-x", "10.96.0.1") == f"kubernetes.{domain}"
    pods = cluster.sampan("get", "pods", "-n", "kube-system", "-o", "json").stdout
    dns_ip = json.loads(pods)["items"][0]["status"]["podIP"]
    dashed = dns_ip.replace(".", "-")
    assert ask(cluster, "-x", dns_ip) == f"{dashed}.kube-dns.kube-system.svc.cluster.local."
    assert ask(cluster, "-x", "192.0.2.7") == "outside.example."
    assert ask(cluster, "-x", "192.0.2.99") == ""
    assert ask(cluster, "+tcp", "outside.example") == "192.0.2.7"


def test_a_killed_resolver_is_back_and_the_cluster_s_names_never_left(cluster: Machine) -> None:
    assert eventually(lambda: ask(cluster, "outside.example") == "192.0.2.7")
    for process in cluster.processes():
        if process["component"] == "resolver":
            cluster.run("kill", "-9", str(process["pid"]))
    assert ask(cluster, "kubernetes.default.svc.cluster.local") == "10.96.0.1"
    # Not out of the cache: a name that nobody has asked for yet.
    assert eventually(lambda: ask(cluster, "other.example") == "192.0.2.8", within_s=30)


def test_while_the_host_s_resolver_is_dead_only_names_from_outside_fail(cluster: Machine) -> None:
    found = cluster.run("pgrep", "-f", "sampan dns -conf .*/home/Corefile").stdout.split()
    assert found
    for pid in found:
        cluster.run("kill", "-9", pid)
    failed = cluster.sampan(
        "exec",
        "asks-clusterfirst",
        "--",
        "dig",
        "+tries=1",
        "+time=8",
        "third.example",
        check=False,
    ).stdout
    assert "status: SERVFAIL" in failed
    assert ask(cluster, "kubernetes.default.svc.cluster.local") == "10.96.0.1"
    start_host_resolver(cluster)
    assert eventually(lambda: ask(cluster, "third.example") == "192.0.2.9", within_s=30)
