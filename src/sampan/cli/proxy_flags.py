"""The flags of `sampan proxy`, by kube-proxy's names, kinds and defaults; and where each one lands
in KubeProxyConfiguration.
"""

from __future__ import annotations

from typing import Any

from sampan.api.meta import Json
from sampan.cli.common_flags import LOGS, LOGS_IGNORED
from sampan.cli.flagset import BOOLEANS, FlagSet, Given

PROGRAM = "sampan proxy"
ABOUT = """The Service proxy of a node, beside any conformant API server.
`sampan proxy render --mode M -f objects.yaml` prints what would be programmed."""

TABLE = f"""
= API server
kubeconfig | string | | how to reach it; without it, as a pod does
master | string | | its address, over the kubeconfig's
hostname-override | string | | name of the Node; the machine's otherwise
bind-address | ip | 0.0.0.0 | overrides the node's own address
config | string | | file with a KubeProxyConfiguration; beside it few flags count
write-config-to | string | | write the configuration there, and exit

= Mode
proxy-mode | ProxyMode | | nftables, iptables, ipvs, ebpf or userspace; nftables if empty
cleanup | bool | | remove the rules of every mode, and exit
init-only | bool | | set the system's limits, and exit
feature-gates | mapStringBool | | KubeProxyNFTablesLocalhostNodePorts=false: no listeners at \
127.0.0.1 and ::1
ebpf-cgroup | string | | in ebpf mode: group whose sockets are translated, made if there is none; \
the root if empty
iptables-localhost-nodeports | bool | true | serve node ports at 127.0.0.1 in iptables mode
iptables-masquerade-bit | int32 | 14 | bit of the packet mark that asks for masquerading
iptables-sync-period | duration | 30s | twice this long may a change wait before /healthz turns bad
ipvs-exclude-cidrs | strings | | virtual servers in these ranges are left alone
ipvs-scheduler | string | | scheduler of IPVS mode
ipvs-strict-arp | bool | | answer ARP only for addresses of the interface asked
ipvs-sync-period | duration | 30s | as iptables-sync-period
ipvs-tcp-timeout | duration | | of idle IPVS connections
ipvs-tcpfin-timeout | duration | | of those after a FIN
ipvs-udp-timeout | duration | | of IPVS' UDP flows

= Traffic
cluster-cidr | string | | ranges of all pods, v4,v6
detect-local-mode | LocalMode | | how pods' traffic is known: ClusterCIDR, NodeCIDR, \
BridgeInterface, InterfaceNamePrefix
pod-bridge-interface | string | | bridge of the pods, for BridgeInterface
pod-interface-name-prefix | string | | prefix of the pods' interfaces, for InterfaceNamePrefix
masquerade-all | bool | | masquerade all traffic to cluster IPs
nodeport-addresses | strings | | ranges whose addresses serve node ports; or primary, localhost, all

= Connection tracking
conntrack-max-per-core | int32 | 32768 | connections for each processor; 0 leaves the kernel's limit
conntrack-min | int32 | 131072 | connections at least
conntrack-tcp-be-liberal | bool | | accept TCP packets out of their window
conntrack-tcp-timeout-close-wait | duration | 1h0m0s | life of a half-closed connection
conntrack-tcp-timeout-established | duration | 24h0m0s | life of an idle connection
conntrack-udp-timeout | duration | | life of a UDP flow without answer
conntrack-udp-timeout-stream | duration | | life of an answered UDP flow

= Serving
healthz-bind-address | ipport | 0.0.0.0:10256 | where /healthz and /livez answer; nowhere if empty
healthz-port | int32 | 10256 | deprecated: its port where the address has none; 0: nowhere
metrics-bind-address | ipport | 127.0.0.1:10249 | where /metrics, /configz and /proxyMode answer; \
nowhere if empty
metrics-port | int32 | 10249 | deprecated: its port where the address has none; 0: nowhere
bind-address-hard-fail | bool | | a port that is taken is fatal
oom-score-adj | int32 | -999 | of this process

{LOGS}"""

IGNORED = (
    LOGS_IGNORED
    + """
boot-id-file string /proc/sys/kernel/random/boot_id
config-sync-period duration 15m0s
iptables-min-sync-period duration 1s
ipvs-min-sync-period duration 1s
kube-api-burst int32 10
kube-api-content-type string application/vnd.kubernetes.protobuf
kube-api-qps float32 5
machine-id-file string /etc/machine-id,/var/lib/dbus/machine-id
profiling bool
show-hidden-metrics-for-version string
"""
)

