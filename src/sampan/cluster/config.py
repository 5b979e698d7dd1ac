"""What a cluster is made of: defaults, flags, a config file, and the plan of addresses."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sampan.cluster.paths import write_whole

PROXY_MODES = ("nftables", "iptables", "ipvs", "ebpf", "userspace")
EGRESS = ("auto", "on", "off")
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


class BadConfig(Exception):
    """One line that names the flag or field and what to do."""


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """Everything that `up` decides once; kept in the state folder, so that a restart finds it."""

    name: str = "sampan"
    nodes: int = 2
    service_cidr: str = "10.96.0.0/12"
    pod_cidr: str = "10.244.0.0/16"
    node_cidr: str = "192.168.213.0/24"
    api_port: int = 6443
    domain: str = "cluster.local"
    proxy_mode: str = "nftables"
    egress: str = "auto"
    node_local_dns: bool = False
    """A DNS cache on every node."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise BadConfig(f"--name {self.name!r}: use small letters, digits and '-', 32 at most")
        if not 1 <= self.nodes <= 100:
            raise BadConfig(f"--nodes {self.nodes}: must be between 1 and 100")
        if self.proxy_mode not in PROXY_MODES:
            raise BadConfig(
                f"--proxy-mode {self.proxy_mode!r}: must be one of {', '.join(PROXY_MODES)}"
            )
        if self.egress not in EGRESS:
            raise BadConfig(f"--egress {self.egress!r}: must be one of {', '.join(EGRESS)}")
        if not 1 <= self.api_port <= 65535:
            raise BadConfig(f"--api-port {self.api_port}: must be between 1 and 65535")
        ranges = [
            ("--service-cidr", self._range("--service-cidr", self.service_cidr, 24)),
            ("--pod-cidr", self._range("--pod-cidr", self.pod_cidr, 20)),
            ("--node-cidr", self._range("--node-cidr", self.node_cidr, 29)),
        ]
        for at, (flag, one) in enumerate(ranges):
            for other, two in ranges[at + 1 :]:
                if one.overlaps(two):
                    raise BadConfig(f"{flag} {one} overlaps {other} {two}; choose another range")
        if self.nodes > ranges[2][1].num_addresses - 4:
            raise BadConfig(f"--node-cidr {self.node_cidr}: too small for {self.nodes} nodes")

    @staticmethod
    def _range(flag: str, text: str, longest: int) -> ipaddress.IPv4Network:
        try:
            network = ipaddress.IPv4Network(text)
        except ValueError as error:
            raise BadConfig(f"{flag} {text}: {error}") from None
        if network.prefixlen > longest:
            raise BadConfig(f"{flag} {text}: too small, a /{longest} at least")
        return network

    @property
    def node_names(self) -> tuple[str, ...]:
        return tuple(f"node{number}" for number in range(1, self.nodes + 1))

    def node_address(self, node: str) -> str:
        """`node1` is the first address of the node range, and so on."""
        return str(ipaddress.IPv4Network(self.node_cidr)[int(node.removeprefix("node"))])

    @property
    def host_address(self) -> str:
        """The host's own address in the node range: the last one."""
        return str(ipaddress.IPv4Network(self.node_cidr)[-2])

    @property
    def node_prefix(self) -> int:
        return ipaddress.IPv4Network(self.node_cidr).prefixlen

    @property
    def api_address(self) -> str:
        """ClusterIP of `default/kubernetes`."""
        return str(ipaddress.IPv4Network(self.service_cidr)[1])

    @property
    def dns_address(self) -> str:
        """ClusterIP of `kube-system/kube-dns`."""
        return str(ipaddress.IPv4Network(self.service_cidr)[10])

    @property
    def context(self) -> str:
        """Name of the kubeconfig's stanza."""
        return f"sampan-{self.name}"

    def save(self, path: Path) -> None:
        write_whole(path, json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> ClusterConfig:
        return cls(**json.loads(path.read_text()))


def from_kind(document: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Settings from a `kind.x-k8s.io/v1alpha4` Cluster, and warnings for what means nothing."""
    if document.get("kind") != "Cluster":
        raise BadConfig(f"kind {document.get('kind')!r}: a config file holds `kind: Cluster`")
    version = str(document.get("apiVersion", ""))
    if not version.startswith(("kind.x-k8s.io/", "sampan/")):
        raise BadConfig(f"apiVersion {version!r}: use kind.x-k8s.io/v1alpha4")
    settings: dict[str, Any] = {}
    warnings: list[str] = []
    if "name" in document:
        settings["name"] = document["name"]
    if document.get("nodes"):
        settings["nodes"] = len(document["nodes"])
        extras = sorted({key for node in document["nodes"] for key in node} - {"role"})
        warnings += [f"nodes[].{key} has no meaning here" for key in extras]
    known = {
        "podSubnet": "pod_cidr", "serviceSubnet": "service_cidr", "kubeProxyMode": "proxy_mode",
        "apiServerPort": "api_port", "nodeSubnet": "node_cidr", "egress": "egress",
        "dnsDomain": "domain",
    }  # fmt: skip
    for key, value in (document.get("networking") or {}).items():
        if key in known:
            settings[known[key]] = value
        else:
            warnings.append(f"networking.{key} has no meaning here")
    seen = {"kind", "apiVersion", "name", "nodes", "networking"}
    warnings += [f"{key} has no meaning here" for key in document if key not in seen]
    return settings, warnings
