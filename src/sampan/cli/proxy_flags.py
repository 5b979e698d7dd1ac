"""The flags of `sampan proxy`: upstream's names, kinds and defaults, and where each one lands in
KubeProxyConfiguration. One table, for parsing and for `--help`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sampan.api.meta import Json


class Flag(NamedTuple):
    """`path` is the field of the configuration; empty for flags of the command itself."""

    name: str
    kind: str
    default: str
    path: str
    text: str


FLAGS: tuple[Flag, ...] = (
    Flag("bind-address", "ip", "0.0.0.0", "bindAddress", "Overrides the node's own address."),
    Flag("bind-address-hard-fail", "", "", "bindAddressHardFail", "A port that is taken is fatal."),
    Flag(
        "boot-id-file",
        "string",
        '"/proc/sys/kernel/random/boot_id"',
        "",
        "Accepted for upstream's sake; not used.",
    ),
    Flag("cleanup", "", "", "", "Remove the rules of every mode and exit."),
    Flag("cluster-cidr", "string", "", "clusterCIDR", "The ranges of all pods, v4,v6."),
    Flag("config", "string", "", "", "The path of a KubeProxyConfiguration."),
    Flag("config-sync-period", "duration", "15m0s", "configSyncPeriod", "Not used: we watch."),
    Flag(
        "conntrack-max-per-core",
        "int32",
        "32768",
        "conntrack.maxPerCore",
        "Connections to track for each processor; 0 leaves the kernel's limit.",
    ),
    Flag("conntrack-min", "int32", "131072", "conntrack.min", "Connections to track at least."),
    Flag(
        "conntrack-tcp-be-liberal",
        "",
        "",
        "conntrack.tcpBeLiberal",
        "Accept TCP packets out of their window.",
    ),
    Flag(
        "conntrack-tcp-timeout-close-wait",
        "duration",
        "1h0m0s",
        "conntrack.tcpCloseWaitTimeout",
        "How long a half-closed connection is tracked.",
    ),
    Flag(
        "conntrack-tcp-timeout-established",
        "duration",
        "24h0m0s",
        "conntrack.tcpEstablishedTimeout",
        "How long an idle connection is tracked.",
    ),
    Flag(
        "conntrack-udp-timeout",
        "duration",
        "",
        "conntrack.udpTimeout",
        "How long an unanswered UDP flow is tracked.",
    ),
    Flag(
        "conntrack-udp-timeout-stream",
        "duration",
        "",
        "conntrack.udpStreamTimeout",
        "How long an answered UDP flow is tracked.",
    ),
    Flag(
        "detect-local-mode",
        "LocalMode",
        "",
        "detectLocalMode",
        "How pods' traffic is known: ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix.",
    ),
    Flag(
        "ebpf-cgroup",
        "string",
        "",
        "",
        "In ebpf mode: the control group whose sockets are translated (made if there is none); the "
        "root if empty.",
    ),
    Flag(
        "feature-gates",
        "mapStringBool",
        "",
        "featureGates",
        "KubeProxyNFTablesLocalhostNodePorts=false: no listeners at 127.0.0.1 and ::1.",
    ),
    Flag(
        "healthz-bind-address",
        "ipport",
        "0.0.0.0:10256",
        "healthzBindAddress",
        "Where /healthz and /livez answer; empty for nowhere.",
    ),
    Flag("help", "", "", "", "Show this text."),
    Flag(
        "hostname-override",
        "string",
        "",
        "hostnameOverride",
        "The name of the Node; the machine's name otherwise.",
    ),
    Flag("init-only", "", "", "", "Set the system's limits, then exit."),
    Flag(
        "iptables-localhost-nodeports",
        "",
        "true",
        "iptables.localhostNodePorts",
        "Serve node ports at 127.0.0.1 in iptables mode.",
    ),
    Flag(
        "iptables-masquerade-bit",
        "int32",
        "14",
        "iptables.masqueradeBit",
        "The bit of the packet mark that asks for masquerading.",
    ),
    Flag("iptables-min-sync-period", "duration", "1s", "iptables.minSyncPeriod", "Not used."),
    Flag(
        "iptables-sync-period",
        "duration",
        "30s",
        "iptables.syncPeriod",
        "Twice this long may a change wait before /healthz turns bad.",
    ),
    Flag(
        "ipvs-exclude-cidrs",
        "strings",
        "",
        "ipvs.excludeCIDRs",
        "Virtual servers in these ranges are left alone.",
    ),
    Flag("ipvs-min-sync-period", "duration", "1s", "ipvs.minSyncPeriod", "Not used."),
    Flag("ipvs-scheduler", "string", "", "ipvs.scheduler", "The scheduler of IPVS mode."),
    Flag(
        "ipvs-strict-arp",
        "",
        "",
        "ipvs.strictARP",
        "Answer ARP only for addresses of the interface asked.",
    ),
    Flag("ipvs-sync-period", "duration", "30s", "ipvs.syncPeriod", "As iptables-sync-period."),
    Flag("ipvs-tcp-timeout", "duration", "", "ipvs.tcpTimeout", "Of idle IPVS connections."),
    Flag("ipvs-tcpfin-timeout", "duration", "", "ipvs.tcpFinTimeout", "After a FIN."),
    Flag("ipvs-udp-timeout", "duration", "", "ipvs.udpTimeout", "Of IPVS' UDP flows."),
    Flag("kube-api-burst", "int32", "10", "clientConnection.burst", "Not used."),
    Flag(
        "kube-api-content-type",
        "string",
        '"application/vnd.kubernetes.protobuf"',
        "clientConnection.contentType",
        "Not used: JSON is spoken.",
    ),
    Flag("kube-api-qps", "float32", "5", "clientConnection.qps", "Not used."),
    Flag(
        "kubeconfig",
        "string",
        "",
        "clientConnection.kubeconfig",
        "How to reach the API server; in a pod the ServiceAccount does.",
    ),
    Flag("log-flush-frequency", "duration", "5s", "logging.flushFrequency", "Not used."),
    Flag("log-json-info-buffer-size", "quantity", "", "", "Not used."),
    Flag("log-json-split-stream", "", "", "", "Not used."),
    Flag("log-text-info-buffer-size", "quantity", "", "", "Not used."),
    Flag("log-text-split-stream", "", "", "", "Not used."),
    Flag("logging-format", "string", '"text"', "logging.format", "Only text."),
    Flag(
        "machine-id-file",
        "string",
        '"/etc/machine-id,/var/lib/dbus/machine-id"',
        "",
        "Accepted for upstream's sake; not used.",
    ),
    Flag(
        "masquerade-all",
        "",
        "",
        "iptables.masqueradeAll,nftables.masqueradeAll",
        "Masquerade all traffic to cluster IPs.",
    ),
    Flag("master", "string", "", "", "The API server's URL, over the kubeconfig."),
    Flag(
        "metrics-bind-address",
        "ipport",
        "127.0.0.1:10249",
        "metricsBindAddress",
        "Where /metrics, /configz and /proxyMode answer; empty for nowhere.",
    ),
    Flag(
        "nodeport-addresses",
        "strings",
        "",
        "nodePortAddresses",
        "Ranges whose addresses serve node ports, or primary, localhost, all.",
    ),
    Flag("oom-score-adj", "int32", "-999", "oomScoreAdj", "Of this process."),
    Flag(
        "pod-bridge-interface",
        "string",
        "",
        "detectLocal.bridgeInterface",
        "The bridge of pods, for BridgeInterface.",
    ),
    Flag(
        "pod-interface-name-prefix",
        "string",
        "",
        "detectLocal.interfaceNamePrefix",
        "The prefix of pods' interfaces, for InterfaceNamePrefix.",
    ),
    Flag("profiling", "", "", "enableProfiling", "Not used."),
    Flag(
        "proxy-mode",
        "ProxyMode",
        "",
        "mode",
        "nftables, iptables, ipvs, ebpf or userspace; nftables if empty.",
    ),
    Flag(
        "show-hidden-metrics-for-version",
        "string",
        "",
        "showHiddenMetricsForVersion",
        "Not used: none are hidden.",
    ),
    Flag("v", "Level", "", "logging.verbosity", "From 4 on, debug logs are shown."),
    Flag("version", "version[=true]", "", "", "Show the version and exit."),
    Flag("vmodule", "pattern=N,...", "", "", "Not used."),
    Flag("write-config-to", "string", "", "", "Write the configuration there and exit."),
)
BY_NAME = {flag.name: flag for flag in FLAGS}
NUMBERS = {"int32", "Level"}


class BadFlag(ValueError):
    """A flag that does not exist or has no such value."""


def parse(argv: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Flags as given, `--name value`, `--name=value` or `-v=2`, and the words between them.
    Raises BadFlag.
    """
    found: dict[str, str] = {}
    words: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        name, given, value = word.lstrip("-").partition("=")
        name = {"h": "help"}.get(name, name)
        flag = BY_NAME.get(name)
        if flag is None:
            raise BadFlag(f"unknown flag {word!r}; see 'sampan proxy --help'")
        if not given:
            if not flag.kind or flag.name == "version":
                value = "true"
            elif not rest:
                raise BadFlag(f"--{name} needs a value")
            else:
                value = rest.pop(0)
        found[name] = value
    return found, words


