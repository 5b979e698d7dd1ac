"""What the API remarks on addresses that it takes, but that could be written better."""

from __future__ import annotations

import ipaddress

from sampan.api.errors import quoted
from sampan.resources import addresses


def ip_warnings(path: str, value: str) -> list[str]:
    parsed = addresses.parse_ip(value)
    if parsed is None or str(parsed) == value:
        return []
    right = quoted(str(parsed))
    if parsed.version == 6:
        return [
            f"{path}: IPv6 address {quoted(value)} should be in RFC 5952 canonical format ({right})"
        ]
    return [
        f"{path}: non-standard IP address {quoted(value)} will be considered invalid in a future "
        f"Kubernetes release: use {right}"
    ]


def cidr_warnings(path: str, value: str) -> list[str]:
    network = addresses.parse_network(value)
    if network is None or str(network) == value:
        return []
    right = quoted(str(network))
    host = addresses.parse_ip(value.partition("/")[0])
    if host is not None and host != network.network_address:
        alone = quoted(str(ipaddress.ip_network(host)))
        return [
            f"{path}: CIDR value {quoted(value)} is ambiguous in this context "
            f"(should be {right} or {alone}?)"
        ]
    if network.version == 6:
        return [
            f"{path}: IPv6 CIDR value {quoted(value)} should be in RFC 5952 canonical format "
            f"({right})"
        ]
    return [
        f"{path}: non-standard CIDR value {quoted(value)} will be considered invalid in a future "
        f"Kubernetes release: use {right}"
    ]