FIELDS: dict[str, tuple[str, ...]] = {
    "bind-address": ("bindAddress",),
    "bind-address-hard-fail": ("bindAddressHardFail",),
    "cluster-cidr": ("clusterCIDR",),
    "config-sync-period": ("configSyncPeriod",),
    "conntrack-max-per-core": ("conntrack.maxPerCore",),
    "conntrack-min": ("conntrack.min",),
    "conntrack-tcp-be-liberal": ("conntrack.tcpBeLiberal",),
    "conntrack-tcp-timeout-close-wait": ("conntrack.tcpCloseWaitTimeout",),
    "conntrack-tcp-timeout-established": ("conntrack.tcpEstablishedTimeout",),
    "conntrack-udp-timeout": ("conntrack.udpTimeout",),
    "conntrack-udp-timeout-stream": ("conntrack.udpStreamTimeout",),
    "detect-local-mode": ("detectLocalMode",),
    "feature-gates": ("featureGates",),
    "healthz-bind-address": ("healthzBindAddress",),
    "hostname-override": ("hostnameOverride",),
    "iptables-localhost-nodeports": ("iptables.localhostNodePorts",),
    "iptables-masquerade-bit": ("iptables.masqueradeBit",),
    "iptables-min-sync-period": ("iptables.minSyncPeriod",),
    "iptables-sync-period": ("iptables.syncPeriod",),
    "ipvs-exclude-cidrs": ("ipvs.excludeCIDRs",),
    "ipvs-min-sync-period": ("ipvs.minSyncPeriod",),
    "ipvs-scheduler": ("ipvs.scheduler",),
    "ipvs-strict-arp": ("ipvs.strictARP",),
    "ipvs-sync-period": ("ipvs.syncPeriod",),
    "ipvs-tcp-timeout": ("ipvs.tcpTimeout",),
    "ipvs-tcpfin-timeout": ("ipvs.tcpFinTimeout",),
    "ipvs-udp-timeout": ("ipvs.udpTimeout",),
    "kube-api-burst": ("clientConnection.burst",),
    "kube-api-content-type": ("clientConnection.contentType",),
    "kube-api-qps": ("clientConnection.qps",),
    "kubeconfig": ("clientConnection.kubeconfig",),
    "log-flush-frequency": ("logging.flushFrequency",),
    "logging-format": ("logging.format",),
    "masquerade-all": ("iptables.masqueradeAll", "nftables.masqueradeAll"),
    "metrics-bind-address": ("metricsBindAddress",),
    "nodeport-addresses": ("nodePortAddresses",),
    "oom-score-adj": ("oomScoreAdj",),
    "pod-bridge-interface": ("detectLocal.bridgeInterface",),
    "pod-interface-name-prefix": ("detectLocal.interfaceNamePrefix",),
    "profiling": ("enableProfiling",),
    "proxy-mode": ("mode",),
    "show-hidden-metrics-for-version": ("showHiddenMetricsForVersion",),
    "v": ("logging.verbosity",),
}
"""Flags that stand for fields of a configuration; those without effect are shown there all the
same, as upstream shows them.
"""
BESIDE_CONFIG = frozenset({"hostname-override", "v", "logging-format", "log-flush-frequency"})
"""Flags that lie over a file; all others that are fields of it count only without one."""


def flag_set() -> FlagSet:
    return FlagSet(PROGRAM, ABOUT, TABLE, IGNORED)


def layer(flags: FlagSet, given: Given) -> Json:
    """The flags that were named as a part of KubeProxyConfiguration."""
    config: Json = {}
    for name in sorted(named(given)):
        kind = flags.flags[name].kind if name in flags.flags else flags.ignored[name]
        for path in FIELDS[name]:
            *parents, last = path.split(".")
            place = config
            for parent in parents:
                place = place.setdefault(parent, {})
            place[last] = _field(kind, given[name])
    return config


def named(given: Given) -> set[str]:
    """Of the flags that were named those that are fields."""
    return (given.named | set(given.ignored)) & FIELDS.keys()


def _field(kind: str, value: Any) -> Any:
    if kind == "duration":
        return _duration(value)
    if isinstance(value, dict):
        return {name: BOOLEANS[text] for name, text in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _duration(seconds: float) -> str:
    """As Go writes it: `1h0m0s`, `1m30s`, `1.5s`, `250ms`."""
    if 0 < abs(seconds) < 1:
        return f"{seconds * 1000:.12g}ms"
    minutes, rest = divmod(abs(seconds), 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:.12g}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return ("-" if seconds < 0 else "") + (f"{hours}h{text}" if hours else text)
