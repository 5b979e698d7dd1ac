"""Whether a whole KubeProxyConfiguration can be followed: every field that upstream checks, by its
name. Nothing here looks at the machine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from sampan.api.meta import Json
from sampan.proxy.config import BadConfig, cidrs, seconds

LOCAL_MODES = ("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix")
KEYWORDS = ("primary", "localhost", "all")
INTERFACE_MAX = 15
POSITIVE = (
    "configSyncPeriod",
    "iptables.syncPeriod",
    "ipvs.syncPeriod",
    "nftables.syncPeriod",
)
NOT_NEGATIVE = (
    "iptables.minSyncPeriod",
    "ipvs.minSyncPeriod",
    "nftables.minSyncPeriod",
    "ipvs.tcpTimeout",
    "ipvs.tcpFinTimeout",
    "ipvs.udpTimeout",
    "conntrack.tcpEstablishedTimeout",
    "conntrack.tcpCloseWaitTimeout",
    "conntrack.udpTimeout",
    "conntrack.udpStreamTimeout",
)
NUMBERS = (
    ("oomScoreAdj", -1000, 1000),
    ("conntrack.maxPerCore", 0, None),
    ("conntrack.min", 0, None),
    ("iptables.masqueradeBit", 0, 31),
    ("nftables.masqueradeBit", 0, 31),
    ("clientConnection.burst", 0, None),
)


def check(config: Json) -> None:
    """All mistakes of a configuration in one message. Raises BadConfig."""
    found = [
        mistake
        for look in (_numbers, _durations, _addresses, _ranges, _local)
        for mistake in look(config)
    ]
    if found:
        raise BadConfig("; ".join(found))


def _at(config: Json, path: str) -> object:
    value: object = config
    for part in path.split("."):
        assert isinstance(value, dict)
        value = value[part]
    return value


def _numbers(config: Json) -> Iterator[str]:
    for path, least, most in NUMBERS:
        value = _at(config, path)
        assert isinstance(value, int | float)
        if value < least or (most is not None and value > most):
            bounds = f"within {least} and {most}" if most is not None else f"at least {least}"
            yield f"{path}: {value} must be {bounds}"


def _durations(config: Json) -> Iterator[str]:
    for path in (*POSITIVE, *NOT_NEGATIVE):
        text = str(_at(config, path))
        try:
            value = seconds(text)
        except BadConfig as error:
            yield f"{path}: {error}"
            continue
        if path in POSITIVE and not value:
            yield f"{path}: {text} must be longer than nothing"
    for section in ("iptables", "ipvs", "nftables"):
        try:
            least, usual = (
                seconds(config[section][name]) for name in ("minSyncPeriod", "syncPeriod")
            )
        except BadConfig:
            continue
        if least > usual:
            yield f"{section}.minSyncPeriod: must not be longer than {section}.syncPeriod"


def _addresses(config: Json) -> Iterator[str]:
    if not _ip(config["bindAddress"]):
        yield f"bindAddress: {config['bindAddress']!r} is no IP address"
    for field in ("healthzBindAddress", "metricsBindAddress"):
        text = config[field]
        host, _, port = text.rpartition(":")
        good = port.isdigit() and 0 < int(port) < 65536
        if text and not (good and _ip(host.strip("[]"))):
            yield f"{field}: {text!r} is no IP address with a port, such as 0.0.0.0:10256"


def _ranges(config: Json) -> Iterator[str]:
    pods = cidrs(config["clusterCIDR"])
    if len(pods) > 2 or (len(pods) == 2 and (":" in pods[0]) == (":" in pods[1])):
        yield "clusterCIDR: at most one range of each address family"
    for text in config["nodePortAddresses"] or ():
        if text not in KEYWORDS and not _range(text):
            yield (
                f"nodePortAddresses: {text!r} is no address range such as 10.0.0.0/8, and none of "
                f"{', '.join(KEYWORDS)}"
            )
    for text in config["ipvs"]["excludeCIDRs"] or ():
        if not _range(text):
            yield f"ipvs.excludeCIDRs: {text!r} is no address range such as 10.0.0.0/8"


def _local(config: Json) -> Iterator[str]:
    mode = config["detectLocalMode"]
    if mode and mode not in LOCAL_MODES:
        yield f"detectLocalMode: {mode!r} is none of {', '.join(LOCAL_MODES)}"
    needed = {
        "BridgeInterface": "bridgeInterface",
        "InterfaceNamePrefix": "interfaceNamePrefix",
    }
    field = needed.get(mode)
    name = config["detectLocal"][field] if field else "-"
    if not name:
        yield f"detectLocal.{field}: must be set with detectLocalMode {mode}"
    elif len(name) > INTERFACE_MAX:
        yield f"detectLocal.{field}: {name!r} is longer than an interface's name, {INTERFACE_MAX}"


def _ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _range(text: object) -> bool:
    try:
        ipaddress.ip_network(str(text), strict=False)
    except ValueError:
        return False
    return True
