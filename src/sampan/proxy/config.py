"""KubeProxyConfiguration: upstream's defaults, a file over them, flags over both; and the settings
that follow from it on one node.
"""

from __future__ import annotations

import copy
import ipaddress
import re
from collections.abc import Mapping, Sequence

from sampan.api.meta import Json
from sampan.proxy.model import family_of
from sampan.proxy.settings import Detector, FamilySettings, Settings, contains

MODES = ("nftables", "iptables", "ipvs", "ebpf", "userspace")
NFT_MODES = ("nftables", "ebpf", "userspace")
"""Modes whose rules are nftables'."""
DEFAULT_MODE = "nftables"
GATE = "KubeProxyNFTablesLocalhostNodePorts"
"""False turns the listeners at the loopback off."""
KIND = "KubeProxyConfiguration"
GROUP = "kubeproxy.config.k8s.io"
_ALL = {4: "0.0.0.0/0", 6: "::/0"}


class BadConfig(ValueError):
    """A configuration that cannot be followed; the message names the field and the remedy."""


def defaults() -> Json:
    """Every field with the value that it has when nobody says otherwise."""
    period = {"syncPeriod": "30s", "minSyncPeriod": "1s"}
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": KIND,
        "bindAddress": "0.0.0.0",
        "bindAddressHardFail": False,
        "clientConnection": {
            "acceptContentTypes": "",
            "burst": 10,
            "contentType": "application/vnd.kubernetes.protobuf",
            "kubeconfig": "",
            "qps": 5,
        },
        "clusterCIDR": "",
        "configSyncPeriod": "15m0s",
        "conntrack": {
            "maxPerCore": 32768,
            "min": 131072,
            "tcpBeLiberal": False,
            "tcpCloseWaitTimeout": "1h0m0s",
            "tcpEstablishedTimeout": "24h0m0s",
            "udpStreamTimeout": "0s",
            "udpTimeout": "0s",
        },
        "detectLocal": {"bridgeInterface": "", "interfaceNamePrefix": ""},
        "detectLocalMode": "ClusterCIDR",
        "enableProfiling": False,
        "featureGates": {},
        "healthzBindAddress": "0.0.0.0:10256",
        "hostnameOverride": "",
        "iptables": {
            "localhostNodePorts": True,
            "masqueradeAll": False,
            "masqueradeBit": 14,
            **period,
        },
        "ipvs": {
            "excludeCIDRs": None,
            "scheduler": "rr",
            "strictARP": False,
            "tcpFinTimeout": "0s",
            "tcpTimeout": "0s",
            "udpTimeout": "0s",
            **period,
        },
        "logging": {
            "flushFrequency": "5s",
            "format": "text",
            "options": {"json": {"infoBufferSize": "0"}, "text": {"infoBufferSize": "0"}},
            "verbosity": 0,
        },
        "metricsBindAddress": "127.0.0.1:10249",
        "mode": DEFAULT_MODE,
        "nftables": {"masqueradeAll": False, "masqueradeBit": 14, **period},
        "nodePortAddresses": None,
        "oomScoreAdj": -999,
        "portRange": "",
        "showHiddenMetricsForVersion": "",
        "winkernel": {
            "enableDSR": False,
            "forwardHealthCheckVip": False,
            "networkName": "",
            "rootHnsEndpointName": "",
            "sourceVip": "",
        },
    }


def configuration(*layers: Mapping[str, object]) -> Json:
    """The defaults with each layer laid over the last; unknown words are mistakes. Raises
    BadConfig.
    """
    config = defaults()
    for layer in layers:
        _lay(config, layer, "")
    mode = config["mode"] = config["mode"] or DEFAULT_MODE
    if mode not in MODES:
        raise BadConfig(f"mode: {mode!r} is none of {', '.join(MODES)}")
    for cidr in cidrs(config["clusterCIDR"]):
        _network("clusterCIDR", cidr)
    return config


def _lay(under: Json, over: Mapping[str, object], path: str) -> None:
    for key, value in over.items():
        if path == "" and key == "featureGates" and isinstance(value, Mapping):
            # Upstream's gates are many and come and go: any name is taken, few mean something.
            under[key] = {**under[key], **value}
            continue
        if key not in under:
            if path == "" and key == "windowsRunAsService":
                continue
            raise BadConfig(f"{path}{key}: no such field; see 'sampan proxy --help'")
        if value is None:
            continue
        if not isinstance(value, _kinds(under[key])) or (
            isinstance(value, bool) and not isinstance(under[key], bool)
        ):
            wanted = _kinds(under[key])[0].__name__
            raise BadConfig(f"{path}{key}: {value!r} is no {WORDS.get(wanted, wanted)}")
        if isinstance(under[key], dict) and isinstance(value, Mapping):
            _lay(under[key], value, f"{path}{key}.")
        else:
            under[key] = copy.deepcopy(value)


WORDS = {"Mapping": "object", "str": "text", "bool": "true or false", "int": "number"}


def _kinds(default: object) -> tuple[type, ...]:
    """What a field may be, from what it is when nobody says otherwise."""
    if isinstance(default, dict):
        return (Mapping,)
    if default is None or isinstance(default, list):
        return (list, tuple)
    if isinstance(default, bool | str):
        return (type(default),)
    return (int, float)


def cidrs(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def seconds(text: str | float) -> float:
    """A duration in Go's form, `1h0m0s` or `500ms`. Raises BadConfig."""
    if isinstance(text, int | float):
        return float(text)
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "ns": 1e-9}
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|us|ns|h|m|s)", text)
    if text != "0" and "".join(number + unit for number, unit in parts) != text:
        raise BadConfig(f"{text!r} is no duration; write 30s or 1h0m0s")
    return sum(float(number) * units[unit] for number, unit in parts)


