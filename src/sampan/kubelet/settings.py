"""Everything that makes one kubelet differ from another, decided before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = "v1.36.2"
"""The Kubernetes version that the node reports: the API level that Sampan speaks."""


@dataclass(frozen=True, slots=True)
class Registration:
    """How the Node object starts out."""

    enabled: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()
    unschedulable: bool = False
    provider_id: str = ""


@dataclass(frozen=True, slots=True)
class Periods:
    """Seconds; upstream's defaults."""

    status_s: float = 10
    report_s: float = 300
    """An unchanged node status is reported no oftener than this."""
    lease_s: int = 40
    sync_s: float = 60
    manifests_s: float = 20
    volumes_s: float = 60


@dataclass(frozen=True, slots=True)
class Dns:
    """What pods with dnsPolicy ClusterFirst get."""

    servers: tuple[str, ...] = ()
    domain: str = "cluster.local"
    resolv_conf: str = "/etc/resolv.conf"
    """The node's own file; empty = no nameserver at all."""


@dataclass(frozen=True, slots=True)
class HostImage:
    """What `localhost/host` gives a pod beside the node's own file system."""

    names: tuple[str, ...] = ("localhost/host",)
    path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    env: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    """Paths that pods must not see: Sampan's state and run-time files, the caller's kubeconfig."""
    scratch_in_memory: bool = False
    """Keep the writable layers in memory even where the state directory could take them."""


@dataclass(frozen=True, slots=True)
class Server:
    """The kubelet's own HTTPS port; certificate and key in PEM, the CA for clients too."""

    address: str = "0.0.0.0"
    port: int = 10250
    certificate: bytes = b""
    key: bytes = b""
    client_ca: bytes = b""
    delegate: bool = True
    """Ask the API server about tokens and rights (TokenReview, SubjectAccessReview)."""
    anonymous: bool = False
    """Let everybody in who gives no credentials, as system:anonymous."""
    health_address: str = "127.0.0.1"
    health_port: int = 0
    """A second port, plain, that answers /healthz; 0 = none."""
    flags: Mapping[str, str] = field(default_factory=dict)
    """All flags as text, for /flagz."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """What is in force as a KubeletConfiguration, for /configz."""
    always_allow: bool = False
    """Whoever is let in may do everything: upstream's --authorization-mode AlwaysAllow."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """Taken off the capacity before pods are counted."""

    cpu: str = "0"
    memory: str = "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletSettings:
    """One node."""

    node_name: str
    root_dir: str
    """State: volumes, images, logs."""
    run_dir: str
    """Run-time files: the launcher's socket, records, pinned namespaces."""
    cgroup: str
    """Parent group of the node's pods, `sampan/<cluster>/<node>`."""
    node_ips: tuple[str, ...] = ()
    hostname: str = ""
    """Empty = the node's name."""
    node_netns: str = "/proc/self/ns/net"
    """The namespace that hostNetwork pods share."""
    pod_manifest_path: str = ""
    manifest_url: str = ""
    max_pods: int = 110
    pod_pids_limit: int = 0
    container_log_max_bytes: int = 10 << 20
    container_log_files: int = 5
    registration: Registration = field(default_factory=Registration)
    periods: Periods = field(default_factory=Periods)
    dns: Dns = field(default_factory=Dns)
    host_image: HostImage = field(default_factory=HostImage)
    server: Server = field(default_factory=Server)
    reserved: Reserved = field(default_factory=Reserved)
    image_dir: str = ""
    """Where loaded images are, shared by every node of a machine; empty = below `root_dir`."""
    service_namespace: str = "default"
    """Where the Services are whose variables every pod gets."""
