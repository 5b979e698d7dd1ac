"""Pods resolve names from outside through the cluster DNS, wherever the host can."""

import pytest
from machine import BIN, Machine, eventually

pytestmark = pytest.mark.e2e

COREFILE = """.:53 {
    bind 127.0.0.1
    hosts {
        192.0.2.7 outside.example
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