def layer(given: dict[str, str]) -> Json:
    """The flags given as a part of KubeProxyConfiguration. Raises BadFlag."""
    config: Json = {}
    for name, text in given.items():
        flag = BY_NAME[name]
        for path in filter(None, flag.path.split(",")):
            *parents, last = path.split(".")
            place = config
            for parent in parents:
                place = place.setdefault(parent, {})
            place[last] = _value(flag, text)
    return config


def _value(flag: Flag, text: str) -> Any:
    if not flag.kind:
        if text.lower() not in ("true", "false", "1", "0", "t", "f"):
            raise BadFlag(f"--{flag.name} is true or false, not {text!r}")
        return text.lower() in ("true", "1", "t")
    if flag.kind == "mapStringBool":
        pairs = (part.partition("=") for part in text.split(",") if part)
        return {name: value.lower() == "true" for name, _, value in pairs}
    if flag.kind == "strings":
        return [part for part in text.split(",") if part]
    try:
        if flag.kind in NUMBERS:
            return int(text)
        return float(text) if flag.kind == "float32" else text
    except ValueError as error:
        raise BadFlag(f"--{flag.name} takes a number, not {text!r}") from error


def help_text() -> str:
    """All flags, in the form that upstream prints them."""
    rows = []
    for flag in FLAGS:
        left = f"--{flag.name} {flag.kind}".rstrip()
        short = {"help": "  -h, ", "v": "  -v, "}.get(flag.name, "      ")
        tail = f" (default {flag.default})" if flag.default else ""
        rows.append((short + left, flag.text + tail))
    width = max(len(left) for left, _ in rows)
    lines = "\n".join(f"{left:<{width}}   {text}" for left, text in rows)
    return (
        "The Service proxy of a node, beside any conformant API server.\n\n"
        "usage: sampan proxy [flags]\n"
        "       sampan proxy render --mode M -f objects.yaml   print what would be programmed\n\n"
        f"Flags:\n{lines}\n"
    )
