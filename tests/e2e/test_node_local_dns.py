"""`up --node-local-dns`: a pod's names outlive the cluster DNS; after a kill they come back."""

import json

import pytest
from machine import Machine, eventually

pytestmark = pytest.mark.e2e
POD = """
apiVersion: v1
kind: Pod
metadata: {name: asks}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: localhost/host, command: [sleep, infinity]}
"""
NODES = ("node1", "node2")


@pytest.fixture(scope="module")
def cluster(machine: Machine) -> Machine:
    machine.sampan("up", "-q", "--node-local-dns")
    machine.sampan("apply", "-f", "-", stdin=POD)
    eventually(lambda: len(caches(machine)) == 2, within_s=60)
    return machine


def caches(machine: Machine) -> list[str]:
    """The names of the pods that are ready."""
    pods = json.loads(machine.sampan("get", "pods", "-n", "kube-system", "-o", "json").stdout)
    return [
        pod["metadata"]["name"]
        for pod in pods["items"]
        if pod["metadata"]["name"].startswith("node-local-dns")
        and any(c["type"] == "Ready" and c["status"] == "True"
                for c in pod["status"].get("conditions") or ())
    ]  # fmt: skip


def known(machine: Machine, name: str = "kubernetes.default.svc.cluster.local") -> bool:
    words = ("exec", "asks", "--", "getent", "ahostsv4", name)
    return machine.sampan(*words, check=False).stdout.startswith("10.96.0.1 ")


def inside(machine: Machine, node: str, *words: str) -> str:
    return machine.run("ip", "netns", "exec", f"{machine.name}-{node}", *words, check=False).stdout


def has_cache(machine: Machine, node: str) -> bool:
    return (
        "10.96.0.10/32" in inside(machine, node, "ip", "addr", "show", "nodelocaldns")
        and "notrack" in inside(machine, node, "nft", "list", "ruleset")
    )  # fmt: skip


def home(machine: Machine) -> str:
    """The node that the asking pod is on."""
    pod = json.loads(machine.sampan("get", "pod", "asks", "-o", "json").stdout)
    node: str = pod["spec"]["nodeName"]
    return node


def test_every_node_has_a_cache_and_pods_are_none_the_wiser(cluster: Machine) -> None:
    for node in NODES:
        assert eventually(lambda node=node: has_cache(cluster, node))
    assert eventually(lambda: known(cluster))
    conf = cluster.sampan("exec", "asks", "--", "cat", "/etc/resolv.conf").stdout
    assert "nameserver 10.96.0.10\n" in conf
    tracked = inside(cluster, home(cluster), "conntrack", "-L", "-p", "udp", "--dport", "53")
    assert "dst=10.96.0.10 " not in tracked


def test_names_are_there_while_the_cluster_dns_is_not(cluster: Machine) -> None:
    eventually(lambda: known(cluster))
    kube_system = ("-n", "kube-system")
    cluster.kubectl("scale", "deployment", "coredns", "--replicas=0", *kube_system)

    def gone() -> bool:
        return "coredns" not in cluster.sampan("get", "pods", *kube_system).stdout

    assert eventually(gone, within_s=60)
    for _ in range(10):
        assert known(cluster)
    cluster.kubectl("scale", "deployment", "coredns", "--replicas=1", *kube_system)
    service = "{apiVersion: v1, kind: Service, metadata: {name: fresh}, spec: {clusterIP: 10.96.0.99, ports: [{port: 80}]}}"  # noqa: E501
    cluster.sampan("apply", "-f", "-", stdin=service)

    def fresh() -> bool:
        words = ("exec", "asks", "--", "getent", "ahostsv4", "fresh")
        return cluster.sampan(*words, check=False).stdout.startswith("10.96.0.99 ")

    assert eventually(fresh, within_s=60)


def test_a_killed_cache_leaves_the_cluster_dns_in_its_place_and_is_back(cluster: Machine) -> None:
    node = home(cluster)
    pids = [
        line.split()[0]
        for line in cluster.run("ps", "-eo", "pid=,args=").stdout.splitlines()
        if " node-cache " in line
    ]
    assert pids
    for pid in pids:
        cluster.run("kill", "-9", pid, check=False)
    assert eventually(lambda: known(cluster), within_s=30)
    assert eventually(lambda: has_cache(cluster, node), within_s=60)
    assert known(cluster)


def test_delete_leaves_nothing(cluster: Machine) -> None:
    cluster.sampan("delete", "--name", cluster.name)
    assert cluster.run("ip", "netns").stdout.strip() == ""
    assert "nodelocaldns" not in cluster.run("ip", "-br", "link").stdout
    left = cluster.run("ps", "-e", "-o", "args=").stdout
    assert "node-cache" not in left
