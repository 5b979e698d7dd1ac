"""What is applied to clusters: one story in two places, and a Corefile that sets up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sampan.cli.node_cache import flags_from
from tests.dns.desk import Desk

ROOT = Path(__file__).parent.parent.parent
ADDONS = ROOT / "src" / "sampan" / "cluster" / "addons"


def objects(path: Path) -> dict[str, Any]:
    text = path.read_text().replace("${DNS_IP}", "10.96.0.10").replace("${DOMAIN}", "cluster.local")
    found = [obj for obj in yaml.safe_load_all(text) if obj]
    return {f"{obj['kind']}/{obj['metadata']['name']}": obj for obj in found}


@pytest.mark.parametrize("path", [ADDONS / "dns.yaml", ROOT / "deploy" / "dns.yaml"], ids=str)
def test_the_corefile_sets_up_and_the_ports_and_rights_fit_it(path: Path) -> None:
    found = objects(path)
    text = found["ConfigMap/coredns"]["data"]["Corefile"]
    text = text.replace("pods insecure", "pods insecure\n endpoint http://127.0.0.1:1")
    made = Desk(text.replace("/etc/resolv.conf", "192.0.2.53"), (), None)
    assert [site.zone for site in made.instance.sites] == ["."]
    service = found["Service/kube-dns"]["spec"]
    assert {port["name"] for port in service["ports"]} == {"dns", "dns-tcp", "metrics"}
    rules = found["ClusterRole/system:coredns"]["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"list", "watch"}
    pod = found["Deployment/coredns"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"


@pytest.mark.parametrize(
    "path", [ADDONS / "node-local-dns.yaml", ROOT / "deploy" / "node-local-dns.yaml"], ids=str
)
def test_the_node_cache_s_flags_are_understood(path: Path) -> None:
    pod = objects(path)["DaemonSet/node-local-dns"]["spec"]["template"]["spec"]
    program, command, *flags = pod["containers"][0]["command"]
    assert (program, command, pod["hostNetwork"]) == ("sampan", "node-cache", True)
    read = flags_from(flags)
    assert read.ips == ("169.254.20.10", "10.96.0.10")
    assert read.upstream == "kube-dns-upstream"
