"""Certificates and kubeconfigs of one cluster's people and components, made once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sampan.client import kubeconfig
from sampan.client.kubeconfig import Connection
from sampan.cluster import pki
from sampan.cluster.config import ClusterConfig
from sampan.cluster.paths import Paths

MASTERS = "system:masters"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who a client certificate speaks for."""

    file: str
    name: str
    groups: tuple[str, ...] = ()


ADMIN = Holder("admin", "kubernetes-admin", (MASTERS,))
KUBELET_CLIENT = Holder("apiserver-kubelet-client", "kube-apiserver-kubelet-client", (MASTERS,))


def kubelet(node: str) -> Holder:
    return Holder(f"kubelet-{node}", f"system:node:{node}", ("system:nodes",))


def proxy(node: str) -> Holder:
    return Holder(f"proxy-{node}", "system:kube-proxy", ("system:node-proxier",))


def prepare(config: ClusterConfig, paths: Paths) -> None:
    """Make what is missing, the administrator's kubeconfig last: its presence says all is there."""
    pki.authority(paths.pki)
    pki.signing_key(paths.pki)
    holders = [ADMIN, KUBELET_CLIENT]
    for node in config.node_names:
        holders += [kubelet(node), proxy(node)]
        names = [node, config.node_address(node), "127.0.0.1", "localhost"]
        pki.serving_pair(paths.pki, f"kubelet-server-{node}", names)
    for holder in holders:
        pair(paths, holder)
    server = f"https://127.0.0.1:{config.api_port}"
    kubeconfig.write(
        paths.kubeconfig, kubeconfig.stanza(config.context, connection(paths, ADMIN, server))
    )


def pair(paths: Paths, holder: Holder) -> tuple[Path, Path]:
    """Certificate and key of a holder, made anew when they end soon."""
    return pki.client_pair(paths.pki, holder.file, pki.Subject(holder.name, holder.groups))


def connection(paths: Paths, holder: Holder, server: str) -> Connection:
    """How this holder reaches the API server."""
    crt, key = pair(paths, holder)
    ca = (paths.pki / "ca.crt").read_bytes()
    return Connection(server, ca=ca, cert=crt.read_bytes(), key=key.read_bytes())
