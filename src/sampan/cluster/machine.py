"""What a machine needs for a cluster and for each proxy mode, and how to get what it lacks."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sampan.cluster.config import ClusterConfig
from sampan.linux.real import probe

NEEDED = ("CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_MKNOD")
EVERYTHING = "every cluster"


class MachineLacks(Exception):
    """A privilege or feature is missing; one line that names it and how to get it."""


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that a machine has or lacks."""

    name: str
    used_by: str
    has: Callable[[], bool]
    remedy: str


def needs() -> tuple[Need, ...]:
    """In the order in which `doctor` prints them."""
    return (
        Need("root", EVERYTHING, lambda: os.geteuid() == 0, "run it with sudo"),
        Need(
            "capabilities", EVERYTHING, lambda: not probe.missing_capabilities(NEEDED),
            "allow " + ", ".join(NEEDED),
        ),
        Need("network namespaces", EVERYTHING, _file("/proc/self/ns/net"), "kernel: CONFIG_NET_NS"),
        Need(
            "overlay file system", EVERYTHING, lambda: probe.has_filesystem("overlay"),
            "modprobe overlay (kernel: CONFIG_OVERLAY_FS)",
        ),
        Need("bridges", EVERYTHING, _link("bridge"), "modprobe bridge (kernel: CONFIG_BRIDGE)"),
        Need("VXLAN", EVERYTHING, _link("vxlan"), "modprobe vxlan (kernel: CONFIG_VXLAN)"),
        Need("control groups", "limits and statistics", _file("/sys/fs/cgroup"), "mount cgroup2"),
        Need(
            "CAP_SYS_RESOURCE", "rlimits and oom_score_adj of pods",
            lambda: not probe.missing_capabilities(("CAP_SYS_RESOURCE",)),
            "allow CAP_SYS_RESOURCE; without it both are best effort",
        ),
        Need(
            "nf_tables", EVERYTHING, probe.has_netfilter_netlink,
            "modprobe nf_tables (kernel: CONFIG_NF_TABLES)",
        ),
        Need(
            "libnftables", EVERYTHING,
            lambda: probe.has_library("libnftables.so.1"), "apt install nftables",
        ),
        Need(
            "iptables-restore", "--proxy-mode iptables, ipvs",
            _program("iptables-restore"), "apt install iptables",
        ),
        Need("ip_vs", "--proxy-mode ipvs", probe.has_ipvs, "modprobe ip_vs (kernel: CONFIG_IP_VS)"),
        Need("ipset", "--proxy-mode ipvs", _program("ipset"), "apt install ipset"),
        Need(
            "unified cgroup", "--proxy-mode ebpf", probe.has_cgroup_bpf,
            "mount -t cgroup2 none /sys/fs/cgroup/unified",
        ),
        Need(
            "CAP_BPF", "--proxy-mode ebpf",
            lambda: not probe.missing_capabilities(("CAP_BPF",)), "allow CAP_BPF",
        ),
        Need("SCTP", "Services with protocol SCTP", probe.has_sctp, "modprobe sctp"),
        Need(
            "IPv4 forwarding", "--egress auto", forwards,
            "sysctl net.ipv4.ip_forward=1, or leave pods without a way out",
        ),
        Need(
            "kubectl", "you", _program("kubectl"),
            "https://kubernetes.io/docs/tasks/tools/; 'sampan get', 'apply' … do the everyday part",
        ),
    )  # fmt: skip


def _file(path: str) -> Callable[[], bool]:
    return lambda: Path(path).exists()


def _program(name: str) -> Callable[[], bool]:
    return lambda: bool(probe.program(name))


def _link(kind: str) -> Callable[[], bool]:
    return lambda: probe.can_make_link(kind)


def forwards() -> bool:
    """Whether the host itself forwards IPv4."""
    try:
        return Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"
    except OSError:
        return False


def check_machine(config: ClusterConfig) -> None:
    """What `up` insists on, cheap enough for every start. Raises MachineLacks.

    Links are not tried here: a kernel without them refuses the namespaces' own in the next step.
    """
    wanted = {"root", "capabilities", "network namespaces", "overlay file system"}
    # Pods leave their node through nftables in every mode.
    wanted |= {"nf_tables", "libnftables"}
    wanted |= {
        "ebpf": {"unified cgroup", "CAP_BPF"},
        "iptables": {"iptables-restore"},
    }.get(config.proxy_mode, set())
    if config.egress == "on":
        wanted.add("IPv4 forwarding")
    for need in needs():
        if need.name in wanted and not need.has():
            raise MachineLacks(f"this machine lacks {need.name}: {need.remedy}")


def demand_root() -> None:
    """Raises MachineLacks for anybody else."""
    if os.geteuid() != 0:
        raise MachineLacks("only root can do this: run it with sudo")
