"""IP addresses and CIDRs in fields, with the strictness that new values must meet.

Go's old parser took leading zeros and IPv4-mapped IPv6 addresses, which other programs read
differently; so a new value must be free of both, while an old object may keep what it has.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Container

from sampan.resources import rules
from sampan.resources.rules import Errors

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_NO_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_NO_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_MAPPED = "must not be an IPv4-mapped IPv6 address"
_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")


def parse_ip(text: str) -> IpAddress | None:
    """Leniently, as old objects may need it: leading zeros are decimal."""
    try:
        return ipaddress.ip_address(_without_zeros(text))
    except ValueError:
        return None


def parse_network(text: str) -> IpNetwork | None:
    """The network of a CIDR, host bits dropped."""
    ip, slash, length = text.partition("/")
    if not slash or not length.isdigit():
        return None
    try:
        return ipaddress.ip_network(f"{_without_zeros(ip)}/{int(length)}", strict=False)
    except ValueError:
        return None


_LEADING = "must not have leading 0s in IP or prefix length"


def ip(path: str, value: str, known: Container[str] = ()) -> Errors:
    """`known` are the values that the old object had: those are only read leniently."""
    parsed = parse_ip(value)
    if parsed is None or "%" in value:
        return rules.invalid(path, value, _NO_IP)
    if value in known:
        return []
    if _without_zeros(value) != value:
        return rules.invalid(path, value, "must not have leading 0s")
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        return rules.invalid(path, value, _MAPPED)
    return []


def cidr(path: str, value: str, known: Container[str] = ()) -> Errors:
    network = parse_network(value)
    if network is None:
        return rules.invalid(path, value, _NO_CIDR)
    if value in known:
        return []
    return rules.each(path, value, _cidr_faults(value, network))


def _cidr_faults(value: str, network: IpNetwork) -> list[str]:
    """The first fault only: the ones behind it make no sense then."""
    address, _, length = value.partition("/")
    if _without_zeros(address) != address:
        return [_LEADING]
    if str(int(length)) != length:
        return [_LEADING]
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
        return ["must not have an IPv4-mapped IPv6 address"]
    if ipaddress.ip_address(address) != network.network_address:
        return ["must not have bits set beyond the prefix length"]
    return []


def canonical_cidr(path: str, value: str) -> Errors:
    """For fields that were born strict: the one text of RFC 5952."""
    errors = cidr(path, value)
    network = parse_network(value)
    if not errors and network is not None and str(network) != value:
        return rules.invalid(path, value, f'must be in canonical form ("{network}")')
    return errors


def endpoint_ip(path: str, value: str) -> Errors:
    """An address that other hosts can send to."""
    parsed = parse_ip(value)
    if parsed is None:
        return rules.invalid(path, value, _NO_IP)
    if parsed.is_unspecified:
        return rules.invalid(path, value, f"may not be unspecified ({value})")
    if parsed.is_loopback:
        says = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
        return rules.invalid(path, value, says)
    if parsed.is_link_local:
        says = "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
        return rules.invalid(path, value, says)
    if _is_link_local_multicast(parsed):
        says = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        return rules.invalid(path, value, says)
    return []


def is_ipv6(text: str) -> bool:
    return ":" in text


def _is_link_local_multicast(parsed: IpAddress) -> bool:
    local = "224.0.0.0/24" if parsed.version == 4 else "ff02::/16"
    return parsed in ipaddress.ip_network(local)


def _without_zeros(text: str) -> str:
    return text if ":" in text and "." not in text else _ZEROS.sub("", text)