def settings(
    config: Json,
    *,
    node_name: str,
    node: Json | None,
    service_cidrs: Sequence[str] = (),
    local_ips: Sequence[str] = (),
    liberal: bool = False,
) -> Settings:
    """What the rules depend on, from the configuration, the Node and the machine's addresses, and
    whether its connection tracking was liberal before we asked for it.
    """
    primary = [*_bound(config), *_primary(node)]
    families = []
    for family in (4, 6):
        own = tuple(ip for ip in primary if family_of(ip) == family)[:1]
        here = tuple(ip for ip in local_ips if family_of(ip) == family)
        families.append(
            FamilySettings(
                family,
                _detector(config, node, family),
                masquerade_all=bool(_block(config)["masqueradeAll"]),
                masquerade_bit=int(_block(config)["masqueradeBit"]),
                node_port_ips=_node_port_ips(config, family, own, here),
                localhost_node_ports=_localhost(config, family),
                loopback_listeners=_listeners(config, family),
                service_cidrs=tuple(c for c in service_cidrs if family_of(c) == family),
                node_ips=own,
                drop_invalid=not (liberal or config["conntrack"]["tcpBeLiberal"]),
            )
        )
    return Settings(node_name, tuple(families))


def _block(config: Json) -> Json:
    """The section whose masquerade fields count in this mode."""
    section: Json = config["nftables" if config["mode"] in NFT_MODES else "iptables"]
    return section


def _bound(config: Json) -> list[str]:
    """The address that was asked for in the Node's place; a wildcard asks for none."""
    text: str = config["bindAddress"]
    return [] if ipaddress.ip_address(text).is_unspecified else [text]


def _primary(node: Json | None) -> list[str]:
    addresses = ((node or {}).get("status") or {}).get("addresses") or ()
    by_type: dict[str, list[str]] = {}
    for item in addresses:
        by_type.setdefault(item["type"], []).append(item["address"])
    return [*by_type.get("InternalIP", ()), *by_type.get("ExternalIP", ())]


def _detector(config: Json, node: Json | None, family: int) -> Detector:
    mode = config["detectLocalMode"]
    if mode == "InterfaceNamePrefix":
        prefix = config["detectLocal"]["interfaceNamePrefix"]
        return Detector(interface=f"{prefix}*" if prefix else "")
    if mode == "BridgeInterface":
        return Detector(interface=config["detectLocal"]["bridgeInterface"])
    if mode == "NodeCIDR":
        spec = (node or {}).get("spec") or {}
        ranges = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    elif mode in ("", "ClusterCIDR"):
        ranges = cidrs(config["clusterCIDR"])
    else:
        raise BadConfig(
            f"detectLocalMode: {mode!r} is none of ClusterCIDR, NodeCIDR, BridgeInterface, "
            "InterfaceNamePrefix"
        )
    return Detector(
        tuple(
            str(ipaddress.ip_network(one, strict=False))
            for one in ranges
            if family_of(one) == family
        )
    )


def _node_port_ranges(config: Json, family: int, own: Sequence[str]) -> list[str]:
    """The ranges that serve node ports; keywords in their place, a family not named is open."""
    given = config["nodePortAddresses"] or (["primary"] if config["mode"] == "nftables" else [])
    ranges = []
    for word in given:
        if word == "primary":
            ranges += [f"{ip}/{128 if family == 6 else 32}" for ip in own]
        elif word == "localhost":
            ranges.append("::1/128" if family == 6 else "127.0.0.0/8")
        elif word == "all":
            ranges.append(_ALL[family])
        else:
            _network("nodePortAddresses", word)
            if family_of(word) == family:
                ranges.append(word)
    if not ranges and "primary" not in given:
        return [_ALL[family]]
    return ranges


def _node_port_ips(
    config: Json, family: int, own: Sequence[str], here: Sequence[str]
) -> tuple[str, ...] | None:
    ranges = _node_port_ranges(config, family, own)
    known = dict.fromkeys((*here, *own))
    if any(one.endswith("/0") for one in ranges):
        if config["mode"] != "ipvs":
            return None
        # A virtual server has an address: here all of them must be named.
        return tuple(ip for ip in known if not ip.startswith("fe80:") and not _loopback(ip))
    looped = _localhost(config, family)
    return tuple(
        ip
        for ip in known
        if any(contains(one, ip) for one in ranges) and (looped or not _loopback(ip))
    )


def _loopback(ip: str) -> bool:
    """Addresses at which the rules of no mode but iptables' serve node ports."""
    return ip.startswith("127.") or ip == "::1"


def _listeners(config: Json, family: int) -> bool:
    """Where nodePortAddresses hold the loopback address a process listens there, in the modes whose
    rules cannot serve it. In nftables mode it must be asked for, as upstream: unset is primary.
    """
    if config["mode"] not in NFT_MODES or not config["featureGates"].get(GATE, True):
        return False
    loopback = "::1" if family == 6 else "127.0.0.1"
    return any(contains(one, loopback) for one in _node_port_ranges(config, family, ()))


def _localhost(config: Json, family: int) -> bool:
    """Rules for node ports at 127.0.0.1 exist in iptables mode only, as upstream."""
    if family == 6 or config["mode"] != "iptables":
        return False
    ranges = _node_port_ranges(config, family, ())
    return bool(config["iptables"]["localhostNodePorts"]) and any(
        contains(one, "127.0.0.1") for one in ranges
    )


def _network(field: str, text: str) -> None:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise BadConfig(f"{field}: {text!r} is no address range such as 10.0.0.0/8") from error
